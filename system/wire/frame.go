package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTooLong is returned when a payload or a value exceeds what a frame or an item may hold.
var ErrTooLong = errors.New("wire: too long")

// Seal completes the frame in place: frame[HeaderSize:] already holds the items, and behind those of
// a data frame [Mode.Overhead] bytes of room; Seal sets h.Mode, h.Length, h.PayloadHash and h.Digest, writes
// the header, and encrypts the items in mode aead. It fails if the frame is shorter than a header and that
// room, or longer than [MaxFrame].
func Seal(frame []byte, h *Header, d *Digester) error {
	least := HeaderSize
	if h.Type == TypeData {
		least += d.mode.Overhead()
	}
	if len(frame) < least || len(frame) > MaxFrame {
		return fmt.Errorf("seal a frame of %d bytes (%d to %d): %w", len(frame), least, MaxFrame, ErrTooLong)
	}
	h.Mode = d.mode
	h.Length = uint16(len(frame) - HeaderSize)
	h.Key = uint8(d.active.number % KeyPlaces)
	if h.Type == TypeData && d.mode == ModeAEAD {
		binary.LittleEndian.PutUint64(frame[len(frame)-saltSize:], d.salt)
		h.Put(frame)
		if err := d.active.sealer.seal(frame); err != nil {
			return err
		}
	}
	h.PayloadHash = d.payloadOf(d.active, frame, h.Type)
	h.Put(frame)
	h.Digest = d.Header(frame)
	binary.LittleEndian.PutUint64(frame[DigestOffset:], h.Digest)
	return nil
}

// payloadOf is the hash of a sealed frame's payload. In mode aead the tag at its end stands for the items.
func (d *Digester) payloadOf(k *keyed, frame []byte, t Type) uint64 {
	if t == TypeData && d.mode == ModeAEAD {
		return k.ofPayload(d.mode, frame[len(frame)-tailSize:])
	}
	return k.ofPayload(d.mode, frame[HeaderSize:])
}

// Restamp marks a sealed frame as a repair that carries the lane's present marks. It hashes the
// header only.
func Restamp(frame []byte, highWater, tail uint64, d *Digester) {
	_ = frame[HeaderSize-1]
	frame[5] |= FlagRepair
	binary.LittleEndian.PutUint64(frame[40:], highWater)
	binary.LittleEndian.PutUint64(frame[48:], tail)
	binary.LittleEndian.PutUint64(frame[DigestOffset:], d.Header(frame))
}

// Opener examines the frames a network delivered for one cluster under one digest mode.
type Opener struct {
	Cluster uint32
	Digest  *Digester
}

// Open decodes frame's header into h and verifies everything that needs no lane: magic, version,
// cluster, mode, length, digest, type, payload hash, and every item's bounds. h is meaningful only
// if Open returns [OK].
//
// A frame under a retired key is refused: it came from a network.
func (o *Opener) Open(frame []byte, h *Header) Cause { return o.open(frame, h, false) }

// OpenKept is Open of a frame that came from no network: out of this replica's journal, or from a peer, over
// a stream that authenticates it. Retired keys open it still.
func (o *Opener) OpenKept(frame []byte, h *Header) Cause { return o.open(frame, h, true) }

func (o *Opener) open(frame []byte, h *Header, kept bool) Cause {
	if len(frame) < HeaderSize {
		return BadShort
	}
	lead := binary.LittleEndian.Uint32(frame)
	switch {
	case uint16(lead) != Magic:
		return BadMagic
	case byte(lead>>16) != Version:
		return BadVersion
	case binary.LittleEndian.Uint32(frame[8:]) != o.Cluster:
		return BadCluster
	case Mode(frame[4]&modeBits) != o.Digest.mode:
		return BadMode
	case len(frame) > MaxFrame ||
		int(binary.LittleEndian.Uint16(frame[22:])) != len(frame)-HeaderSize:
		return BadLength
	}
	k := o.Digest.keys[frame[4]>>keyShift]
	if k == nil || k.state == KeyRetired && !kept {
		return BadKey
	}
	if binary.LittleEndian.Uint64(frame[DigestOffset:]) != k.ofHeader(o.Digest.mode, frame) {
		return BadDigest
	}
	h.Get(frame)
	return o.openPayload(k, frame, h)
}

// Opened is the frame for which Open has just returned [OK], as it is to be held: in mode aead a data frame
// with its items decrypted, valid until the Digester is used again; else the frame itself. [Items] are in
// it, and [Digester.Reseal] closes a copy of it again.
func (o *Opener) Opened(frame []byte, h *Header) []byte {
	if o.Digest.mode != ModeAEAD || h.Type != TypeData {
		return frame
	}
	return o.Digest.keys[h.Key].sealer.plain[:len(frame)]
}

func (o *Opener) openPayload(k *keyed, frame []byte, h *Header) Cause {
	switch h.Type {
	case TypeData:
	case TypeHeartbeat:
		if h.Length != 0 || h.Count != 0 {
			return BadLength
		}
	case TypeNack:
		if h.Count != 0 || h.Length == 0 || h.Length%gapSize != 0 {
			return BadLength
		}
	default:
		return BadType
	}
	if h.Type == TypeData && int(h.Length) < o.Digest.mode.Overhead() {
		return BadLength
	}
	if h.PayloadHash != o.Digest.payloadOf(k, frame, h.Type) {
		return BadPayload
	}
	if h.Type != TypeData {
		return OK
	}
	if k.sealer != nil {
		if frame = k.sealer.open(frame); frame == nil {
			return BadPayload
		}
	}
	if !walk(Items(frame), int(h.Count)) {
		return BadItem
	}
	return OK
}
