package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Op is what an item asks for.
type Op uint8

// The operations; the package documentation says what each answers.
const (
	OpPut     Op = 1
	OpGet     Op = 2
	OpDelete  Op = 3
	OpCAS     Op = 4  // put if the key's revision is Item.Expect; 0 = if the key is absent
	OpIncr    Op = 5  // add a signed delta, 8 bytes of value, to a decimal number
	OpAppend  Op = 6  // append the value
	OpMulti   Op = 7  // several puts, gets and deletes at one index: their encodings are the value
	OpScan    Op = 8  // keys under the prefix that is the key; the value is ScanArgs
	OpSession Op = 9  // open a session
	OpCount   Op = 10 // how many keys there are
	opEnd     Op = 11
)

// Bounds of an item.
const (
	MaxKey     = 1 << 10 // bytes of key
	MaxValue   = 1 << 20 // bytes of value, all fragments together
	MaxMulti   = 4096    // operations in a multi
	ItemHeader = 8       // bytes before extensions, key and value
)

const (
	flagSession  = 1
	flagFragment = 2
	flagPrevious = 4
	flagPresent  = 8
	flagStat     = 16

	sessionSize  = 24
	expectSize   = 8
	fragmentSize = 8
)

// shape is what the items of one operation look like.
type shape struct {
	minKey, maxKey     int
	minValue, maxValue int
	flags              byte
}

// Indexed by Op; an operation without flags does not exist.
var shapes = [opEnd]shape{
	OpPut:     {1, MaxKey, 0, MaxValue, flagSession | flagFragment | flagPrevious | flagPresent},
	OpGet:     {1, MaxKey, 0, 0, flagSession | flagStat},
	OpDelete:  {1, MaxKey, 0, 0, flagSession | flagPrevious},
	OpCAS:     {1, MaxKey, 0, MaxValue, flagSession | flagFragment | flagPrevious},
	OpIncr:    {1, MaxKey, 8, 8, flagSession},
	OpAppend:  {1, MaxKey, 0, MaxValue, flagSession | flagFragment},
	OpMulti:   {0, 0, 1, MaxValue, flagSession | flagFragment},
	OpScan:    {0, MaxKey, scanFixed, scanFixed + MaxKey, flagSession},
	OpSession: {0, 0, 0, 8, flagSession},
	OpCount:   {0, 0, 0, 0, flagSession},
}

// Item is one client operation, or one fragment of it. Key and Value of a decoded item are slices
// of the frame it came from.
type Item struct {
	Op    Op
	Key   []byte // 1 to MaxKey bytes; a scan's prefix may be empty, multi, session and count have none
	Value []byte // of a fragment: this part

	Previous bool // put, delete, compare-and-set: answer with the value the key had
	Present  bool // put: only if the key exists
	Stat     bool // get: length and revision only

	HasSession bool
	Session    uint64 // session id: the index of the item that opened it
	Number     uint64 // the request's number in its session, from 1
	Low        uint64 // the client has every answer below this number (R24)
	Expect     uint64 // compare-and-set: expected revision, 0 = must be absent

	Fragment bool
	Total    uint32 // fragment: bytes of the whole value
	Offset   uint32 // fragment: where this part begins
}

// Blind reports whether an item's answer is known as soon as its place in the order is: a put
// without conditions, whose only answer is "done" (R25).
func (it *Item) Blind() bool {
	return it.Op == OpPut && !it.HasSession && !it.Previous && !it.Present
}

// Size is the number of bytes [AppendItem] would append.
func (it *Item) Size() int {
	n := ItemHeader + len(it.Key) + len(it.Value)
	if it.HasSession {
		n += sessionSize
	}
	if it.Op == OpCAS {
		n += expectSize
	}
	if it.Fragment {
		n += fragmentSize
	}
	return n
}

// Completes reports whether it ends an operation: true but for all fragments before the last.
func (it *Item) Completes() bool {
	return !it.Fragment || uint64(it.Offset)+uint64(len(it.Value)) == uint64(it.Total)
}

func (it *Item) flags() (flags byte) {
	if it.HasSession {
		flags |= flagSession
	}
	if it.Fragment {
		flags |= flagFragment
	}
	if it.Previous {
		flags |= flagPrevious
	}
	if it.Present {
		flags |= flagPresent
	}
	if it.Stat {
		flags |= flagStat
	}
	return flags
}

// plain reports whether an item is one of the commonest: a put, get or delete without extensions,
// within bounds.
func (it *Item) plain() bool {
	return it.Op-OpPut <= OpDelete-OpPut && len(it.Key)-1 < MaxKey && len(it.Key) > 0 && it.flags() == 0 &&
		(len(it.Value) == 0 || it.Op == OpPut && len(it.Value) <= MaxValue)
}

// Check returns what no receiver would accept about an item, or nil.
func (it *Item) Check() error {
	if it.Op == 0 || it.Op >= opEnd {
		return fmt.Errorf("wire: unknown op %d", it.Op)
	}
	s := &shapes[it.Op]
	switch bad := it.flags() &^ s.flags; {
	case len(it.Key) < s.minKey:
		return errors.New("wire: empty key")
	case len(it.Key) > s.maxKey:
		return fmt.Errorf("key of %d bytes (at most %d): %w", len(it.Key), s.maxKey, ErrTooLong)
	case len(it.Value) > s.maxValue:
		return fmt.Errorf("value of %d bytes (at most %d): %w", len(it.Value), s.maxValue, ErrTooLong)
	case len(it.Value) < s.minValue && !it.Fragment:
		return fmt.Errorf("wire: op %d with a value of %d bytes: at least %d", it.Op, len(it.Value), s.minValue)
	case bad != 0:
		return fmt.Errorf("wire: op %d does not take flags %#x", it.Op, bad)
	case it.Fragment && !fragmentFits(it.Total, it.Offset, len(it.Value)):
		return fmt.Errorf("wire: fragment [%d, +%d) outside its value of %d bytes",
			it.Offset, len(it.Value), it.Total)
	}
	return nil
}

func fragmentFits(total, offset uint32, n int) bool {
	return n > 0 && total <= MaxValue && uint64(offset)+uint64(n) <= uint64(total)
}

// AppendItem appends it to dst. It fails, leaving dst as it was, on an item no receiver would
// accept.
func AppendItem(dst []byte, it *Item) ([]byte, error) {
	le := binary.LittleEndian
	if it.plain() {
		dst = le.AppendUint64(dst, uint64(it.Op)|uint64(len(it.Key))<<16|uint64(len(it.Value))<<32)
		dst = append(dst, it.Key...)
		return append(dst, it.Value...), nil
	}
	if err := it.Check(); err != nil {
		return dst, err
	}
	dst = append(dst, byte(it.Op), it.flags())
	dst = le.AppendUint16(dst, uint16(len(it.Key)))
	dst = le.AppendUint32(dst, uint32(len(it.Value)))
	if it.HasSession {
		dst = le.AppendUint64(dst, it.Session)
		dst = le.AppendUint64(dst, it.Number)
		dst = le.AppendUint64(dst, it.Low)
	}
	if it.Op == OpCAS {
		dst = le.AppendUint64(dst, it.Expect)
	}
	if it.Fragment {
		dst = le.AppendUint32(dst, it.Total)
		dst = le.AppendUint32(dst, it.Offset)
	}
	dst = append(dst, it.Key...)
	return append(dst, it.Value...), nil
}

// layout reads an item's fixed part: the sizes of its extensions, key and value. ok is false if the
// item is malformed or does not fit into b.
func layout(b []byte) (ext, key, value int, ok bool) {
	if len(b) < ItemHeader {
		return 0, 0, 0, false
	}
	w := binary.LittleEndian.Uint64(b)
	op, flags := Op(w), byte(w>>8)
	key, value = int(uint16(w>>16)), int(w>>32)
	if op == 0 || op >= opEnd {
		return 0, 0, 0, false
	}
	s := &shapes[op]
	if flags&^s.flags != 0 || key < s.minKey || key > s.maxKey || value > s.maxValue {
		return 0, 0, 0, false
	}
	low := s.minValue
	if flags&flagFragment != 0 {
		ext, low = fragmentSize, 1
	}
	if flags&flagSession != 0 {
		ext += sessionSize
	}
	if op == OpCAS {
		ext += expectSize
	}
	return ext, key, value, value >= low && ext+key+value <= len(b)-ItemHeader
}

// DecodeItem reads the item at the start of b into it and returns the bytes it occupies. ok is
// false if the item is malformed or does not fit into b; it is then undefined.
func DecodeItem(b []byte, it *Item) (n int, ok bool) {
	ext, key, value, ok := layout(b)
	if !ok {
		return 0, false
	}
	flags := b[1]
	*it = Item{Op: Op(b[0]), HasSession: flags&flagSession != 0, Fragment: flags&flagFragment != 0,
		Previous: flags&flagPrevious != 0, Present: flags&flagPresent != 0, Stat: flags&flagStat != 0}
	n = ItemHeader + ext + key + value
	if ext > 0 && !it.getExtensions(b[ItemHeader:ItemHeader+ext], value) {
		return 0, false
	}
	it.Key = b[ItemHeader+ext : ItemHeader+ext+key : ItemHeader+ext+key]
	it.Value = b[ItemHeader+ext+key : n : n]
	return n, true
}

func (it *Item) getExtensions(b []byte, value int) bool {
	le := binary.LittleEndian
	if it.HasSession {
		it.Session, it.Number, it.Low = le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
		b = b[sessionSize:]
	}
	if it.Op == OpCAS {
		it.Expect = le.Uint64(b)
		b = b[expectSize:]
	}
	if it.Fragment {
		it.Total, it.Offset = le.Uint32(b), le.Uint32(b[4:])
		return fragmentFits(it.Total, it.Offset, value)
	}
	return true
}

// walk checks every item header of a payload: each in bounds, lengths adding up to the payload, as
// many completed as count says, and a fragment alone in its frame.
func walk(payload []byte, count int) bool {
	items, at := 0, 0
	for at < len(payload) {
		n := plainPut(payload, at)
		if n == 0 {
			ext, key, value, ok := layout(payload[at:])
			if !ok {
				return false
			}
			if payload[at+1]&flagFragment != 0 {
				return items == 0 && walkFragment(payload, count)
			}
			n = ItemHeader + ext + key + value
		}
		items++
		at += n
	}
	return items == count && items > 0 && at == len(payload)
}

// plainPut is walk's fast path, small enough to be inlined: the size of a put without extensions at
// the given place, or 0 if it is anything else. A size that overshoots the payload ends the walk.
func plainPut(b []byte, at int) int {
	if len(b)-at < ItemHeader {
		return 0
	}
	w := binary.LittleEndian.Uint64(b[at:])
	key, value := uint(uint16(w>>16)), uint(w>>32)
	if uint16(w) != uint16(OpPut) || key-1 >= MaxKey || value > MaxValue {
		return 0
	}
	return int(ItemHeader + key + value)
}

func walkFragment(payload []byte, count int) bool {
	var it Item
	n, ok := DecodeItem(payload, &it)
	if !ok || n != len(payload) {
		return false
	}
	return (count == 1) == it.Completes() && count <= 1
}

// NextFragment is the part of it, a whole item, that starts at offset and fits into room bytes. The
// caller sends fragments until Completes. It fails if not even one byte of value fits.
func NextFragment(it *Item, offset, room int) (Item, error) {
	part := *it
	part.Fragment, part.Total, part.Offset = true, uint32(len(it.Value)), uint32(offset)
	part.Value = nil
	room -= part.Size()
	if room <= 0 || offset >= len(it.Value) {
		return Item{}, fmt.Errorf("fragment at %d of a value of %d bytes, %d bytes of room: %w",
			offset, len(it.Value), room, ErrTooLong)
	}
	part.Value = it.Value[offset:min(offset+room, len(it.Value))]
	return part, nil
}
