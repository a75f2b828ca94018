package history

import (
	"cmp"
	"slices"
	"sort"
)

// moment is an invocation or a return.
type moment struct {
	at      int64
	place   int // of the operation
	returns bool
}

// judgeOrder walks the history in time. The floor is the highest index that some operation had
// taken effect at before it returned: whatever is invoked later must take effect above it,
// whichever keys the two touch. A barrier read takes effect between two indexes; it is given the
// lowest place at or above the floor where its answer is true. Raising everything by as little as
// possible finds a contradiction if and only if there is one.
func (x *exact) judgeOrder() {
	floor := uint64(0)
	connections := map[int]program{}
	position := make([]uint64, len(x.h.Operations))
	for _, m := range moments(x.h.Operations) {
		op := &x.h.Operations[m.place]
		if m.returns {
			floor = max(floor, position[m.place])
			continue
		}
		own := connections[op.Connection]
		again := op.Retried || len(x.answers[m.place]) > 1
		if again {
			own = program{}
		}
		position[m.place] = x.place(m.place, op, floor, own)
		if !again {
			connections[op.Connection] = own.after(op, position[m.place])
		}
	}
}

// program is how far a connection's operations have come, in program order. What has no outcome is
// behind the items sent before it, but a barrier read need not wait for it: nobody knows whether it is
// still under way.
type program struct{ all, known uint64 }

func (p program) after(op *Operation, position uint64) program {
	p.all = max(p.all, position)
	if op.Outcome == Answered {
		p.known = max(p.known, position)
	}
	return p
}

// moments are all invocations and the returns of answered operations, in time. Of what happens at
// once, invocations come first: closed intervals that touch are concurrent.
func moments(ops []Operation) []moment {
	all := make([]moment, 0, 2*len(ops))
	for i := range ops {
		all = append(all, moment{ops[i].Invoked, i, false})
		if ops[i].Outcome == Answered {
			all = append(all, moment{ops[i].Returned, i, true})
		}
	}
	slices.SortFunc(all, func(a, b moment) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		if a.returns != b.returns {
			if b.returns {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.place, b.place)
	})
	return all
}

// place finds the position at which an operation took effect and checks it against the floors of
// real time and of its connection.
func (x *exact) place(i int, op *Operation, floor uint64, own program) uint64 {
	if op.Barrier {
		return x.placeRead(op, max(floor, own.known))
	}
	index := x.index[i]
	if readOnly(&op.Call) && op.Outcome == Answered {
		index = x.readAt(op, x.answers[i], floor)
	}
	switch {
	case index == 0:
	case index <= floor:
		x.report("real-time", "%v took effect at index %d, but was invoked at %d after something had returned "+
			"that took effect at %d", op.Call, index, op.Invoked, floor)
	case index <= own.all:
		x.report("program-order", "%v took effect at index %d, but something sent before it on connection %d "+
			"took effect at %d", op.Call, index, op.Connection, own.all)
	}
	return index
}

// readAt is where a read that travelled more than once was answered: at the first of its places
// above the floor that explains the answer, or else at its last.
func (x *exact) readAt(op *Operation, attempts []logged, floor uint64) (index uint64) {
	for i := range attempts {
		index = attempts[i].index
		if index > floor && attempts[i].differs(op) == "" {
			break
		}
	}
	return index
}

// placeRead finds the lowest position at or above the floor where a barrier read's answer is true.
func (x *exact) placeRead(op *Operation, floor uint64) uint64 {
	if op.Outcome != Answered {
		return 0
	}
	spans := x.replay.versions[op.Call.Key]
	next := sort.Search(len(spans), func(i int) bool { return spans[i].from > floor })
	for i := next - 1; i < len(spans); i++ {
		at := span{}
		if i >= 0 {
			at = spans[i]
		}
		want := get(&op.Call, at.version, at.present)
		if differs(&op.Call, &want, &op.Answer) == "" {
			return max(floor, at.from)
		}
	}
	x.report("stale-read", "%v answered %v, which is true nowhere at or after index %d", op.Call, op.Answer,
		floor)
	return 0
}
