package raft

import (
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"metronome/system/order"
)

// While items are missing at a follower, appends and heartbeats keep flowing: the leader keeps it in
// replicate state, every tick of 40, and the commit index reaches it.
func TestR12GatedFollowerStaysInReplicateState(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.propose(leader, at(7, 1))
	c.holds(7, 1, 2) // 3 lacks it
	c.settle()
	c.lost = func(e envelope) bool { // nothing is lost; but 3 must have nothing to reject
		if m := e.decode(t); e.from == 3 && m.GetReject() {
			t.Fatalf("the gated follower rejects: %s", describe(t, e.data))
		}
		return false
	}
	for n := uint64(2); n < 42; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.tick()
		if got := leader.progress(3); got != tracker.StateReplicate {
			t.Fatalf("tick %d: the leader treats the gated follower as %v", n, got)
		}
	}
	gated := c.members[3].r.Status()
	if gated.Waiting == 0 || gated.Leader != 1 {
		t.Fatalf("the gated follower: %+v", gated)
	}
	if s := leader.r.Status(); s.Match[3] >= s.Match[2] || s.Position != s.Match[2] {
		t.Fatalf("3 acknowledged what it does not hold: %+v", s)
	}
	c.holds(7, 41, 3)
	c.tick()
	c.tick()
	if a, b := c.members[3].place.Position, leader.place.Position; a != b {
		t.Fatalf("once held, 3 applied %d of %d", a, b)
	}
}

// The failing run that R12 prevents: holding whole appends back while empty ones pass makes the
// follower reject them, for it lacks their predecessor, and the leader drops it to probing.
func TestR12HoldingWholeAppendsBackDropsToProbing(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.lost = func(e envelope) bool {
		m := e.decode(t)
		return e.to == 3 && m.GetType() == pb.MsgApp && len(m.GetEntries()) > 0
	}
	probing := 0
	for n := uint64(1); n <= 40; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.tick()
		if leader.progress(3) == tracker.StateProbe {
			probing++
		}
	}
	if probing < 30 {
		t.Fatalf("probing in %d of 40 ticks: the run no longer shows why R12 is there", probing)
	}
	t.Logf("without the prefix rule: probing in %d of 40 ticks", probing)
}

// Part of an append is held: that part is accepted at once, the rest in order as it comes to be held.
func TestR12HeldPrefixIsAcceptedAtOnce(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	base := leader.r.Status().Last
	c.holds(7, 2, 3)
	for n := uint64(1); n <= 4; n++ {
		c.propose(leader, at(7, n))
	}
	c.settle()
	for held := uint64(2); held <= 4; held++ {
		c.holds(7, held, 3)
		c.settle()
		if got := leader.r.Status().Match[3]; got != base+held {
			t.Fatalf("holding %d of 4 cuts: accepted up to %d, want %d", held, got, base+held)
		}
	}
}

// The commit index flows while entries wait: with appends that wait behind, and with what is accepted
// later. No tick, and so no heartbeat, passes here.
func TestR12CommitIndexFlowsWhileEntriesWait(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	base := leader.r.Status().Last
	c.holds(7, 9, 2)
	c.holds(7, 1, 3)
	for n := uint64(1); n <= 3; n++ {
		c.propose(leader, at(7, n))
	}
	c.settle()
	if s := c.members[3].r.Status(); s.Last != base+1 || s.Position != base+1 || s.Waiting != 2 {
		t.Fatalf("one of three cuts held, all three committed: %+v", s)
	}
	c.holds(7, 3, 3)
	if s := c.members[3].r.Status(); s.Last != base+3 || s.Position != base+3 || s.Waiting != 0 {
		t.Fatalf("all held, before any further message: %+v", s)
	}
}

// A cut whose chain is another history is refused and reported; what precedes it is accepted, what
// follows it is not, and when the right history is there it is accepted on the next sending.
func TestR14MismatchIsRefusedAndReported(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	base := leader.r.Status().Last
	for _, id := range c.ids() {
		c.holds(7, 9, id)
		c.holds(8, 9, id)
	}
	c.members[3].shelf.Forged[8] = true
	c.propose(leader, at(7, 1))
	c.propose(leader, at(8, 1))
	c.propose(leader, at(7, 2))
	c.settle()
	if s := c.members[3].r.Status(); s.Last != base+1 || s.Refused == 0 || s.Waiting != 0 {
		t.Fatalf("after a mismatch: %+v", s)
	}
	if c.members[3].refused == 0 {
		t.Fatal("the refusal is not reported")
	}
	delete(c.members[3].shelf.Forged, 8)
	for range 4 {
		c.tick()
	}
	if s := c.members[3].r.Status(); s.Last != leader.r.Status().Last {
		t.Fatalf("with the right history: %+v", s)
	}
}

// A mismatch that shows only when waiting cuts are looked at again.
func TestR14MismatchWhileWaiting(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.propose(leader, at(7, 1))
	c.settle()
	c.members[3].shelf.Forged[7] = true
	c.members[3].r.Recheck()
	c.ready(c.members[3])
	if s := c.members[3].r.Status(); s.Refused != 1 || s.Waiting != 0 {
		t.Fatalf("%+v", s)
	}
}

// What waits at the gate is bounded in bytes; the newest is dropped and comes again.
func TestWaitingIsBounded(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2)
	c.start(3, Config{Bootstrap: &order.Members{Voters: []uint64{1, 2, 3}}, MaxWaitingBytes: 300})
	for _, id := range []uint64{1, 2} {
		c.start(id, Config{Bootstrap: &order.Members{Voters: []uint64{1, 2, 3}}})
	}
	leader := c.elect(1)
	for n := uint64(1); n <= 50; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.tick()
		if w := c.members[3].r.wait; w.bytes > 300 {
			t.Fatalf("%d bytes wait", w.bytes)
		}
	}
	if s := c.members[3].r.Status(); s.Dropped == 0 {
		t.Fatalf("nothing was dropped: %+v", s)
	}
	c.holds(7, 50, 3)
	for range 20 {
		c.tick()
	}
	if a, b := c.members[3].place.Position, leader.place.Position; a != b {
		t.Fatalf("3 applied %d of %d", a, b)
	}
}

// A higher term drops what waits of lower ones, and the new leader's entries are judged anew.
func TestHigherTermDropsWhatWaits(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	one := c.elect(1)
	c.propose(one, at(7, 1))
	c.settle()
	if w := c.members[2].r.Status().Waiting; w != 1 {
		t.Fatalf("%d entries wait", w)
	}
	c.propose(one, at(7, 2))
	c.propose(one, at(7, 3))
	c.settle()
	c.lost = func(e envelope) bool { return e.from == 1 || e.to == 1 }
	two := c.elect(2)
	if w := c.members[3].r.wait; len(w.entries) != 0 {
		t.Fatalf("3 took the next leader's append, and still keeps %+v", w)
	}
	c.propose(two, at(8, 1))
	c.holds(8, 1, 3)
	c.holds(7, 1, 2, 3)
	if w := two.r.wait; len(w.entries) != 0 {
		t.Fatalf("the new leader still keeps %+v", w)
	}
	c.settle()
	c.lost = nil
	for range 30 {
		c.tick()
	}
	c.holds(8, 1, 1)
	for range 5 {
		c.tick()
	}
	if a, b := one.place.Position, two.place.Position; a != b || len(one.state) != len(two.state) {
		t.Fatalf("1 applied %d of %d", a, b)
	}
}

// A leader proposes only after it applied the empty entry of its own term, and only what it holds.
func TestR7ProposesOnlyAfterItsEmptyEntry(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	m := c.members[1]
	sawEarly := false
	for range 200 {
		m.r.Tick()
		c.ready(m)
		for c.deliver() {
			s := m.r.Status()
			if s.Leader != 1 || s.Leading {
				continue
			}
			sawEarly = true
			if err := m.r.Propose(decision(at(7, 1))); !errors.Is(err, order.ErrNotLeader) {
				t.Fatalf("proposing before the empty entry is applied: %v", err)
			}
		}
	}
	if s := m.r.Status(); !sawEarly || !s.Leading {
		t.Fatalf("the run never saw a leader before its empty entry was applied: %+v", s)
	}
	if err := m.r.Propose(decision(at(7, 1))); !errors.Is(err, order.ErrNotHeld) {
		t.Fatalf("R8: proposing what is not held: %v", err)
	}
	if err := m.r.Propose([]byte{9}); !errors.Is(err, order.ErrMalformed) {
		t.Fatalf("proposing garbage: %v", err)
	}
	if err := c.members[2].r.Propose(decision()); !errors.Is(err, order.ErrNotLeader) {
		t.Fatalf("a follower forwards: %v", err)
	}
}

// gatedAppend is an append of leader 1 in term 2 to member 3: the entries first..last, each with a cut
// of lane 7 at its own index.
func gatedAppend(after, first, last, commit uint64) []byte {
	m := &pb.Message{Type: pb.MsgApp.Enum(), From: new(uint64(1)), To: new(uint64(3)), Term: new(uint64(2)),
		Index: &after, LogTerm: new(uint64(2)), Commit: &commit}
	if after == 1 {
		m.LogTerm = new(uint64(1))
	}
	for n := first; n <= last; n++ {
		m.Entries = append(m.Entries, &pb.Entry{Index: new(n), Term: new(uint64(2)),
			Type: pb.EntryNormal.Enum(), Data: decision(at(7, n))})
	}
	return marshal(m)
}

// Appends that repeat, overlap or come late leave the run and the log as they should be.
func TestAppendsThatOverlapWhatWaits(t *testing.T) {
	type stand struct{ last, committed, waiting uint64 }
	for _, test := range []struct {
		name  string
		steps func(m *member, step func([]byte))
		want  stand
	}{
		{"repeated", func(_ *member, step func([]byte)) {
			step(gatedAppend(1, 2, 4, 1))
			step(gatedAppend(1, 2, 4, 1))
		}, stand{1, 1, 3}},
		{"longer", func(_ *member, step func([]byte)) {
			step(gatedAppend(1, 2, 3, 1))
			step(gatedAppend(1, 2, 5, 1))
		}, stand{1, 1, 4}},
		{"from the middle of what waits", func(_ *member, step func([]byte)) {
			step(gatedAppend(1, 2, 4, 1))
			step(gatedAppend(3, 4, 6, 1))
		}, stand{1, 1, 5}},
		{"after what waits, with a gap", func(_ *member, step func([]byte)) {
			step(gatedAppend(1, 2, 3, 1))
			step(gatedAppend(5, 6, 6, 1))
		}, stand{1, 1, 2}},
		{"repeated, with more held meanwhile", func(m *member, step func([]byte)) {
			step(gatedAppend(1, 2, 5, 1))
			m.shelf.Hold(7, 3)
			step(gatedAppend(1, 2, 4, 1))
		}, stand{3, 1, 2}},
		{"repeated and shorter, with everything held", func(m *member, step func([]byte)) {
			step(gatedAppend(1, 2, 5, 1))
			m.shelf.Hold(7, 5)
			step(gatedAppend(1, 2, 3, 1))
		}, stand{3, 1, 2}},
		{"accepted before, and not judged again", func(m *member, step func([]byte)) {
			m.shelf.Hold(7, 3)
			step(gatedAppend(1, 2, 3, 1))
			m.shelf.Forged[7] = true
			step(gatedAppend(1, 2, 3, 1))
			delete(m.shelf.Forged, 7)
		}, stand{3, 1, 0}},
		{"from before what is committed", func(m *member, step func([]byte)) {
			m.shelf.Hold(7, 4)
			step(gatedAppend(1, 2, 3, 3))
			step(gatedAppend(2, 3, 6, 3))
		}, stand{3, 3, 0}},
		{"commits more than it brings", func(m *member, step func([]byte)) {
			m.shelf.Hold(7, 2)
			step(gatedAppend(1, 2, 4, 4))
		}, stand{2, 2, 2}},
	} {
		c := newCluster(t, 1, 2, 3)
		m := c.members[3]
		c.liars = true // there is no leader
		test.steps(m, func(b []byte) {
			if err := m.r.Step(1, b); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			c.ready(m)
		})
		s := m.r.Status()
		if got := (stand{s.Last, s.Position, uint64(s.Waiting)}); got != test.want || s.Refused != 0 {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		m.shelf.Hold(7, 9)
		m.r.Recheck()
		c.ready(m)
		if s := m.r.Status(); s.Waiting != 0 || s.Last != test.want.last+test.want.waiting {
			t.Errorf("%s, then everything held: %+v", test.name, s)
		}
	}
}

// Entries of a deposed leader never mix with the next one's: neither from its appends, nor when only its
// heartbeat was heard.
func TestRunsOfTwoTermsNeverMix(t *testing.T) {
	for _, heartbeat := range []bool{false, true} {
		c := newCluster(t, 1, 2, 3)
		m := c.members[3]
		next := envelope{data: gatedAppend(1, 2, 2, 1)}.decode(t)
		next.From, next.Term = new(uint64(2)), new(uint64(3))
		next.Entries[0].Term, next.Entries[0].Data = new(uint64(3)), decision(at(8, 1))
		steps := [][]byte{gatedAppend(1, 2, 4, 1), marshal(next)}
		if heartbeat {
			steps = slices.Insert(steps, 1, marshal(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: next.From,
				To: next.To, Term: next.Term}))
		}
		for i, b := range steps {
			if err := m.r.Step(envelope{data: b}.decode(t).GetFrom(), b); err != nil {
				t.Fatal(i, err)
			}
		}
		if s := m.r.Status(); s.Waiting != 1 || m.r.wait.from != 2 {
			t.Fatalf("%+v", s)
		}
		m.shelf.Hold(7, 9)
		m.shelf.Hold(8, 1)
		m.r.Recheck()
		if s := m.r.Status(); s.Last != 2 || m.r.log.term(2) != 3 || s.Waiting != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

// What waits is forgotten when a snapshot is restored: it covers that, or the leader sends it again.
func TestRestoreForgetsWhatWaits(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	m := c.members[3]
	if err := m.r.Step(1, gatedAppend(1, 2, 4, 1)); err != nil {
		t.Fatal(err)
	}
	l := newLog(position{9, 2}, c.initial)
	l.offer(9)
	s := order.SnapshotMeta{Position: 9, Message: snapMessage(1, 3, 2, l.snapshot)}
	if err := m.r.Restore(s); err != nil {
		t.Fatal(err)
	}
	if s := m.r.Status(); s.Waiting != 0 || s.Applied != 9 || s.Last != 9 {
		t.Fatalf("%+v", s)
	}
}

// lanesGate answers as its switch is set: a lane may be closed by what is applied.
type lanesGate struct{ closed bool }

func (g *lanesGate) Holds(c order.Cut) order.Verdict {
	if len(c) == 0 || g.closed {
		return order.Held
	}
	return order.Missing
}

// A cut that waits for items of a lane is accepted when a decision before it closed that lane, though
// nothing more came to be held.
func TestAppliedRechecksTheGate(t *testing.T) {
	gate := &lanesGate{}
	r, err := New(Config{ID: 3, Gate: gate, ElectionTicks: 10, HeartbeatTicks: 1,
		Bootstrap: &order.Members{Voters: []uint64{1, 2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	m := envelope{data: gatedAppend(1, 2, 3, 2)}.decode(t)
	m.Entries[0].Data = decision() // stands for the one that closes the lane
	if err := r.Step(1, marshal(m)); err != nil {
		t.Fatal(err)
	}
	r.Persisted(r.Ready().Persist.Seq)
	if rd := r.Ready(); len(rd.Committed) != 1 || r.Status().Waiting != 1 {
		t.Fatalf("%+v %+v", rd, r.Status())
	}
	gate.closed = true
	r.Applied(2)
	if s := r.Status(); s.Waiting != 0 || s.Last != 3 {
		t.Fatalf("%+v", s)
	}
}

// Lane 1 is dead at 2, lane 2 is dead at 3: each lane has a majority, and no follower holds a cut that
// takes each lane as far as its own majority has it. Such a cut is never decided, nor is anything after
// it; the joint cut is decided, round after round.
func TestR9JointCutsGoOnWhereEachLanesBestDoesNot(t *testing.T) {
	for _, joint := range []bool{false, true} {
		seedElections(t, 1)
		c := newCluster(t, 1, 2, 3)
		leader := c.elect(1)
		before := leader.r.Status().Position
		holding := func(id uint64) (h []order.Holding) {
			for lane := order.LaneID(1); lane <= 2; lane++ {
				m := at(lane, c.members[id].shelf.Frames[lane])
				h = append(h, order.Holding{Mark: m, High: m.Frames})
			}
			return h
		}
		j := order.Joint{Lookup: func(l order.LaneID, n uint64) (order.Mark, bool) { return at(l, n), true }}
		base := order.Cut(nil)
		for n := uint64(2); n < 12; n++ {
			c.holds(1, n, 1, 3)
			c.holds(2, n, 1, 2)
			c.holds(1, 1, 2)
			c.holds(2, 1, 3)
			cut := order.Cut{at(1, n), at(2, n)}
			if joint {
				cut = j.Cut(nil, cut, base, [][]order.Holding{holding(2), holding(3)}, 2)
			}
			base = base.Merge(nil, cut)
			c.propose(leader, cut...)
			c.tick()
		}
		decided := leader.r.Status().Position - before
		if joint && decided != 10 || !joint && decided != 0 {
			t.Errorf("joint cuts: %v; %d of 10 decided", joint, decided)
		}
	}
}

// A slow disk delays acceptance and nothing else: heartbeats are answered meanwhile (R16).
func TestR16SlowDiskDelaysNoHeartbeat(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 99, 2, 3)
	before := leader.r.Status().Position
	leader.slow = true
	c.members[3].up = false
	c.propose(leader, at(7, 1))
	c.settle()
	if s := leader.r.Status(); s.Position != before {
		t.Fatalf("the leader counted its own log write before it was durable: %+v", s)
	}
	leader.slow = false
	c.sync(leader)
	c.ready(leader)
	c.settle()
	if s := leader.r.Status(); s.Position != before+1 {
		t.Fatalf("after the leader's disk recovered: %+v", s)
	}
	before = leader.r.Status().Position
	c.members[3].up = true
	c.tick()
	c.members[2].slow, c.members[3].slow = true, true
	c.propose(leader, at(7, 2))
	for range 100 {
		c.tick()
	}
	if s := leader.r.Status(); !s.Leading || s.Position != before {
		t.Fatalf("with two disks stuck: %+v", s)
	}
	c.members[2].slow = false
	c.sync(c.members[2])
	c.ready(c.members[2])
	c.tick()
	if s := leader.r.Status(); s.Position != before+1 {
		t.Fatalf("after one disk recovered: %+v", s)
	}
}
