package raft

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

// say writes what happens next into the trace.
func (c *cluster) say(format string, args ...any) {
	fmt.Fprintf(c.trace, "\n# "+format+"\n", args...)
}

// glance writes how members stand.
func (c *cluster) glance(ids ...uint64) {
	for _, id := range ids {
		s := c.members[id].r.Status()
		fmt.Fprintf(c.trace, "%d   log to %d, committed %d, applied %d, waiting %d\n",
			id, s.Last, s.Position, s.Applied, s.Waiting)
	}
}

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	for name, scene := range map[string]func(*cluster){
		"election": sceneElection, "gated": sceneGated, "snapshot": sceneSnapshot, "learner": sceneLearner,
	} {
		t.Run(name, func(t *testing.T) {
			seedElections(t, 1)
			c := newCluster(t, 1, 2, 3)
			c.trace = &strings.Builder{}
			scene(c)
			ordertest.CompareGolden(t, filepath.Join("testdata", name+".txt"), c.trace.String())
		})
	}
}

// campaign lets only one member's time pass.
func (c *cluster) campaign(id uint64) {
	for n := 0; n < 100 && !c.members[id].r.Status().Leading; n++ {
		c.tick(id)
	}
}

func sceneElection(c *cluster) {
	fmt.Fprintln(c.trace, `Three members begin at position 1 with nothing decided. 1 hears of no leader, asks
whether it would win (PreVote), wins (Vote), and writes the empty entry of its term. It may
propose only once that is applied (R7): position 2.`)
	c.campaign(1)
	c.say("One round: what 1 proposes is held everywhere.")
	c.holds(7, 1, 2, 3)
	c.propose(c.members[1], at(7, 1))
	c.settle()
	c.glance(1, 2, 3)
}

func sceneGated(c *cluster) {
	fmt.Fprintln(c.trace, `Three cuts are proposed at once. 2 holds everything. 3 holds what is under the
first cut only: it accepts that at once, and the others as its items come (R12). Nothing is rejected,
and the commit index reaches 3 while it waits.`)
	leader := c.members[1]
	c.unseen(func() { c.campaign(1) })
	c.say("The proposals.")
	c.holds(7, 3, 2)
	c.holds(7, 1, 3)
	for n := uint64(1); n <= 3; n++ {
		c.propose(leader, at(7, n))
	}
	c.settle()
	c.glance(1, 2, 3)
	c.say("3 comes to hold what is under the second cut.")
	c.holds(7, 2, 3)
	c.settle()
	c.glance(3)
	c.say("A heartbeat passes the gate as ever.")
	c.tick(1)
	c.tick(1)
	c.say("3 comes to hold the rest.")
	c.holds(7, 3, 3)
	c.settle()
	c.glance(3)
}

// unseen sets a scene without a trace.
func (c *cluster) unseen(set func()) {
	trace := c.trace
	c.trace = nil
	set()
	c.trace = trace
}

func sceneSnapshot(c *cluster) {
	fmt.Fprintln(c.trace, `3 was away while positions were decided that the log no longer holds. The leader
asks its replica for a snapshot; the first transfer fails, the second brings 3 back.`)
	leader := c.members[1]
	c.unseen(func() {
		c.campaign(1)
		c.lost = func(e envelope) bool { return e.to == 3 || e.from == 3 }
		for n := uint64(1); n <= 3; n++ {
			c.holds(7, n, 2)
			c.propose(leader, at(7, n))
			c.settle()
		}
		leader.r.Compact(leader.place.Position)
		c.ready(leader)
	})
	c.say("3 is back. Transfers of state to it fail.")
	c.lost = func(e envelope) bool { return e.data == nil }
	for range 6 {
		c.tick(1)
	}
	c.say("The replica offers its state; the transfer fails.")
	leader.r.Snapshot(leader.place.Position)
	c.tick(1)
	c.tick(1)
	c.say("Transfers succeed.")
	c.lost = nil
	for range 4 {
		c.tick(1)
	}
	c.glance(1, 3)
}

func sceneLearner(c *cluster) {
	fmt.Fprintln(c.trace, `4 joins: added as a learner, it begins with a snapshot, and is then promoted. A
second change is refused until the first is applied.`)
	leader := c.members[1]
	c.unseen(func() { c.campaign(1) })
	c.start(4, Config{})
	c.say("Add 4 as a learner.")
	add := order.ConfChange{Type: order.AddLearner, ID: 4}
	fmt.Fprintf(c.trace, "    %v\n", leader.r.ProposeConf(add))
	fmt.Fprintf(c.trace, "    %v\n", leader.r.ProposeConf(order.ConfChange{Type: order.Remove, ID: 3}))
	c.ready(leader)
	c.settle()
	c.say("It needs state.")
	leader.r.Snapshot(leader.place.Position)
	c.tick(1)
	c.tick(1)
	c.say("Promote it.")
	fmt.Fprintf(c.trace, "    %v\n", leader.r.ProposeConf(order.ConfChange{Type: order.Promote, ID: 4}))
	c.ready(leader)
	c.settle()
	c.glance(1, 4)
}
