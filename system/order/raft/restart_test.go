package raft

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

func snapMessage(from, to, term uint64, s *pb.Snapshot) []byte {
	return marshal(&pb.Message{Type: pb.MsgSnap.Enum(), From: new(from), To: new(to), Term: new(term),
		Snapshot: s})
}

// After a restart every logged, unapplied cut is judged again: with a hole there is no campaigning
// and no applying past it (R4).
func TestR4HolesAfterRestart(t *testing.T) {
	seedElections(t, 7)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	for n := uint64(1); n <= 3; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.settle()
	}
	two := c.members[2]
	two.shelf.Frames[7] = 1 // its disk lost frames
	c.restart(two)
	if s := two.r.Status(); s.Holes != 2 || s.Applied != 3 {
		t.Fatalf("%+v", s)
	}
	c.lost = func(e envelope) bool { return e.from == 1 || e.to == 1 }
	hurry := marshal(&pb.Message{Type: pb.MsgTimeoutNow.Enum(), From: new(uint64(1)), To: new(uint64(2)),
		Term: new(leader.r.term())})
	if err := two.r.Step(1, hurry); !errors.Is(err, order.ErrNotHeld) {
		t.Fatalf("told to campaign: %v", err)
	}
	for range 100 {
		c.tick(2, 3) // 3's log is behind, nobody votes for it
	}
	if s := two.r.Status(); s.Term != leader.r.Status().Term || s.Leader == 2 {
		t.Fatalf("campaigned with a hole: %+v", s)
	}
	c.holds(7, 2, 2)
	if s := two.r.Status(); s.Holes != 1 || s.Applied != 4 {
		t.Fatalf("%+v", s)
	}
	two.shelf.Forged[7] = true
	two.r.Recheck()
	two.r.Recheck()
	c.ready(two)
	if two.refused != 1 {
		t.Fatalf("a mismatch against what was logged is reported once, not %d times", two.refused)
	}
	delete(two.shelf.Forged, 7)
	c.holds(7, 3, 2)
	c.holds(7, 3, 3)
	if s := two.r.Status(); s.Holes != 0 {
		t.Fatalf("%+v", s)
	}
	c.elect(2) // it may have forgotten that the last was committed
	if s := two.r.Status(); s.Applied < 5 {
		t.Fatalf("%+v", s)
	}
}

// A replica with a hole votes: its log is whole, and without its vote there might be no majority.
func TestR4ReplicaWithAHoleVotes(t *testing.T) {
	seedElections(t, 7)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.propose(leader, at(7, 1))
	c.holds(7, 1, 2, 3)
	c.settle()
	c.members[2].shelf.Frames[7] = 0
	c.restart(c.members[2])
	c.tick()
	c.tick()
	if s := c.members[2].r.Status(); s.Holes != 1 || s.Leader != 1 {
		t.Fatalf("%+v", s)
	}
	leader.up = false
	for range 100 {
		c.tick(2, 3)
	}
	if s := c.members[3].r.Status(); !s.Leading {
		t.Fatalf("%+v", s)
	}
}

// A record that replaced entries counts even where the state covers what it wrote: what lay behind
// was replaced with it.
func TestReplayForgetsWhatWasReplaced(t *testing.T) {
	record := func(term uint64, indices ...uint64) []byte {
		return marshal(&pb.Message{Type: pb.MsgStorageAppend.Enum(), Term: &term, Vote: new(uint64(0)),
			Commit: new(uint64(8)), Entries: entriesOf(term, indices...)})
	}
	for base, want := range map[uint64]uint64{8: 10, 9: 10, 10: 10} {
		s := Restart{Records: [][]byte{record(3, 9, 10, 11, 12), record(5, 9, 10)}}
		s.Snapshot = order.SnapshotMeta{Position: base, Term: 5, Members: order.Members{Voters: []uint64{1}}}
		if base == 8 {
			s.Snapshot.Term = 3
		}
		l, err := replay(&s)
		if err != nil || l.last() != want || l.term(l.last()) != 5 || l.hard.GetTerm() != 5 {
			t.Errorf("state at %d: %+v, %v", base, l, err)
		}
	}
}

// The log is rebuilt from records, fresh ones included, whatever the state snapshot covers of them.
func TestRestartReplaysRecords(t *testing.T) {
	seedElections(t, 8)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 99, 1, 2, 3)
	for n := uint64(1); n <= 30; n++ {
		c.propose(leader, at(7, n))
		c.settle()
		for _, m := range c.members {
			switch n % 10 {
			case 3:
				m.durable = m.place
			case 6:
				m.r.Compact(m.durable.Position)
				c.ready(m)
			}
		}
		for _, id := range c.ids() {
			m := c.members[id]
			before := m.r.log
			c.restart(m)
			if after := m.r.log; after.last() != before.last() || !after.has(position{before.last(),
				before.term(before.last())}) ||
				after.hard.GetTerm() != before.hard.GetTerm() || after.hard.GetVote() != before.hard.GetVote() {
				t.Fatalf("%d restarted as %+v, was %+v", id, after, before)
			}
		}
		leader = c.elect(1)
	}
}

// A term that was heard of, and needed no answer then, is durable together with the first thing that
// was answered in it. (Otherwise a deposed leader could overwrite what was acknowledged.)
func TestTermIsDurableBeforeItsFirstAnswer(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	three := c.members[3]
	for _, m := range []*pb.Message{
		{Type: pb.MsgHeartbeat.Enum(), Term: new(uint64(5)), Commit: new(uint64(1))},
		{Type: pb.MsgApp.Enum(), Term: new(uint64(5)), Index: new(uint64(1)), LogTerm: new(uint64(1)),
			Entries: entriesOf(5, 2), Commit: new(uint64(1))},
	} {
		m.From, m.To = new(uint64(1)), new(uint64(3))
		if err := three.r.Step(1, marshal(m)); err != nil {
			t.Fatal(err)
		}
		c.ready(three)
	}
	c.restart(three)
	if s := three.r.Status(); s.Term != 5 || s.Last != 2 {
		t.Fatalf("acknowledged entry 2 in term 5, restarted as %+v", s)
	}
}

// A snapshot covers committed entries that were not handed out, for a hole: they are passed over.
func TestRestorePassesOverWhatItCovers(t *testing.T) {
	seedElections(t, 7)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	for n := uint64(1); n <= 4; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.settle()
	}
	c.tick()
	c.tick()
	two := c.members[2]
	two.shelf.Frames[7] = 1
	c.restart(two)
	p := leader.place.Position - 1
	leader.r.log.offer(p)
	s := snapshotMeta(&pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(1)), To: new(uint64(2)),
		Term: new(leader.r.term()), Snapshot: leader.r.log.snapshot})
	two.place, two.durable, two.state = s, s, slices.Clone(leader.state[:p-1])
	if err := two.r.Restore(s); err != nil {
		t.Fatal(err)
	}
	c.ready(two) // fails if anything up to p is handed out
	if got := two.r.Status(); got.Applied != p || got.Holes != 1 {
		t.Fatalf("%+v, restored at %d", got, p)
	}
	c.holds(7, 4, 2)
	for range 2 { // a heartbeat says how far the leader has committed
		c.tick()
		c.settle()
	}
	if two.place.Position != leader.place.Position {
		t.Fatalf("%d of %d", two.place.Position, leader.place.Position)
	}
}

// What was handed out and not applied when a snapshot was restored is discarded by the replica: what
// lies after the snapshot comes again, membership changes included.
func TestRestoreHandsOutAgainWhatLiesAfter(t *testing.T) {
	seedElections(t, 7)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 9, 1, 2, 3)
	c.lost = func(e envelope) bool { return e.to == 2 }
	for n := uint64(1); n <= 3; n++ {
		c.propose(leader, at(7, n))
		c.settle()
		add := order.ConfChange{Type: order.AddLearner, ID: 10 + n}
		if err := leader.r.ProposeConf(add); err != nil {
			t.Fatal(err)
		}
		c.ready(leader)
		c.settle()
	}
	last, p := leader.place.Position, leader.place.Position-3
	leader.r.log.offer(p)
	s := snapshotMeta(&pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(1)), To: new(uint64(2)),
		Term: new(leader.r.term()), Snapshot: leader.r.log.snapshot})
	two := c.members[2]
	var handed []order.Committed
	take := func() {
		rd := two.r.Ready()
		if rd.Persist != nil {
			two.r.Persisted(rd.Persist.Seq)
		}
		handed = append(handed, rd.Committed...)
		for _, out := range rd.Messages {
			c.net = append(c.net, envelope{2, out.To, out.Data})
		}
	}
	c.lost = func(e envelope) bool {
		if e.to == 2 {
			if err := two.r.Step(e.from, e.data); err != nil {
				t.Fatal(err)
			}
			take()
		}
		return e.to == 2
	}
	for n := 0; n < 20 && (len(handed) == 0 || handed[len(handed)-1].Position < last); n++ {
		c.tick(1)
	}
	before := handed
	handed = nil
	if err := two.r.Restore(s); err != nil {
		t.Fatal(err)
	}
	take()
	take()
	if len(handed) != 3 || !reflect.DeepEqual(handed, before[len(before)-3:]) {
		t.Fatalf("after a snapshot at %d: %+v, before it %+v", p, handed, before)
	}
	two.r.Applied(last)
	if got := two.r.Status(); got.Applied != last || len(got.Members.Learners) != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestRestartRefusesBrokenRecords(t *testing.T) {
	seedElections(t, 8)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 99, 1, 2, 3)
	for n := uint64(1); n <= 5; n++ {
		c.propose(leader, at(7, n))
		c.settle()
	}
	first := slices.IndexFunc(leader.records, func(b []byte) bool {
		return len(envelope{data: b}.decode(t).GetEntries()) > 0
	})
	fresh := Config{ID: 1, Gate: leader.shelf, ElectionTicks: 10, HeartbeatTicks: 1}
	for name, s := range map[string]Restart{
		"a hole in the middle": {Snapshot: leader.durable,
			Records: slices.Delete(slices.Clone(leader.records), first, first+1)},
		"a truncated record": {Snapshot: leader.durable, Records: [][]byte{leader.records[0][:1]}},
		"not a record":       {Snapshot: leader.durable, Records: [][]byte{snapMessage(1, 2, 3, nil)}},
		"no members":         {Snapshot: order.SnapshotMeta{Position: 1, Term: 1}},
		"the tail is missing": {Snapshot: leader.durable, Records: append(leader.records[:2:2],
			marshal(&pb.Message{Type: pb.MsgStorageAppend.Enum(), Term: new(uint64(9)), Commit: new(uint64(99))}))},
	} {
		fresh.Restart = &s
		if _, err := New(fresh); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	ok := Config{ID: 1, Gate: &ordertest.Shelf{}, ElectionTicks: 10, HeartbeatTicks: 1}
	for name, change := range map[string]func(*Config){
		"no id":              func(c *Config) { c.ID = 0 },
		"a reserved id":      func(c *Config) { c.ID = ^uint64(0) },
		"no gate":            func(c *Config) { c.Gate = nil },
		"no ticks":           func(c *Config) { c.HeartbeatTicks = 0 },
		"elections too fast": func(c *Config) { c.ElectionTicks = 1 },
		"no voters":          func(c *Config) { c.Bootstrap = &order.Members{} },
		"a voter twice":      func(c *Config) { c.Bootstrap = &order.Members{Voters: []uint64{1, 1}} },
		"two beginnings": func(c *Config) {
			c.Bootstrap, c.Restart = &order.Members{Voters: []uint64{1}}, &Restart{}
		},
	} {
		c := ok
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: started", name)
		}
	}
	if _, err := New(ok); err != nil {
		t.Error(err)
	}
}
