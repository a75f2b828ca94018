package wire

import (
	"fmt"
	"hash/crc32"
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

// Digester computes the integrity fields of frames under the keys of one cluster. It has scratch space, and
// [Digester.SetKeys] changes it: one Digester a goroutine.
type Digester struct {
	mode      Mode
	chainSeed uint64
	salt      uint64 // mode aead: of what is sealed from now on
	active    *keyed // seals
	keys      [KeyPlaces]*keyed
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewDigester is [NewDigesterOf] a cluster with one key, number 0.
func NewDigester(mode Mode, clusterKey []byte) (*Digester, error) {
	keys, err := OneKey(clusterKey)
	if err != nil {
		return nil, err
	}
	return NewDigesterOf(mode, keys)
}

// NewDigesterOf derives the seeds and keys of every digest from the cluster's keys (HKDF-SHA-256,
// RFC 5869), each under its own label so that one digest never stands for another.
func NewDigesterOf(mode Mode, keys *Keys) (*Digester, error) {
	if int(mode) >= len(modeNames) {
		return nil, fmt.Errorf("unknown digest mode %d", mode)
	}
	d := &Digester{mode: mode, chainSeed: keys.Chain}
	return d, d.SetKeys(keys)
}

// Mode is the digest mode.
func (d *Digester) Mode() Mode { return d.mode }

// HeaderSeed is what seeds the header's digest in modes xxh3 and crc32c (its low 32 bits there), under the
// key that seals. A generator that computes digests outside Go needs it.
func (d *Digester) HeaderSeed() uint64 { return d.active.headerSeed }

// Header is the digest of the first DigestOffset bytes of frame, under the key whose place they name.
func (d *Digester) Header(frame []byte) uint64 { return d.keyOf(frame).ofHeader(d.mode, frame) }

// Payload is the hash of a frame's payload under the key that seals. In mode aead that of a data frame is the
// hash of its tail, and the tail's tag is that of the rest.
func (d *Digester) Payload(items []byte) uint64 { return d.active.ofPayload(d.mode, items) }

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
