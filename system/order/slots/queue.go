package slots

import (
	"cmp"
	"slices"
)

// overhead is what a value at the gate is taken to cost beyond its bytes.
const overhead = 64

// Queue is values that came for acceptance and whose items are not held yet, ascending by slot and
// bounded in bytes. The zero value is empty.
type Queue struct {
	Wait    []Entry
	Bytes   int
	Dropped uint64 // found no room; they are sent again
}

func (q *Queue) find(n uint64) (int, bool) {
	return slices.BinarySearchFunc(q.Wait, n, func(e Entry, n uint64) int { return cmp.Compare(e.Slot, n) })
}

// Get is what waits of a slot, or nil.
func (q *Queue) Get(n uint64) *Entry {
	if i, there := q.find(n); there {
		return &q.Wait[i]
	}
	return nil
}

// Put lets a value wait, in place of one of a lower ballot. The newest are dropped at the bound.
func (q *Queue) Put(e Entry, bound int) {
	i, there := q.find(e.Slot)
	size := len(e.Decision) + overhead
	switch {
	case there && q.Wait[i].Ballot >= e.Ballot:
		return
	case there:
		q.Bytes += len(e.Decision) - len(q.Wait[i].Decision)
		q.Wait[i] = e
	case q.Bytes > 0 && q.Bytes+size > bound:
		q.Dropped++
	default:
		q.Wait, q.Bytes = slices.Insert(q.Wait, i, e), q.Bytes+size
	}
}

// Drop ends the waiting of a slot.
func (q *Queue) Drop(n uint64) {
	if i, there := q.find(n); there {
		q.Bytes -= len(q.Wait[i].Decision) + overhead
		q.Wait = slices.Delete(q.Wait, i, i+1)
	}
}

// Clear drops everything.
func (q *Queue) Clear() { q.Wait, q.Bytes = nil, 0 }

// DropTo drops what waits up to a slot.
func (q *Queue) DropTo(n uint64) {
	for len(q.Wait) > 0 && q.Wait[0].Slot <= n {
		q.Drop(q.Wait[0].Slot)
	}
}
