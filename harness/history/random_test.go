package history

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"metronome/system/wire"
)

// random is a legal history made by a perfect store under a seed: operations overlap, some answers
// are lost, some operations are refused, and some reads are barrier reads.
func random(seed uint64, n int) *History {
	r := rand.New(rand.NewPCG(seed, 1))
	h := &History{Limits: Limits{Window: 8, Sessions: 2}}
	truth := newReplayer(h.Limits)
	session, number := uint64(0), uint64(0)
	for i := range n {
		at := int64(i*10 - r.IntN(30))
		if i > 0 {
			at = max(at, h.Operations[i-1].Invoked)
		}
		op := Operation{Connection: i, Call: randomCall(r), Invoked: at, Returned: int64(i*10 + r.IntN(30))}
		index := uint64(len(h.Log) + 1)
		if op.Call.Op == wire.OpIncr && session != 0 {
			number++
			op.Call.Session, op.Call.Number, op.Call.Low = session, number, max(number, 4)-3
		}
		if op.Call.Op == wire.OpSession {
			session, number = index, 0
		}
		h.Operations = append(h.Operations, finish(r, h, truth, op, index))
	}
	return h
}

func finish(r *rand.Rand, h *History, truth *replayer, op Operation, index uint64) Operation {
	if fate := r.IntN(12); fate == 0 {
		op.Outcome = Refused
		return op
	} else if fate == 1 {
		op.Outcome, op.Returned = Unknown, Never
		if r.IntN(2) == 0 {
			return op
		}
	} else {
		op.Outcome = Answered
	}
	if op.Call.Op == wire.OpGet && op.Outcome == Answered && r.IntN(2) == 0 {
		op.Barrier = true
		v, present := truth.state.keys[op.Call.Key]
		op.Answer = get(&op.Call, v, present)
		return op
	}
	rec := Record{Index: index, Operation: len(h.Operations), Call: op.Call}
	h.Log = append(h.Log, rec)
	op.Answer, _ = truth.apply(&rec)
	if op.Call.Op == wire.OpPut && r.IntN(2) == 0 {
		op.Answer.Blind = true
	}
	return op
}

func randomCall(r *rand.Rand) Call {
	c := Call{Op: wire.Op(1 + r.IntN(10)), Key: fmt.Sprint("k", r.IntN(4)),
		Value: strings.Repeat("v", r.IntN(3)) +
			fmt.Sprint(r.IntN(100))}
	switch c.Op {
	case wire.OpCAS:
		c.Expect = uint64(r.IntN(12))
	case wire.OpIncr:
		c.Delta = int64(r.IntN(9) - 4)
	case wire.OpMulti:
		c = Call{Op: wire.OpMulti}
		for range 1 + r.IntN(3) {
			c.Calls = append(c.Calls, Call{Op: wire.Op(1 + r.IntN(3)), Key: fmt.Sprint("k", r.IntN(4)),
				Value: fmt.Sprint(r.IntN(100))})
		}
	case wire.OpScan:
		c = Call{Op: wire.OpScan, Key: "k", Scan: Scan{Limit: 1 + r.IntN(4), Values: true}}
	case wire.OpSession, wire.OpCount:
		c = Call{Op: c.Op}
	}
	return c
}

func TestLegalHistoriesPass(t *testing.T) {
	for seed := range uint64(200) {
		n := 20
		if seed%10 == 0 {
			n = 300
		}
		h := random(seed, n)
		for _, v := range Exact(h) {
			t.Errorf("seed %d: exact: %v", seed, v)
		}
		pick := rand.New(rand.NewPCG(seed, 2)).IntN
		if f := Linearizable(h, Budget{Whole: 25}, pick); f.Verdict != Legal || f.Judged == 0 {
			t.Errorf("seed %d: linearizable: %+v", seed, f)
		}
	}
}

// TestAnyWrongAnswerIsFound changes one answered value or number of a legal history; both judges
// must say so.
func TestAnyWrongAnswerIsFound(t *testing.T) {
	changed := 0
	for seed := range uint64(100) {
		h := random(seed, 30)
		op := &h.Operations[int(seed)%len(h.Operations)]
		if op.Outcome != Answered || op.Answer.Blind || op.Answer.Status != wire.StatusOK {
			continue
		}
		switch op.Call.Op {
		case wire.OpIncr, wire.OpAppend, wire.OpCount:
			op.Answer.Number += 1000
		case wire.OpGet:
			op.Answer.Value += "!"
			op.Answer.Status = wire.StatusOK
		default:
			continue
		}
		changed++
		if len(Exact(h)) == 0 {
			t.Errorf("seed %d: exact finds nothing wrong with %v answering %v", seed, op.Call, op.Answer)
		}
		if f := Linearizable(h, Budget{Whole: 30}, nil); f.Verdict != Illegal {
			t.Errorf("seed %d: linearizable says %v of %v answering %v", seed, f.Verdict, op.Call, op.Answer)
		}
	}
	if changed < 20 {
		t.Errorf("only %d histories were changed", changed)
	}
}
