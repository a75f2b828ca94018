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

// A message takes as many slots as it may, in order, and one at least, whatever its size.
func TestBatch(t *testing.T) {
	l := Log{Base: 1}
	for n := uint64(2); n <= 6; n++ {
		l.Put(n, Slot{Ballot: n % 3, Decision: []byte{byte(n)}}) // 2, 0, 1, 2, 0
	}
	numbers := func(entries []Entry) (all []uint64) {
		for _, e := range entries {
			all = append(all, e.Slot)
		}
		return all
	}
	for _, test := range []struct {
		from, to, least uint64
		most            int
		want            []uint64
	}{
		{1, 99, 0, 9, []uint64{2, 3, 4, 5, 6}}, {3, 5, 0, 9, []uint64{3, 4, 5}}, {1, 99, 2, 9, []uint64{2, 5}},
		{1, 99, 0, 2, []uint64{2, 3}}, {7, 99, 0, 9, nil},
	} {
		if got := numbers(l.Batch(test.from, test.to, test.least, test.most)); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v", test, got)
		}
	}
	for n := uint64(2); n <= 4; n++ {
		l.Put(n, Slot{Ballot: 1, Decision: make([]byte, maxBatchBytes)})
	}
	if got := numbers(l.Batch(2, 9, 1, 9)); !slices.Equal(got, []uint64{2}) {
		t.Errorf("large ones: %v", got)
	}
}

func begun(t *testing.T) *Leaderless {
	t.Helper()
	l, err := BeginLeaderless("x", &order.Config{ID: 2, Gate: gate{}, ElectionTicks: 10, HeartbeatTicks: 2,
		Bootstrap: &order.Members{Voters: []uint64{1, 2, 3}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &l
}

// What is decided is handed out in order while it is held; what is applied may be forgotten, and state stands
// for it: offered, sent to each once at a time, and taken.
func TestStateStandsForTheLog(t *testing.T) {
	l := begun(t)
	var ready order.Ready
	for n := uint64(2); n <= 5; n++ {
		l.Log.Put(n, Slot{Ballot: 7, Held: n != 5})
	}
	if l.HandOut(5, &ready); len(ready.Committed) != 3 || ready.Committed[2].Position != 4 {
		t.Fatalf("5 is not held: %+v", ready.Committed)
	}
	l.Apply(99)
	if _, ok := l.Place(5); ok || l.Done != 4 {
		t.Fatalf("applied %d", l.Done)
	}
	if l.Snapshot(5); !l.Forget(3) || l.Forget(3) || l.Log.Base != 3 {
		t.Fatalf("the log begins behind %d", l.Log.Base)
	}
	if l.SendState(0, &ready); !ready.WantSnapshot || l.Sending(0) {
		t.Fatal("nothing is offered yet")
	}
	l.Snapshot(4)
	for range 2 {
		l.SendState(0, &ready)
	}
	if got := ready.Snapshots; len(got) != 1 || got[0].To != 1 || got[0].Position != 4 || got[0].Term != 7 {
		t.Fatalf("%+v", got)
	}
	if l.Arrived(0, 3); !l.Sending(0) {
		t.Error("3 is not what was sent")
	}
	if l.Arrived(0, 4); l.Sending(0) {
		t.Error("it has what was sent")
	}
	l.SendState(2, &ready)
	if l.SnapshotSent(3, false); l.Sending(2) {
		t.Error("the transfer ended")
	}
	l.Wait.Put(Entry{Slot: 9}, 1000)
	l.TakeState(&order.SnapshotMeta{Position: 9, Term: 8}, &ready)
	if s := l.Status(true); s.Position != 9 || s.Applied != 9 || s.Waiting != 0 || ready.Committed != nil ||
		l.Log.Last() != 9 || l.Log.TermAt(9) != 8 {
		t.Fatalf("%+v", s)
	}
}

// Who was heard is alive for an election timeout; the first of them speaks for all, if they are a majority.
func TestSpeaker(t *testing.T) {
	l := begun(t)
	if l.Speaker() != -1 || l.Status(false).Leader != 0 {
		t.Error("alone it is no majority of three")
	}
	if l.Hear(2); l.Speaker() != 1 || l.Status(true).Leader != 2 || l.Status(false).Leader != 0 {
		t.Errorf("%d speaks for 2 and 3", l.Speaker())
	}
	if l.Hear(0); l.Speaker() != 0 || l.Status(false).Leader != 1 {
		t.Errorf("%d speaks for all", l.Speaker())
	}
	for range l.ElectionTicks {
		l.Age()
	}
	if l.Speaker() != -1 || !l.Overdue(0) || l.Overdue(1) {
		t.Error("silence ends it")
	}
}

// One member is asked as long as it knows more.
func TestSource(t *testing.T) {
	s, knows := Source(0), []bool{false, true, true}
	ask := func() int { return s.Stay(3, func(i int) bool { return knows[i] }) }
	if a, b := ask(), ask(); a != 1 || b != 1 {
		t.Errorf("asked %d, then %d", a, b)
	}
	if s++; ask() != 2 {
		t.Error("it did not help: another is asked")
	}
	if knows[1], knows[2] = false, false; ask() != -1 || s != 2 {
		t.Errorf("nobody knows more: %d", s)
	}
}

func TestCheckEntries(t *testing.T) {
	if err := CheckEntries([]Entry{{2, 1, nil}, {4, 9, cutTo(1)}}, 1, 9); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]Entry{
		"no news": {{1, 1, nil}}, "a slot twice": {{2, 1, nil}, {2, 1, nil}}, "no ballot": {{2, 0, nil}},
		"a ballot too high": {{2, 10, nil}}, "no decision": {{2, 1, []byte{77}}},
		"a slot out of bounds": {{MaxNumber + 1, 1, nil}},
	} {
		if err := CheckEntries(bad, 1, 9); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !Dense([]Entry{{2, 1, nil}, {3, 1, nil}}) || Dense([]Entry{{2, 1, nil}, {4, 1, nil}}) {
		t.Error("dense is without gaps")
	}
	if b := Ballot(9, 1); Owner(b) != 1 || Round(b) != 9 || Name(b) != "9.1" || b <= Ballot(8, 2) {
		t.Errorf("a ballot is %d", b)
	}
}
