package wire

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// Mode is how a frame's integrity is checked.
type Mode uint8

// The digest modes; the package documentation says what each promises.
const (
	ModeNone   Mode = 0 // for measurement only
	ModeXXH3   Mode = 1 // XXH3-64 seeded by the cluster key: the default
	ModeCRC32C Mode = 2 // CRC-32C (Castagnoli) seeded by the cluster key
	ModeMAC    Mode = 3 // AES-128-CMAC cut to 64 bits
	ModeAEAD   Mode = 4 // items under AES-256-GCM, headers under AES-128-CMAC cut to 64 bits
)

var modeNames = []string{"none", "xxh3", "crc32c", "mac", "aead"}

// String is the mode's name in flags and CSV columns.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode-%d", uint8(m))
}

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	for i, name := range modeNames {
		if s == name {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown digest mode %q: use xxh3, crc32c, mac, aead or none", s)
}

// Digester computes the integrity fields of frames under one cluster key. It is immutable, but modes
// mac and aead keep scratch space in it: one Digester a goroutine.
type Digester struct {
	mode        Mode
	headerSeed  uint64
	headerKey   [8]uint64 // XXH3's secret with the header's seed worked in
	payloadSeed uint64
	chainSeed   uint64
	header      *cmac // modes mac and aead
	payload     *cmac
	sealer      *sealer // mode aead
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewDigester derives the seeds and keys of every digest from the cluster key (HKDF-SHA-256,
// RFC 5869), each under its own label so that one digest never stands for another.
func NewDigester(mode Mode, clusterKey []byte) (*Digester, error) {
	if int(mode) >= len(modeNames) {
		return nil, fmt.Errorf("unknown digest mode %d", mode)
	}
	okm, err := hkdf.Key(sha256.New, clusterKey, nil, "metronome frame digest v1", 56)
	if err != nil {
		return nil, fmt.Errorf("derive digest keys: %w", err)
	}
	d := &Digester{
		mode:        mode,
		headerSeed:  binary.LittleEndian.Uint64(okm[0:]),
		payloadSeed: binary.LittleEndian.Uint64(okm[8:]),
		chainSeed:   binary.LittleEndian.Uint64(okm[16:]),
	}
	d.headerKey = seeded(d.headerSeed)
	if d.header, err = newCMAC(okm[24:40]); err != nil {
		return nil, err
	}
	if d.payload, err = newCMAC(okm[40:56]); err != nil || mode != ModeAEAD {
		return d, err
	}
	d.sealer, err = newSealer(clusterKey)
	return d, err
}

// Mode is the digest mode.
func (d *Digester) Mode() Mode { return d.mode }

// HeaderSeed is what seeds the header's digest in modes xxh3 and crc32c (its low 32 bits there). A
// generator that computes digests outside Go needs it.
func (d *Digester) HeaderSeed() uint64 { return d.headerSeed }

// Header is the digest of the first DigestOffset bytes of frame.
func (d *Digester) Header(frame []byte) uint64 {
	b := frame[:DigestOffset]
	switch d.mode {
	case ModeXXH3:
		return xxh3of64(b, &d.headerKey)
	case ModeCRC32C:
		return uint64(crc32.Update(uint32(d.headerSeed), castagnoli, b))
	case ModeMAC, ModeAEAD:
		return d.header.sum64(b)
	default:
		return 0
	}
}

// Payload is the hash of a frame's payload. In mode aead that of a data frame is the hash of its tail, and
// the tail's tag is that of the rest.
func (d *Digester) Payload(items []byte) uint64 {
	switch d.mode {
	case ModeXXH3:
		// Seeding XXH3 of more than 240 bytes prepares a secret each time; the seeded header digest
		// covers this hash anyway.
		return xxh3.Hash(items) ^ d.payloadSeed
	case ModeCRC32C:
		return uint64(crc32.Update(uint32(d.payloadSeed), castagnoli, items))
	case ModeMAC, ModeAEAD:
		return d.payload.sum64(items)
	default:
		return 0
	}
}

// Chain extends a lane's chain digest by one frame. The chain stands for the whole history of the
// lane: which items, under which numbers, in which frames. Two replicas that hold different bytes
// under the same number have different chains (invariant I3), unless the mode is none.
//
// It is two of XXH3's multiply-and-fold steps, not a hash of 32 bytes: every frame pays for it, and
// its input is a hash already.
func (d *Digester) Chain(prev uint64, h *Header) uint64 {
	x := fold(prev^d.chainSeed, h.PayloadHash^0x9FB21C651E98DF25)
	shape := uint64(h.Length)<<16 | uint64(h.Count)
	return fold(x^d.chainSeed, shape<<32^h.First^0xC3EBD33483ACC5EA)
}
