package raft

import "testing"

// A read asked anywhere is answered with a position at or past everything committed before it, and
// only after a majority confirmed the leader.
func TestReadIndexIsConfirmedByAMajority(t *testing.T) {
	seedElections(t, 4)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 9, 2, 3)
	c.propose(leader, at(7, 1))
	c.settle()
	for id := range uint64(3) {
		m := c.members[id+1]
		m.r.ReadIndex(100 + id)
		c.ready(m)
		if len(m.reads) != 0 {
			t.Fatalf("%d answered itself", m.id)
		}
		c.settle()
		if len(m.reads) != 1 || m.reads[0].Ctx != 100+id || m.reads[0].Position != leader.place.Position {
			t.Fatalf("%d: %+v", m.id, m.reads)
		}
	}
	c.lost = func(e envelope) bool { return e.from == 1 || e.to == 1 }
	leader.r.ReadIndex(7)
	c.ready(leader)
	c.settle()
	if len(leader.reads) != 1 {
		t.Fatal("a leader that is cut off answered a read")
	}
}

// Reads that a leader cannot answer yet are bounded; in a later term there is room again.
func TestReadsAreBounded(t *testing.T) {
	seedElections(t, 4)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.lost = func(envelope) bool { return true }
	for range 3 * maxReads {
		leader.r.ReadIndex(1)
	}
	if leader.r.reads != maxReads {
		t.Fatalf("%d reads are kept", leader.r.reads)
	}
	c.net, c.lost = nil, nil
	leader.r.Ready()
	for range 4 {
		c.tick()
	}
	if len(leader.reads) != maxReads || leader.r.reads != 0 {
		t.Fatalf("%d answered, %d kept", len(leader.reads), leader.r.reads)
	}
}

// Leadership goes to a voter that has everything; one that waits at its gate is not tried (R15).
func TestR15TransferLeader(t *testing.T) {
	seedElections(t, 5)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 9, 2)
	c.propose(leader, at(7, 1))
	c.settle()
	leader.r.TransferLeader(3)
	c.ready(leader)
	c.settle()
	if !leader.r.Status().Leading {
		t.Fatal("leadership was offered to a gated follower")
	}
	if err := leader.r.Propose(decision(at(7, 1))); err != nil {
		t.Fatalf("proposals are blocked by a transfer that cannot finish: %v", err)
	}
	c.ready(leader)
	c.settle()
	leader.r.TransferLeader(2)
	c.ready(leader)
	c.settle()
	if s := c.members[2].r.Status(); !s.Leading {
		t.Fatalf("%+v", s)
	}
}
