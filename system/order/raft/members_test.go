package raft

import (
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"metronome/system/order"
)

// A learner is added, catches up through a snapshot, is promoted, counts, and is removed.
func TestMembershipFromLearnerToRemoved(t *testing.T) {
	seedElections(t, 2)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 1, 1, 2, 3)
	c.propose(leader, at(7, 1))
	c.settle()

	change := func(kind order.ConfType, id uint64) {
		t.Helper()
		if err := leader.r.ProposeConf(order.ConfChange{Type: kind, ID: id}); err != nil {
			t.Fatal(err)
		}
		c.ready(leader)
		c.settle()
	}
	joiner := c.start(4, Config{})
	change(order.AddLearner, 4)
	for n := 0; n < 10 && !leader.want; n++ {
		c.tick()
	}
	if !leader.want || joiner.place.Position != 0 {
		t.Fatal("a joiner begins with a snapshot, and its leader was not asked for one")
	}
	leader.r.Snapshot(leader.place.Position)
	for range 10 {
		c.tick()
	}
	if learners := joiner.place.Members.Learners; !slices.Equal(learners, []uint64{4}) ||
		joiner.place.Position != leader.place.Position {
		t.Fatalf("the learner stands at %+v, the leader at %+v", joiner.place, leader.place)
	}
	change(order.Promote, 4)
	if got := joiner.place.Members.Voters; !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Fatalf("voters %v", got)
	}
	// Of four voters three are needed, and the new one is one of them.
	c.members[3].up = false
	before := leader.place.Position
	c.propose(leader, at(7, 2))
	c.holds(7, 2, 2)
	c.settle()
	if leader.place.Position != before {
		t.Fatal("committed with two of four")
	}
	c.holds(7, 2, 4)
	c.settle()
	if leader.place.Position != before+1 {
		t.Fatal("not committed with three of four")
	}
	change(order.Remove, 3)
	if got := leader.r.Status().Members.Voters; !slices.Equal(got, []uint64{1, 2, 4}) {
		t.Fatalf("voters %v", got)
	}
	change(order.Remove, 1)
	if s := leader.r.Status(); s.Leading {
		t.Fatal("a removed leader still leads")
	}
	c.members[1].up = false
	c.elect(2)
	if s := joiner.r.Status(); s.Leader != 2 {
		t.Fatalf("%+v", s)
	}
}

// Two voters, and a third is promoted. Power fails for all, and the first's disk is lost with it: the others
// are a majority of three, and have to remember that they are three.
func TestAPromotionIsNotForgotten(t *testing.T) {
	seedElections(t, 3)
	c := newCluster(t, 1, 2)
	leader := c.elect(1)
	change := func(kind order.ConfType, id uint64) {
		t.Helper()
		if err := leader.r.ProposeConf(order.ConfChange{Type: kind, ID: id}); err != nil {
			t.Fatal(err)
		}
		c.ready(leader)
		c.settle()
	}
	c.start(3, Config{})
	change(order.AddLearner, 3)
	for n := 0; n < 10 && !leader.want; n++ {
		c.tick()
	}
	leader.r.Snapshot(leader.place.Position)
	for range 10 {
		c.tick()
	}
	for _, m := range c.members {
		m.lazy = true
	}
	change(order.Promote, 3)
	for range 5 {
		c.tick()
	}
	c.members[1].up = false
	c.restart(c.members[2])
	c.restart(c.members[3])
	c.elect(2)
	c.tick()
	c.tick()
	if got := c.members[3].place; !slices.Equal(got.Members.Voters, []uint64{1, 2, 3}) {
		t.Fatalf("%+v", got)
	}
}

func TestMembershipChangesThatDoNotFit(t *testing.T) {
	seedElections(t, 2)
	c := newCluster(t, 1)
	leader := c.elect(1)
	for _, change := range []order.ConfChange{
		{Type: order.AddLearner, ID: 1},
		{Type: order.AddLearner, ID: 0},
		{Type: order.AddLearner, ID: ^uint64(0)},
		{Type: order.Promote, ID: 2},
		{Type: order.Remove, ID: 2},
		{Type: order.Remove, ID: 1},
		{Type: 9, ID: 2},
	} {
		if err := leader.r.ProposeConf(change); !errors.Is(err, order.ErrMembership) {
			t.Errorf("%+v: %v", change, err)
		}
	}
	if err := leader.r.ProposeConf(order.ConfChange{Type: order.AddLearner, ID: 2}); err != nil {
		t.Fatal(err)
	}
	next := order.ConfChange{Type: order.AddLearner, ID: 3}
	if err := leader.r.ProposeConf(next); !errors.Is(err, order.ErrMembership) {
		t.Fatalf("a second change before the first is applied: %v", err)
	}
	c.ready(leader)
	if err := leader.r.ProposeConf(next); err != nil {
		t.Fatalf("after the first is applied: %v", err)
	}
}

// A follower that was sent every entry, and waits at its gate for items that nobody keeps any more, is
// restored from a snapshot when the entries are compacted too. One that is merely late is left alone.
func TestSnapshotToFollowerAtItsGate(t *testing.T) {
	for _, late := range []bool{false, true} {
		seedElections(t, 3)
		c := newCluster(t, 1, 2, 3)
		leader := c.elect(1)
		c.holds(7, 99, 1, 2)
		for n := uint64(1); n <= 6; n++ {
			c.propose(leader, at(7, n))
			c.settle()
		}
		leader.durable = leader.place
		leader.r.Compact(leader.place.Position)
		c.ready(leader)
		if late {
			c.holds(7, 99, 3)
		}
		for range 40 {
			c.tick()
		}
		if leader.want == late {
			t.Fatalf("late %v: a snapshot was asked for: %v", late, leader.want)
		}
		leader.r.Snapshot(leader.place.Position)
		for range 10 {
			c.tick()
		}
		if got := c.members[3].place.Position; got != leader.place.Position || len(c.sent) > 0 == late {
			t.Errorf("late %v: the follower stands at %d of %d, %v sent", late, got, leader.place.Position, c.sent)
		}
	}
}

// The same if it waits for what only a second compaction takes away, soon after a first that took nothing it
// lacks, and the last there is: afterwards nothing happens any more.
func TestSnapshotToFollowerThatASecondCompactionLeavesBehind(t *testing.T) {
	seedElections(t, 3)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 99, 1, 2)
	c.holds(7, 3, 3)
	for n := uint64(1); n <= 6; n++ {
		c.propose(leader, at(7, n))
		c.settle()
	}
	leader.durable = leader.place
	for _, below := range []uint64{4, 0} {
		leader.r.Compact(leader.place.Position - below)
		c.ready(leader)
		c.tick()
	}
	for range 60 {
		c.tick()
	}
	if !leader.want {
		t.Fatalf("nobody asks for a snapshot: %+v", leader.r.Status())
	}
}

// A follower far behind the compacted log is restored from a snapshot and goes on from there. A
// failed transfer is tried again.
func TestSnapshotToFarBehindFollower(t *testing.T) {
	seedElections(t, 3)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 99, 1, 2, 3)
	c.lost = func(e envelope) bool { return e.from == 3 || e.to == 3 }
	for n := uint64(1); n <= 20; n++ {
		c.propose(leader, at(7, n))
		c.settle()
	}
	leader.durable = leader.place
	leader.r.Compact(leader.place.Position)
	c.ready(leader)
	c.propose(leader, at(7, 21))
	c.settle()
	refuse := true
	c.lost = func(e envelope) bool { return e.data == nil && refuse } // transfers fail
	for range 20 {
		c.tick()
	}
	if !leader.want {
		t.Fatal("no snapshot was asked for")
	}
	leader.r.Snapshot(leader.place.Position - 1)
	for range 10 {
		c.tick()
	}
	refuse = false
	for range 10 {
		c.tick()
	}
	if got := c.members[3].place.Position; got != leader.place.Position {
		t.Fatalf("the follower stands at %d of %d", got, leader.place.Position)
	}
	if s := leader.r.Status(); s.SnapshotPending[3] || s.Match[3] != s.Last {
		t.Fatalf("%+v", s)
	}
	c.propose(leader, at(7, 22))
	c.tick()
	c.tick()
	if got := c.members[3].place.Position; got != leader.place.Position {
		t.Fatalf("after the snapshot, the follower stands at %d of %d", got, leader.place.Position)
	}
}

// A snapshot sent by a leader deposed since is still true and takes effect; one that is older than
// what is applied changes nothing.
func TestRestoreOfAnOlderTermAndOfOlderState(t *testing.T) {
	seedElections(t, 3)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.lost = func(e envelope) bool { return e.from == 3 || e.to == 3 }
	for n := uint64(1); n <= 3; n++ {
		c.propose(leader, at(7, n))
		c.holds(7, n, 2)
		c.settle()
	}
	c.lost = func(e envelope) bool { return e.data == nil }
	leader.r.Compact(leader.place.Position)
	leader.r.Snapshot(leader.place.Position)
	for n := 0; n < 20 && len(c.sent) == 0; n++ {
		c.tick(1)
	}
	if len(c.sent) == 0 {
		t.Fatal("no snapshot was sent")
	}
	taken := c.sent[0]
	c.lost = func(e envelope) bool { // 3 hears of the next leader and gets nothing from it
		kind := e.decode(t).GetType()
		return e.to == 3 && (kind == pb.MsgApp || kind == pb.MsgSnap)
	}
	leader.r.TransferLeader(2)
	c.ready(leader)
	three := c.members[3]
	for range 4 {
		c.tick(2)
	}
	if three.r.Status().Term <= taken.Term {
		t.Fatalf("3 is in term %d", three.r.Status().Term)
	}
	three.place, three.durable, three.state = taken, taken, slices.Clone(leader.state[:taken.Position-1])
	three.shelf.Hold(7, 99)
	if err := three.r.Restore(taken); err != nil {
		t.Fatal(err)
	}
	c.ready(three)
	if s := three.r.Status(); s.Applied != taken.Position || s.Position != taken.Position || s.Leader != 2 {
		t.Fatalf("%+v", s)
	}
	c.lost = nil
	for range 10 {
		c.tick(2)
	}
	if three.place.Position != c.members[2].place.Position {
		t.Fatalf("3 stands at %d of %d", three.place.Position, c.members[2].place.Position)
	}
	if err := three.r.Restore(taken); !errors.Is(err, order.ErrStale) {
		t.Fatalf("the same snapshot again, later: %v", err)
	}
}

func TestRestoreRefusesWhatDoesNotFit(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	good := newLog(position{5, 2}, order.Members{Voters: []uint64{1, 2, 3}})
	good.offer(5)
	snapshot := good.snapshot
	message := snapMessage(1, 2, 3, snapshot)
	for name, s := range map[string]order.SnapshotMeta{
		"no message":        {Position: 5},
		"garbage":           {Position: 5, Message: []byte("garbage")},
		"another position":  {Position: 6, Message: message},
		"for somebody else": {Position: 5, Message: snapMessage(1, 3, 3, snapshot)},
		"no term":           {Position: 5, Message: snapMessage(1, 2, 0, snapshot)},
		"from the future":   {Position: 5, Message: snapMessage(1, 2, 1, snapshot)},
	} {
		if err := c.members[2].r.Restore(s); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	if err := c.members[2].r.Restore(order.SnapshotMeta{Position: 5, Message: message}); err != nil {
		t.Fatal(err)
	}
}
