package lane

import "encoding/binary"

// arena is a ring of bytes. Allocations are freed in any order, and their room comes back in the
// order of allocation: a lane's frames arrive nearly in order and are trimmed in order, so that
// little is ever held back. It keeps consecutive frames adjacent, which fixed slots of the largest
// size would not, and so stays in the cache when frames are small.
//
// Each allocation is preceded by a word: its size in the ring, and whether it is free.
type arena struct {
	buf  []byte
	mask uint64 // len(buf) - 1: the length is a power of two, to spare a division a frame
	head uint64 // total bytes ever allocated; head & mask is the next place
	tail uint64 // total bytes ever returned
}

const (
	arenaWord = 8
	freed     = 1 << 63
)

func newArena(size int) arena { return arena{buf: make([]byte, size), mask: uint64(size - 1)} }

// alloc returns the offset of n contiguous bytes, or false if there is no room now.
func (a *arena) alloc(n int) (off int, ok bool) {
	need := uint64(n+arenaWord+7) &^ 7
	size := uint64(len(a.buf))
	at := a.head & a.mask
	if at+need > size { // does not fit before the end: pad, and start over
		if a.head+(size-at)+need-a.tail > size {
			return 0, false
		}
		binary.LittleEndian.PutUint64(a.buf[at:], (size-at)|freed)
		a.head += size - at
		at = 0
	} else if a.head+need-a.tail > size {
		return 0, false
	}
	binary.LittleEndian.PutUint64(a.buf[at:], need)
	a.head += need
	return int(at) + arenaWord, true
}

// shrink cuts the latest allocation, of n bytes at off, down to keep bytes; 0 gives it back whole.
func (a *arena) shrink(off, n, keep int) {
	before := uint64(n+arenaWord+7) &^ 7
	after := uint64(0)
	if keep > 0 {
		after = uint64(keep+arenaWord+7) &^ 7
		binary.LittleEndian.PutUint64(a.buf[off-arenaWord:], after)
	}
	a.head -= before - after
}

// free returns the allocation at off.
func (a *arena) free(off int) {
	word := a.buf[off-arenaWord:]
	binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)|freed)
	for a.tail != a.head {
		w := binary.LittleEndian.Uint64(a.buf[a.tail&a.mask:])
		if w&freed == 0 {
			return
		}
		a.tail += w &^ freed
	}
	// Empty: begin again at the front, which is still in the first-level cache. A consumer that keeps
	// up makes the next burst reuse the memory of the last.
	a.head, a.tail = 0, 0
}

// used is the bytes that cannot be allocated now.
func (a *arena) used() int { return int(a.head - a.tail) }

// oldest is the offset of the earliest allocation that is not free.
func (a *arena) oldest() (off int, ok bool) {
	if a.tail == a.head {
		return 0, false
	}
	return int(a.tail&a.mask) + arenaWord, true
}
