package history

import (
	"strings"
	"testing"

	"metronome/system/wire"
)

func put(key, value string) Call { return Call{Op: wire.OpPut, Key: key, Value: value} }
func read(key string) Call       { return Call{Op: wire.OpGet, Key: key} }

func incr(session, number uint64) Call {
	return Call{Op: wire.OpIncr, Key: "n", Delta: 1, Session: session, Number: number, Low: 1}
}

func seen(value string, revision uint64) Answer {
	return Answer{Existed: true, Value: value, Revision: revision}
}

func done(connection int, c Call, from, to int64, a Answer) Operation {
	return Operation{Connection: connection, Call: c, Invoked: from, Returned: to, Outcome: Answered, Answer: a}
}

func barrier(connection int, c Call, from, to int64, a Answer) Operation {
	op := done(connection, c, from, to, a)
	op.Barrier = true
	return op
}

// log executes operations at the indexes 1, 2, … in the order given.
func log(ops []Operation, places ...int) (all []Record) {
	for i, place := range places {
		all = append(all, Record{Index: uint64(i + 1), Operation: place, Call: ops[place].Call})
	}
	return all
}

var missing = Answer{Status: wire.StatusNotFound}

// The negative controls: histories with one thing wrong, and what each judge must say. hidden is
// what Linearizable, which sees no log, can know.
var bad = []struct {
	name   string
	ops    []Operation
	places []int
	rule   string
	hidden Verdict
}{
	{"a lost write", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 1}),
		done(2, read("a"), 2, 3, missing),
	}, []int{1}, "lost", Illegal},
	{"a stale read", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 1}),
		done(1, put("a", "2"), 2, 3, Answer{Revision: 2, Existed: true}),
		done(2, read("a"), 4, 5, seen("1", 1)),
	}, []int{0, 1, 2}, "answer", Illegal},
	{"a stale barrier read", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 1}),
		done(1, put("a", "2"), 2, 3, Answer{Revision: 2, Existed: true}),
		barrier(2, read("a"), 4, 5, seen("1", 1)),
	}, []int{0, 1}, "stale-read", Illegal},
	{"barrier reads that go back in time", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 1}),
		done(1, put("a", "2"), 2, 9, Answer{Revision: 2, Existed: true}),
		barrier(2, read("a"), 3, 4, seen("2", 2)),
		barrier(3, read("a"), 5, 6, seen("1", 1)),
	}, []int{0, 1}, "stale-read", Illegal},
	{"a write ordered before an earlier barrier read", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 2}),
		barrier(2, read("a"), 2, 3, seen("1", 2)),
		done(1, put("b", "1"), 4, 5, Answer{Revision: 1}),
	}, []int{2, 0}, "real-time", Legal},
	{"two keys in an order that real time forbids", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 2}),
		done(2, put("b", "1"), 2, 3, Answer{Revision: 1}),
	}, []int{1, 0}, "real-time", Legal},
	{"two keys seen in opposite orders", []Operation{
		done(1, put("a", "1"), 0, 100, Answer{Blind: true}),
		done(2, put("b", "1"), 0, 100, Answer{Blind: true}),
		done(3, read("a"), 1, 2, seen("1", 7)),
		done(3, read("b"), 3, 4, missing),
		done(4, read("b"), 1, 2, seen("1", 8)),
		done(4, read("a"), 3, 4, missing),
	}, []int{0, 2, 3, 1, 4, 5}, "answer", Illegal},
	{"a pipeline run reversed", []Operation{
		done(1, put("a", "1"), 0, 10, Answer{Blind: true}),
		done(1, read("a"), 1, 11, missing),
	}, []int{1, 0}, "program-order", Legal},
	{"an operation executed twice", []Operation{
		done(1, Call{Op: wire.OpIncr, Key: "n", Delta: 1}, 0, 1, Answer{Number: 1, Revision: 1}),
		done(1, read("n"), 2, 3, seen("2", 2)),
	}, []int{0, 0, 1}, "duplicate", Illegal},
	{"a refused operation executed", []Operation{
		{Connection: 1, Call: put("a", "1"), Invoked: 0, Returned: 1, Outcome: Refused},
		done(1, read("a"), 2, 3, seen("1", 1)),
	}, []int{0, 1}, "refused-executed", Illegal},
	{"a session's number dropped and answered", []Operation{
		done(1, Call{Op: wire.OpSession}, 0, 1, Answer{Number: 1}),
		done(1, incr(1, 2), 2, 3, Answer{Number: 1, Revision: 2}),
		done(1, incr(1, 1), 2, 5, Answer{Number: 1, Revision: 2, Existed: true}),
		done(1, read("n"), 6, 7, seen("1", 2)),
	}, []int{0, 1, 2, 3}, "answer", Illegal},
	{"a session's number executed twice", []Operation{
		done(1, Call{Op: wire.OpSession}, 0, 1, Answer{Number: 1}),
		done(1, incr(1, 1), 2, 5, Answer{Number: 2, Revision: 3, Existed: true}),
	}, []int{0, 1, 1}, "answer", Illegal},
	{"a multi torn in two", []Operation{
		done(1, Call{Op: wire.OpMulti, Calls: []Call{put("a", "1"), put("b", "1")}}, 0, 9,
			Answer{Number: 2, Answers: []Answer{{Revision: 1}, {Revision: 1}}}),
		done(2, Call{Op: wire.OpMulti, Calls: []Call{read("a"), read("b")}}, 1, 2,
			Answer{Number: 1, Answers: []Answer{seen("1", 1), missing}}),
	}, []int{0, 1}, "answer", Illegal},
	{"a scan that misses a key", []Operation{
		done(1, put("ka", "1"), 0, 1, Answer{Revision: 1}),
		done(1, put("kb", "2"), 2, 3, Answer{Revision: 2}),
		done(1, Call{Op: wire.OpScan, Key: "k", Scan: Scan{Limit: 9}}, 4, 5,
			Answer{Entries: []Entry{{Key: "kb", Revision: 2}}}),
	}, []int{0, 1, 2}, "answer", Illegal},
	{"a compare-and-set on an old revision", []Operation{
		done(1, put("a", "1"), 0, 1, Answer{Revision: 1}),
		done(1, put("a", "2"), 2, 3, Answer{Revision: 2, Existed: true}),
		done(2, Call{Op: wire.OpCAS, Key: "a", Value: "3", Expect: 1}, 4, 5, Answer{Revision: 3, Existed: true}),
	}, []int{0, 1, 2}, "answer", Illegal},
}

func TestKnownBadHistoriesAreFlagged(t *testing.T) {
	for _, b := range bad {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			h := &History{Operations: b.ops, Log: log(b.ops, b.places...)}
			found := Exact(h)
			if len(found) == 0 {
				t.Fatalf("exact finds nothing, want %q", b.rule)
			}
			if found[0].Rule != b.rule {
				t.Errorf("exact finds %v first, want %q", found[0], b.rule)
			}
			if v := Linearizable(h, Budget{Whole: 100}, nil).Verdict; v != b.hidden {
				t.Errorf("linearizable says %v, want %v", v, b.hidden)
			}
		})
	}
}

func TestTheLogItselfIsJudged(t *testing.T) {
	ops := []Operation{done(1, put("a", "1"), 0, 1, Answer{Revision: 1})}
	for name, log := range map[string][]Record{
		"gap":     {{Index: 1, Operation: 0, Call: ops[0].Call}, {Index: 3, Operation: -1, Call: put("b", "")}},
		"phantom": {{Index: 1, Operation: 0, Call: ops[0].Call}, {Index: 2, Operation: -1, Call: put("b", "")}},
		"altered": {{Index: 1, Operation: 0, Call: put("a", "2")}},
	} {
		found := Exact(&History{Operations: ops, Log: log})
		if len(found) == 0 || found[0].Rule != name {
			t.Errorf("want %q, found %v", name, found)
		}
	}
}

// A search that runs out of steps says so instead of passing.
func TestAnUnfinishedSearchDoesNotPass(t *testing.T) {
	var ops []Operation
	for i := range 14 {
		c := Call{Op: wire.OpAppend, Key: "a", Value: string(rune('a' + i))}
		ops = append(ops, done(i, c, 0, 100, Answer{Blind: true}))
	}
	ops = append(ops, done(99, read("a"), 101, 102, seen("no such value", 1)))
	if v := Linearizable(&History{Operations: ops}, Budget{Steps: 50}, nil).Verdict; v != Unfinished {
		t.Errorf("says %v after 50 steps", v)
	}
}

// Unknown operations may have happened late, or never, and must not be forgotten.
func TestUnknownOutcomesStayOpen(t *testing.T) {
	lost := Operation{Connection: 1, Call: put("a", "1"), Invoked: 0, Returned: Never}
	late := []Operation{lost, done(2, read("a"), 5, 6, missing), done(2, read("a"), 7, 8, seen("1", 2))}
	if found := Exact(&History{Operations: late, Log: log(late, 1, 0, 2)}); len(found) != 0 {
		t.Errorf("a late write: %v", found)
	}
	if v := Linearizable(&History{Operations: late}, Budget{Whole: 9}, nil).Verdict; v != Legal {
		t.Errorf("a late write: %v", v)
	}
	undone := []Operation{lost, done(2, read("a"), 5, 6, seen("1", 1)), done(2, read("a"), 7, 8, missing)}
	if v := Linearizable(&History{Operations: undone}, Budget{}, nil).Verdict; v != Illegal {
		t.Errorf("a write seen and gone: %v", v)
	}
}

// What would take for ever is passed over, and counted, rather than begun.
func TestTooMuchOverlapIsPassedOver(t *testing.T) {
	var ops []Operation
	for i := range 8 {
		ops = append(ops, done(i, put("a", "1"), int64(i), 100, Answer{Blind: true}))
	}
	h := &History{Operations: ops}
	if f := Linearizable(h, Budget{Overlap: 7}, nil); f.Passed != 1 || f.Judged != 0 {
		t.Errorf("8 at once, at most 7: %+v", f)
	}
	if f := Linearizable(h, Budget{Overlap: 8}, nil); f.Passed != 0 || f.Judged != 1 {
		t.Errorf("8 at once, at most 8: %+v", f)
	}
}

// A barrier read may pass an item of its connection whose outcome nobody knows, and nothing else.
func TestABarrierReadPassesOnlyWhatIsUnknown(t *testing.T) {
	late := Operation{Connection: 1, Call: put("a", "1"), Invoked: 0, Returned: Never}
	ops := []Operation{late, barrier(1, read("a"), 5, 6, missing),
		done(2, put("b", "1"), 7, 8, Answer{Revision: 1})}
	if found := Exact(&History{Operations: ops, Log: log(ops, 2, 0)}); len(found) != 0 {
		t.Errorf("an unknown outcome: %v", found)
	}
	ops[0].Outcome, ops[0].Returned, ops[0].Answer = Answered, 20, Answer{Blind: true}
	if found := Exact(&History{Operations: ops, Log: log(ops, 2, 0)}); len(found) == 0 {
		t.Error("a read passed a write of its own connection, and nothing was found")
	}
}
