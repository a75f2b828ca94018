package slots

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/wire"
)

// gate holds lanes up to a frame.
type gate map[order.LaneID]uint64

func (g gate) Holds(c order.Cut) order.Verdict {
	for _, m := range c {
		if g[m.Lane] < m.Frames {
			return order.Missing
		}
	}
	return order.Held
}

func cutTo(n uint64) []byte {
	return order.AppendDecision(nil, &order.Decision{Cut: order.Cut{{Lane: 1, Frames: n, Items: n}}})
}

// A log grows by what was never accepted, and forgets from the front.
func TestLog(t *testing.T) {
	l := Log{Base: 10, Term: 3}
	l.Put(13, Slot{Ballot: 7, Decision: cutTo(1)})
	l.Grow(14).Promised = 9
	if l.Last() != 14 || l.At(10) != nil || l.At(15) != nil || l.At(11).Ballot != 0 || !l.Accepted(13, 7) {
		t.Fatalf("%+v", l)
	}
	if got := l.Entries(1, 99); len(got) != 1 || got[0].Slot != 13 {
		t.Errorf("entries %+v", got)
	}
	terms := []uint64{l.TermAt(10), l.TermAt(12), l.TermAt(13), l.TermAt(99)}
	if !slices.Equal(terms, []uint64{3, 0, 7, 0}) {
		t.Errorf("terms %v", terms)
	}
	l.Cut(13, 7)
	if l.Base != 13 || l.TermAt(13) != 7 || l.Last() != 14 || l.At(14).Promised != 9 {
		t.Errorf("after the cut: %+v", l)
	}
	if l.Cut(20, 8); l.Last() != 20 || l.At(14) != nil {
		t.Errorf("cut beyond its end: %+v", l)
	}
}

// After a restart all that was accepted is judged again, in order, up to the first that is not held (R4).
func TestHolesAreJudgedInOrder(t *testing.T) {
	l := Log{Base: 1}
	for n := uint64(2); n <= 5; n++ {
		l.Put(n, Slot{Ballot: 1, Decision: cutTo(n)})
	}
	l.Put(4, Slot{Promised: 2}) // never accepted
	holes := l.Holes()
	if !slices.Equal(holes, []uint64{2, 3, 5}) {
		t.Fatalf("holes %v", holes)
	}
	holes = l.Fill(holes, 1, gate{1: 2})
	if !slices.Equal(holes, []uint64{3, 5}) || !l.At(2).Held || l.At(3).Held {
		t.Fatalf("held up to 2: %v", holes)
	}
	if holes = l.Fill(holes, 3, gate{1: 2}); !slices.Equal(holes, []uint64{5}) {
		t.Fatalf("what is applied is no hole: %v", holes)
	}
	if holes = l.Fill(holes, 3, gate{1: 5}); len(holes) > 0 || !l.At(5).Held {
		t.Fatalf("all held: %v", holes)
	}
	if err := l.complete(3); err != nil {
		t.Error(err)
	}
	for _, commit := range []uint64{4, 6} {
		if err := l.complete(commit); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("decided to %d: %v", commit, err)
		}
	}
}

// The queue is ascending, keeps the highest ballot of a slot, and drops the newest at its bound.
func TestQueue(t *testing.T) {
	var q Queue
	for _, e := range []Entry{{5, 1, nil}, {3, 1, nil}, {5, 2, []byte{1}}, {5, 1, nil}} {
		q.Put(e, 1000)
	}
	if len(q.Wait) != 2 || q.Wait[0].Slot != 3 || q.Get(5).Ballot != 2 || q.Get(4) != nil ||
		q.Bytes != 2*overhead+1 {
		t.Fatalf("%+v", q)
	}
	if q.Put(Entry{Slot: 6}, q.Bytes+overhead-1); q.Dropped != 1 || q.Get(6) != nil {
		t.Errorf("beyond the bound: %+v", q)
	}
	if q.DropTo(4); q.Get(3) != nil || q.Get(5) == nil {
		t.Errorf("dropped to 4: %+v", q)
	}
	if q.Drop(5); q.Bytes != 0 {
		t.Errorf("empty, and %d bytes", q.Bytes)
	}
	q.Put(Entry{Slot: 7, Decision: make([]byte, 5000)}, 10)
	if q.Get(7) == nil {
		t.Error("one entry alone has room, whatever its size: it could never come otherwise")
	}
	if q.Clear(); q.Bytes != 0 || len(q.Wait) > 0 {
		t.Errorf("cleared: %+v", q)
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	want := []Entry{{4, 7, cutTo(1)}, {5, 7, nil}}
	for _, placed := range []bool{true, false} {
		var w wire.Writer
		AppendEntries(&w, want, placed)
		r := wire.NewReader(w.B)
		if got := ReadEntries(&r, placed, 4, 7); !r.Done() || !reflect.DeepEqual(got, want) {
			t.Errorf("placed %v: %+v", placed, got)
		}
	}
}

// Less than a majority never decides (R13), and members are fixed.
func TestBegin(t *testing.T) {
	three := &order.Members{Voters: []uint64{4, 5, 6}}
	good := order.Config{ID: 5, Gate: gate{}, ElectionTicks: 10, HeartbeatTicks: 2, Bootstrap: three}
	s, err := Begin("x", &good, 0)
	if err != nil || s.Self != 1 || s.Accepts != 2 || s.Log.Base != 1 || s.WaitMax != defaultWaitingBytes {
		t.Fatalf("%+v, %v", s, err)
	}
	many := &order.Members{}
	for id := range uint64(40) {
		many.Voters = append(many.Voters, id+1)
	}
	for name, test := range map[string]struct {
		change func(*order.Config)
		want   string
	}{
		"less than a majority": {func(c *order.Config) { c.AcceptQuorum = 1 }, "use 2 to 3"},
		"more than there are":  {func(c *order.Config) { c.AcceptQuorum = 4 }, "use 2 to 3"},
		"a joiner":             {func(c *order.Config) { c.Bootstrap = nil }, "members are fixed"},
		"a stranger":           {func(c *order.Config) { c.ID = 9 }, "members are fixed"},
		"too many":             {func(c *order.Config) { c.Bootstrap = many }, "at most 32"},
		"no gate":              {func(c *order.Config) { c.Gate = nil }, "no gate"},
		"a learner": {func(c *order.Config) {
			c.Bootstrap = &order.Members{Voters: []uint64{5}, Learners: []uint64{6}}
		}, "voters only"},
	} {
		c := good
		test.change(&c)
		if _, err := Begin("x", &c, 0); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What survived is repeated in order, and the first record that does not fit is named.
func TestRedo(t *testing.T) {
	at := order.SnapshotMeta{Position: 8, Term: 2, Members: order.Members{Voters: []uint64{1}}}
	c := order.Config{ID: 1, Gate: gate{}, ElectionTicks: 10, HeartbeatTicks: 2,
		Restart: &order.Restart{Snapshot: at, Records: [][]byte{{1}, {2}, {3}}}}
	s, err := Begin("x", &c, 0)
	if err != nil || s.Log.Base != 8 || s.Log.Term != 2 || s.Commit != 8 {
		t.Fatalf("%+v, %v", s, err)
	}
	seen := ""
	err = s.Redo(func(b []byte) error {
		if seen += fmt.Sprint(b[0]); b[0] == 2 {
			return order.ErrMalformed
		}
		return nil
	})
	if seen != "12" || !errors.Is(err, order.ErrMalformed) || !strings.Contains(err.Error(), "record 2 of 3") {
		t.Errorf("%s, %v", seen, err)
	}
}

func TestRestorable(t *testing.T) {
	voters := []uint64{1, 2, 3}
	good := order.SnapshotMeta{To: 2, Position: 9, Term: 1, Members: order.Members{Voters: voters}}
	r := Replica{ID: 2, Members: voters, Done: 9}
	if err := r.Restorable(&good); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		change func(*order.SnapshotMeta)
		want   error
	}{
		"another's":     {func(s *order.SnapshotMeta) { s.To = 3 }, order.ErrMalformed},
		"of no term":    {func(s *order.SnapshotMeta) { s.Term = 0 }, order.ErrMalformed},
		"out of bounds": {func(s *order.SnapshotMeta) { s.Position = MaxNumber + 1 }, order.ErrMalformed},
		"other members": {func(s *order.SnapshotMeta) { s.Members.Voters = []uint64{1, 2} }, order.ErrMembership},
		"old":           {func(s *order.SnapshotMeta) { s.Position = 8 }, order.ErrStale},
	} {
		s := good
		test.change(&s)
		if err := r.Restorable(&s); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One seed twice is one sequence (R18), members of one cluster draw different ones, and nothing is drawn
// too high.
func TestRandom(t *testing.T) {
	draw := func(id, seed uint64) (all []int) {
		r := NewRandom(&order.Config{ID: id, Seed: seed})
		for range 200 {
			n := r.Below(10)
			if n < 0 || n >= 10 {
				t.Fatalf("drew %d of 10", n)
			}
			all = append(all, n)
		}
		return all
	}
	if !slices.Equal(draw(1, 7), draw(1, 7)) || slices.Equal(draw(1, 7), draw(2, 7)) ||
		slices.Equal(draw(1, 7), draw(1, 8)) {
		t.Error("a sequence is its seed's and its member's")
	}
}
