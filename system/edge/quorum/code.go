package quorum

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/wire"
)

// name is a turn's, a life's: 16 random bytes.
type name = [16]byte

func short(n name) string { return hex.EncodeToString(n[:4]) }

// life is what all edges agree on before the first turn.
type life struct {
	incarnation name
	session     uint64 // of the core
	base        uint64 // turn base+k is the session's number k

	revision uint64 // of the key that holds it
}

const lifeSize = 16 + 8 + 8

func (l *life) encode() []byte {
	b := append([]byte(nil), l.incarnation[:]...)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, l.session), l.base)
}

func (l *life) decode(b []byte) error {
	if len(b) != lifeSize {
		return damaged("life")
	}
	copy(l.incarnation[:], b)
	l.session, l.base = binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	return nil
}

// head is the last turn.
type head struct {
	at     local.Spot
	first  uint64 // turns from here on are kept
	totals []byte
}

const headFixed = 8 + 8 + 16

func (h *head) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.at.Place)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = append(b, h.at.Turn[:]...)
	return append(b, h.totals...)
}

func (h *head) decode(b []byte) error {
	if len(b) < headFixed {
		return damaged("head")
	}
	h.at.Place, h.first = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	copy(h.at.Turn[:], b[16:])
	h.totals = b[headFixed:]
	return nil
}

// turn is one step of the order, as it lies in the core.
type turn struct {
	at      local.Spot
	totals  []byte
	records []byte
}

func (t *turn) encode() []byte {
	b := append([]byte(nil), t.at.Turn[:]...)
	b = binary.AppendUvarint(b, uint64(len(t.totals)))
	b = append(b, t.totals...)
	return append(b, t.records...)
}

func (t *turn) decode(place uint64, b []byte) error {
	if len(b) < 17 {
		return damaged("turn")
	}
	t.at.Place = place
	copy(t.at.Turn[:], b)
	n, used := binary.Uvarint(b[16:])
	rest := b[16:]
	if used <= 0 || n > uint64(len(rest)-used) {
		return damaged("turn")
	}
	t.totals, t.records = rest[used:used+int(n)], rest[used+int(n):]
	return nil
}

func damaged(what string) error {
	return fmt.Errorf("%w: a %s in the core: another program writes under the edges' space", edge.ErrDamaged,
		what)
}

// space names the keys.
type space string

func (s space) life() string    { return string(s) + "i" }
func (s space) nothing() string { return string(s) + "n" } // never there
func (s space) head() string    { return string(s) + "h" }
func (s space) turn(place uint64) string {
	return string(s) + "l" + string(binary.BigEndian.AppendUint64(nil, place))
}

// raw is where a key of the copy lies in the core, and with what value: a key too long for the space in
// front of it is hashed, and goes to the value.
func (s space) raw(r *local.Raw) (key string, value []byte) {
	if len(s)+len(r.Key) <= wire.MaxKey {
		return string(s) + string(r.Key), r.Value
	}
	hash := sha256.Sum256(r.Key)
	key = string(s) + "D" + string(hash[:])
	if r.Value == nil {
		return key, nil
	}
	value = binary.AppendUvarint(nil, uint64(len(r.Key)))
	return key, append(append(value, r.Key...), r.Value...)
}

// parse is the other way round.
func (s space) parse(key string, value []byte) (local.Raw, error) {
	tail := []byte(key[len(s):])
	if len(tail) == 0 || tail[0] != 'D' {
		return local.Raw{Key: tail, Value: value}, nil
	}
	n, used := binary.Uvarint(value)
	if used <= 0 || n > uint64(len(value)-used) {
		return local.Raw{}, damaged("long key")
	}
	rest := value[used:]
	hash := sha256.Sum256(rest[:n])
	if !bytes.Equal(hash[:], tail[1:]) {
		return local.Raw{}, damaged("long key")
	}
	return local.Raw{Key: rest[:n], Value: rest[n:]}, nil
}
