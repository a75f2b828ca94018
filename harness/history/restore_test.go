package history

import (
	"testing"

	"metronome/system/wire"
)

// After a restore indexes go on higher, keys and revisions of what was kept are the same, and no
// session is (R29).
func TestARestoreEndsSessionsAndLetsIndexesJump(t *testing.T) {
	const jump = 1000
	ops := []Operation{
		done(1, Call{Op: wire.OpSession}, 0, 1, Answer{Number: 1}),
		done(1, put("a", "1"), 2, 3, Answer{Revision: 2}),
		done(2, read("a"), 10, 11, seen("1", 2)),
		done(1, incr(1, 1), 12, 13, Answer{Status: wire.StatusSessionUnknown}),
	}
	records := func(next uint64) []Record {
		return []Record{{Index: 1, Operation: 0, Call: ops[0].Call}, {Index: 2, Operation: 1, Call: ops[1].Call},
			{Index: jump, Restore: true}, {Index: next, Operation: 2, Call: ops[2].Call},
			{Index: next + 1, Operation: 3, Call: ops[3].Call}}
	}
	if found := Exact(&History{Operations: ops, Log: records(jump + 1)}); len(found) > 0 {
		t.Errorf("a restore is called wrong: %v", found)
	}
	if found := Exact(&History{Operations: ops, Log: records(3)}); len(found) == 0 {
		t.Error("a restore without a jump passes")
	}
	ops[3].Answer = Answer{Number: 1, Revision: jump + 2}
	if found := Exact(&History{Operations: ops, Log: records(jump + 1)}); len(found) == 0 {
		t.Error("a session outlives a restore")
	}
}
