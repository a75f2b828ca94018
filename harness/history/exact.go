package history

import (
	"fmt"
	"math"
	"slices"

	"metronome/system/wire"
)

// maxViolations bounds a report: the first ones tell the story.
const maxViolations = 20

// exact is one run of the judge.
type exact struct {
	h     *History
	found []Violation
	// By operation: where it took effect, 0 = nowhere, and what its records answered.
	index   []uint64
	answers [][]logged
	replay  *replayer
}

// logged is one attempt of an operation as the model answers it.
type logged struct {
	index    uint64
	answer   Answer
	executed bool
}

// Exact judges a history by its log. It is complete: every operation's answer, and the order of all
// of them across keys and connections. What it cannot see is a log that is not what was executed;
// the recorder's own comparison of replicas, and Linearizable, are for that.
func Exact(h *History) []Violation {
	x := &exact{h: h, index: make([]uint64, len(h.Operations)), answers: make([][]logged, len(h.Operations)),
		replay: newReplayer(h.Limits)}
	x.run()
	x.judgeAnswers()
	x.judgeOrder()
	return x.found
}

func (x *exact) report(rule, format string, args ...any) {
	if len(x.found) < maxViolations {
		x.found = append(x.found, Violation{rule, fmt.Sprintf(format, args...)})
	}
}

// run replays the log.
func (x *exact) run() {
	next := max(x.h.Start, 1)
	for i := range x.h.Log {
		rec := &x.h.Log[i]
		if rec.Expire != 0 {
			x.replay.expire(rec.Expire)
			continue
		}
		if rec.Restore {
			x.replay.expire(math.MaxUint64)
			next = rec.Index + 1
			continue
		}
		if rec.Index != next {
			x.report("gap", "index %d follows %d", rec.Index, next-1)
		}
		next = rec.Index + 1
		answer, executed := x.replay.apply(rec)
		x.note(rec, logged{rec.Index, answer, executed})
	}
}

// note books a record on its operation.
func (x *exact) note(rec *Record, l logged) {
	if rec.Operation < 0 || rec.Operation >= len(x.h.Operations) {
		x.report("phantom", "index %d executes %v, which nobody asked for", rec.Index, rec.Call)
		return
	}
	op := &x.h.Operations[rec.Operation]
	if !sameCall(&op.Call, &rec.Call) {
		x.report("altered", "index %d executes %v, but %v was sent", rec.Index, rec.Call, op.Call)
	}
	before := x.answers[rec.Operation]
	if len(before) > 0 && op.Call.Session == 0 && !readOnly(&op.Call) {
		x.report("duplicate", "index %d executes %v again, first at %d", rec.Index, op.Call,
			x.index[rec.Operation])
	}
	if x.index[rec.Operation] == 0 || l.executed {
		x.index[rec.Operation] = rec.Index
	}
	x.answers[rec.Operation] = append(before, l)
}

func (x *exact) judgeAnswers() {
	for i := range x.h.Operations {
		op := &x.h.Operations[i]
		switch {
		case op.Outcome == Refused && !readOnly(&op.Call) && slices.ContainsFunc(x.answers[i], wasExecuted):
			x.report("refused-executed", "%v was refused at %d, and executed at index %d", op.Call, op.Returned,
				x.index[i])
		case op.Outcome == Answered && !op.Barrier:
			x.judgeAnswer(op, x.answers[i], x.index[i])
		}
	}
}

func wasExecuted(l logged) bool { return l.executed }

// judgeAnswer wants an operation's answer to be that of one of its attempts.
func (x *exact) judgeAnswer(op *Operation, attempts []logged, index uint64) {
	if len(attempts) == 0 {
		x.report("lost", "%v was answered at %d (%v) and is not in the log", op.Call, op.Returned, op.Answer)
		return
	}
	why := ""
	for i := range attempts {
		if why = attempts[i].differs(op); why == "" {
			return
		}
	}
	x.report("answer", "%v at index %d: %s", op.Call, index, why)
}

// differs says why an attempt does not explain an operation's answer, or nothing if it does. A
// result too large to keep for a retry is told as such.
func (l *logged) differs(op *Operation) string {
	if !l.executed && op.Answer.Status == wire.StatusResultGone {
		return ""
	}
	return differs(&op.Call, &l.answer, &op.Answer)
}
