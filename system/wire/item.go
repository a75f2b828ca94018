package wire

import (
	"encoding/binary"
	"fmt"
)

// Op is what an item asks for.
type Op uint8

// The operations.
const (
	OpPut    Op = 1
	OpGet    Op = 2
	OpDelete Op = 3
	OpCAS    Op = 4 // put if the key's revision is Item.Expect; 0 = if the key is absent
)

// Bounds of an item.
const (
	MaxKey     = 1 << 10 // bytes of key
	MaxValue   = 1 << 20 // bytes of value, all fragments together
	ItemHeader = 8       // bytes before extensions, key and value
)

const (
	flagSession  = 1
	flagFragment = 2

	sessionSize  = 16
	expectSize   = 8
	fragmentSize = 8
)

// Item is one client operation, or one fragment of it. Key and Value of a decoded item are slices
// of the frame it came from.
type Item struct {
	Op    Op
	Key   []byte // 1 to MaxKey bytes
	Value []byte // put, compare-and-set; of a fragment: this part

	HasSession bool
	Session    uint64 // session id
	Number     uint64 // the request's number in its session
	Expect     uint64 // compare-and-set: expected revision, 0 = must be absent

	Fragment bool
	Total    uint32 // fragment: bytes of the whole value
	Offset   uint32 // fragment: where this part begins
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

// Check returns what no receiver would accept about an item, or nil.
func (it *Item) Check() error {
	writes := it.Op == OpPut || it.Op == OpCAS
	switch {
	case it.Op < OpPut || it.Op > OpCAS:
		return fmt.Errorf("wire: unknown op %d", it.Op)
	case len(it.Key) == 0:
		return fmt.Errorf("wire: empty key")
	case len(it.Key) > MaxKey:
		return fmt.Errorf("key of %d bytes (at most %d): %w", len(it.Key), MaxKey, ErrTooLong)
	case len(it.Value) > MaxValue:
		return fmt.Errorf("value of %d bytes (at most %d): %w", len(it.Value), MaxValue, ErrTooLong)
	case !writes && (len(it.Value) > 0 || it.Fragment):
		return fmt.Errorf("wire: op %d carries no value", it.Op)
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
	if err := it.Check(); err != nil {
		return dst, err
	}
	le := binary.LittleEndian
	var flags byte
	if it.HasSession {
		flags |= flagSession
	}
	if it.Fragment {
		flags |= flagFragment
	}
	dst = append(dst, byte(it.Op), flags)
	dst = le.AppendUint16(dst, uint16(len(it.Key)))
	dst = le.AppendUint32(dst, uint32(len(it.Value)))
	if it.HasSession {
		dst = le.AppendUint64(dst, it.Session)
		dst = le.AppendUint64(dst, it.Number)
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
	if flags != 0 || op == OpCAS {
		ext, ok = extensions(op, flags, value)
		if !ok {
			return 0, 0, 0, false
		}
	}
	// One unsigned comparison a range: op in [put, cas], key in [1, MaxKey].
	if op-OpPut > OpCAS-OpPut || uint(key-1) >= MaxKey || value > MaxValue ||
		value > 0 && (op == OpGet || op == OpDelete) || ext+key+value > len(b)-ItemHeader {
		return 0, 0, 0, false
	}
	return ext, key, value, true
}

func extensions(op Op, flags byte, value int) (size int, ok bool) {
	if flags&^(flagSession|flagFragment) != 0 {
		return 0, false
	}
	if flags&flagSession != 0 {
		size += sessionSize
	}
	if op == OpCAS {
		size += expectSize
	}
	if flags&flagFragment != 0 {
		if value == 0 {
			return 0, false
		}
		size += fragmentSize
	}
	return size, true
}

// DecodeItem reads the item at the start of b into it and returns the bytes it occupies. ok is
// false if the item is malformed or does not fit into b; it is then undefined.
func DecodeItem(b []byte, it *Item) (n int, ok bool) {
	ext, key, value, ok := layout(b)
	if !ok {
		return 0, false
	}
	flags := b[1]
	*it = Item{Op: Op(b[0]), HasSession: flags&flagSession != 0, Fragment: flags&flagFragment != 0}
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
		it.Session, it.Number = le.Uint64(b), le.Uint64(b[8:])
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

// NextFragment is the part of it, a whole put or compare-and-set, that starts at offset and fits
// into room bytes. The caller sends fragments until Completes. It fails if not even one byte of
// value fits.
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
