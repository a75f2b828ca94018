package history

import (
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/wire"
)

// told is a legal history as clients see it: no log, but revisions, of puts with their own values,
// compare-and-sets, reads and deletions, as many at once as there are connections.
func told(seed uint64, n int) *History {
	rng := rand.New(rand.NewPCG(seed, 3))
	const connections, keys = 4, 3
	s := newState()
	h := &History{Start: 1}
	index, clock := uint64(0), int64(0)
	free := [connections]int64{}
	for i := range n {
		clock += 10
		conn := rng.IntN(connections)
		if free[conn] >= clock {
			continue
		}
		c := toldCall(rng, s, string(rune('a'+rng.IntN(keys))), string(rune(0x4e00+i)))
		op := Operation{Connection: conn, Call: c, Invoked: max(free[conn]+1, clock-int64(rng.IntN(30))),
			Returned: clock + 1 + int64(rng.IntN(30)), Outcome: Answered}
		index += uint64(1 + rng.IntN(3)) // others' keys
		op.Answer = s.apply(index, &c)
		if c.Op == wire.OpPut {
			op.Answer = Answer{Blind: true}
		}
		free[conn] = op.Returned
		if rng.IntN(12) == 0 {
			op.Outcome, op.Returned, op.Answer = Unknown, Never, Answer{}
		}
		h.Operations = append(h.Operations, op)
	}
	slices.SortStableFunc(h.Operations, func(a, b Operation) int { return int(a.Invoked - b.Invoked) })
	return h
}

func toldCall(rng *rand.Rand, s *state, key, value string) Call {
	c := Call{Op: wire.OpGet, Key: key}
	switch rng.IntN(8) {
	case 0, 1:
		c = put(key, value)
	case 2, 3:
		c = put(key, value)
		c.Op, c.Expect = wire.OpCAS, s.keys[key].revision+uint64(rng.IntN(4)/3)
	case 4:
		c.Op = wire.OpDelete
	}
	return c
}

func TestToldHistoriesPass(t *testing.T) {
	placed := 0
	for seed := range uint64(60) {
		found, n := Indexed(told(seed, 200))
		if len(found) > 0 {
			t.Errorf("seed %d: %v", seed, found[0])
		}
		placed += n
	}
	if placed < 60*40 {
		t.Errorf("only %d operations were placed", placed)
	}
}

// What clients were told about the order, made wrong in one place each.
func TestIndexedFinds(t *testing.T) {
	cas := func(key, value string, expect uint64) Call {
		return Call{Op: wire.OpCAS, Key: key, Value: value, Expect: expect}
	}
	for _, tc := range []struct {
		name, rule string
		ops        []Operation
	}{
		{"two keys in an order that real time forbids", "real-time", []Operation{
			done(1, cas("a", "1", 0), 0, 1, Answer{Revision: 9}),
			done(2, cas("b", "1", 0), 2, 3, Answer{Revision: 5})}},
		{"a stale read by an index of another key", "stale-read", []Operation{
			done(1, cas("a", "1", 0), 0, 1, Answer{Revision: 1}),
			done(1, cas("a", "2", 1), 0, 20, Answer{Revision: 2}),
			done(2, cas("b", "1", 0), 2, 3, Answer{Revision: 5}), done(3, read("a"), 4, 5, seen("1", 1))}},
		{"a value nobody wrote", "phantom", []Operation{done(1, read("a"), 0, 1, seen("x", 3))}},
		{"one index twice", "one-place", []Operation{
			done(1, cas("a", "1", 0), 0, 5, Answer{Revision: 7}),
			done(2, cas("b", "1", 0), 0, 5, Answer{Revision: 7})}},
		{"a write at two places", "two-places", []Operation{
			done(1, put("a", "1"), 0, 1, Answer{Blind: true}), done(2, read("a"), 2, 3, seen("1", 1)),
			done(2, read("a"), 4, 5, seen("1", 4))}},
		{"a refused write that is there", "refused-executed", []Operation{
			{Connection: 1, Call: put("a", "1"), Invoked: 0, Returned: 1, Outcome: Refused},
			done(2, read("a"), 2, 3, seen("1", 1))}},
		{"a compare-and-set over another's write", "condition", []Operation{
			done(1, cas("a", "1", 0), 0, 1, Answer{Revision: 1}), done(1, cas("a", "2", 1), 2, 9, Answer{Revision: 2}),
			done(2, cas("a", "3", 1), 2, 9, Answer{Revision: 3})}},
		{"a lost write", "stale-read", []Operation{
			done(1, cas("a", "1", 0), 0, 1, Answer{Revision: 1}), done(2, read("a"), 2, 3, missing)}},
	} {
		h := &History{Operations: tc.ops, Start: 1}
		found, _ := Indexed(h)
		if !slices.ContainsFunc(found, func(v Violation) bool { return v.Rule == tc.rule }) {
			t.Errorf("%s: found %v", tc.name, found)
		}
	}
}
