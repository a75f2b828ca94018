package history

import (
	"cmp"
	"fmt"
	"slices"

	"metronome/system/wire"
)

// Indexed judges a history without a log by the indexes that the store told: the revision of a
// compare-and-set's answer is its place in the one total order, and a read's is that of the write whose
// value it saw. Values must be written at most once. It sees every operation of every key at once, so what
// it finds and Linearizable, key by key, cannot, is an order across keys that real time forbids. It costs
// O(n log n).
//
// A read has taken effect at some place between the write it saw and the next known one; it is given the
// lowest place that real time allows, which finds a contradiction if there is one. Deletions and writes
// that nobody saw have no known place and are passed over: placed says how many answered operations had
// one.
func Indexed(h *History) (found []Violation, placed int) {
	x := &indexed{h: h, at: make([]uint64, len(h.Operations)), written: map[string]int{},
		keys: map[string][]place{}, deleted: map[string]int64{}}
	x.names()
	x.places()
	x.conditions()
	x.order()
	return x.found, x.placed
}

// indexed is one run of the judge.
type indexed struct {
	h       *History
	found   []Violation
	placed  int
	at      []uint64           // by operation: the index of a write, 0 = unknown
	written map[string]int     // the operation that writes a value
	keys    map[string][]place // ascending
	deleted map[string]int64   // when a deletion of a key was invoked first
}

// place is where a write took effect.
type place struct {
	index uint64
	op    int
}

func (x *indexed) report(rule, format string, args ...any) {
	if len(x.found) < maxViolations {
		x.found = append(x.found, Violation{rule, fmt.Sprintf(format, args...)})
	}
}

// names finds out who wrote which value.
func (x *indexed) names() {
	for i := range x.h.Operations {
		op := &x.h.Operations[i]
		switch op.Call.Op {
		case wire.OpPut, wire.OpCAS:
			x.written[op.Call.Key+"\x00"+op.Call.Value] = i
		case wire.OpDelete:
			if first, ok := x.deleted[op.Call.Key]; op.Outcome != Refused && (!ok || op.Invoked < first) {
				x.deleted[op.Call.Key] = op.Invoked
			}
		}
	}
}

// places takes every index that an answer tells.
func (x *indexed) places() {
	for i := range x.h.Operations {
		op := &x.h.Operations[i]
		if op.Outcome != Answered || op.Answer.Status != wire.StatusOK || op.Answer.Revision == 0 {
			continue
		}
		switch op.Call.Op {
		case wire.OpCAS:
			x.set(i, op.Answer.Revision)
		case wire.OpGet:
			w, ok := x.written[op.Call.Key+"\x00"+op.Answer.Value]
			if !ok {
				x.report("phantom", "%v answered %v, which nobody wrote", op.Call, op.Answer)
				continue
			}
			if x.h.Operations[w].Outcome == Refused {
				x.report("refused-executed", "%v was refused, and %v saw it", x.h.Operations[w].Call, op.Call)
			}
			x.set(w, op.Answer.Revision)
		}
	}
	for i, index := range x.at {
		if index != 0 {
			key := x.h.Operations[i].Call.Key
			x.keys[key] = append(x.keys[key], place{index, i})
		}
	}
	owner := map[uint64]int{}
	for _, all := range x.keys {
		slices.SortFunc(all, func(a, b place) int { return cmp.Compare(a.index, b.index) })
		for _, p := range all {
			if other, taken := owner[p.index]; taken {
				x.report("one-place", "%v and %v are both at index %d", x.h.Operations[other].Call,
					x.h.Operations[p.op].Call, p.index)
			}
			owner[p.index] = p.op
		}
	}
}

func (x *indexed) set(i int, index uint64) {
	if x.at[i] != 0 && x.at[i] != index {
		x.report("two-places", "%v is at index %d and at %d", x.h.Operations[i].Call, x.at[i], index)
	}
	x.at[i] = index
}

// before and after are the known writes of a key round an index; 0 = none.
func (x *indexed) before(key string, index uint64) uint64 {
	all := x.keys[key]
	n, _ := slices.BinarySearchFunc(all, index, func(p place, i uint64) int { return cmp.Compare(p.index, i) })
	if n == 0 {
		return 0
	}
	return all[n-1].index
}

func (x *indexed) after(key string, index uint64) uint64 {
	all := x.keys[key]
	n, _ := slices.BinarySearchFunc(all, index+1, func(p place, i uint64) int { return cmp.Compare(p.index, i) })
	if n == len(all) {
		return 0
	}
	return all[n].index
}

// conditions holds compare-and-sets to what they expected: no write between.
func (x *indexed) conditions() {
	for i := range x.h.Operations {
		op := &x.h.Operations[i]
		if op.Call.Op != wire.OpCAS || x.at[i] == 0 {
			continue
		}
		last := x.before(op.Call.Key, x.at[i])
		_, deleted := x.deleted[op.Call.Key]
		if last != op.Call.Expect && (op.Call.Expect != 0 || !deleted) && last > op.Call.Expect {
			x.report("condition", "%v was executed at index %d, but the key had revision %d", op.Call, x.at[i], last)
		}
	}
}

// order walks the history in time with a floor, as Exact does.
func (x *indexed) order() {
	floor := uint64(0)
	position := make([]uint64, len(x.h.Operations))
	for _, m := range moments(x.h.Operations) {
		op := &x.h.Operations[m.place]
		if m.returns {
			floor = max(floor, position[m.place])
			continue
		}
		if op.Call.Op == wire.OpGet {
			position[m.place] = x.read(op, floor)
		} else if at := x.at[m.place]; at != 0 {
			position[m.place] = at
			if at <= floor {
				x.report("real-time", "%v took effect at index %d, but was invoked at %d after something had returned "+
					"that took effect at %d", op.Call, at, op.Invoked, floor)
			}
		} else if op.Call.Op == wire.OpCAS && op.Answer.Status == wire.StatusMismatch && op.Answer.Revision != 0 {
			position[m.place] = x.seen(op, op.Answer.Revision, floor)
		}
		if op.Outcome == Answered && position[m.place] != 0 {
			x.placed++
		}
	}
}

// read is where a read took effect, at the lowest; 0 = unknown.
func (x *indexed) read(op *Operation, floor uint64) uint64 {
	switch {
	case op.Outcome != Answered:
		return 0
	case op.Answer.Status == wire.StatusOK && op.Answer.Revision != 0:
		return x.seen(op, op.Answer.Revision, floor)
	}
	first, deleted := x.deleted[op.Call.Key]
	if last := x.before(op.Call.Key, floor+1); last != 0 && (!deleted || first > op.Returned) {
		x.report("stale-read", "%v found nothing, and was invoked at %d when a write at index %d had returned and "+
			"nobody had deleted it", op.Call, op.Invoked, last)
	}
	return 0
}

// seen is the lowest place at which a revision can be seen.
func (x *indexed) seen(op *Operation, revision, floor uint64) uint64 {
	if next := x.after(op.Call.Key, revision); next != 0 && next <= floor {
		x.report("stale-read", "%v saw revision %d, but was invoked at %d when the write at index %d that follows "+
			"it was in force", op.Call, revision, op.Invoked, next)
	}
	return max(floor, revision)
}
