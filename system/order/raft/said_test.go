package raft

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// An append that says only what is committed gets no answer that was just given. A leader that lost the
// first one gets another, later.
func TestAcceptanceIsNotRepeatedAtOnce(t *testing.T) {
	seedElections(t, 7)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	answers, lost := 0, true
	c.lost = func(e envelope) bool {
		m := &pb.Message{}
		if err := proto.Unmarshal(e.data, m); err != nil {
			t.Fatal(err)
		}
		if accepts(m) {
			answers++
		}
		return accepts(m) && lost
	}
	c.tick()
	c.settle()
	answers = 0
	before := leader.r.Status().Position
	c.propose(leader, at(7, 1))
	c.holds(7, 1, 2, 3)
	c.settle()
	if s := leader.r.Status(); s.Position != before || answers != 2 {
		t.Fatalf("%d answers, and all were lost: committed %d, before %d", answers, s.Position, before)
	}
	lost = false
	for range 100 {
		c.tick()
		c.settle()
	}
	if s := leader.r.Status(); s.Position != before+1 {
		t.Fatalf("committed %d, before %d", s.Position, before)
	}
	answers = 0
	c.holds(7, 2, 2, 3)
	c.propose(leader, at(7, 2))
	c.settle()
	if s := leader.r.Status(); s.Position != before+2 || answers != 2 {
		t.Fatalf("%d answers of two followers, committed %d, before %d", answers, s.Position, before)
	}
}
