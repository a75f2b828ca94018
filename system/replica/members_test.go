package replica

import (
	"testing"

	"metronome/system/order"
)

// changes notes what is proposed of the members.
type changes struct {
	order.Orderer
	proposed []order.ConfChange
}

func (c *changes) ProposeConf(change order.ConfChange) error {
	c.proposed = append(c.proposed, change)
	return nil
}

// A learner is promoted when it has caught up: not while it has accepted nothing, even if that is hardly less
// than everybody has.
func TestWhoIsPromotedHasSomething(t *testing.T) {
	r := ordered(t, 0, "raft")
	if err := r.Found([]int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	seen := &changes{Orderer: r.orderer}
	r.orderer, r.now = seen, 1000*r.cfg.Tick
	learner := LifeID(2, 2)
	r.state.lives[2].life = 2
	r.members = order.Members{Voters: []uint64{r.id, LifeID(1, 1)}, Learners: []uint64{learner}}
	r.peers[2].heard = r.now
	r.status = order.Status{ID: r.id, Leader: r.id, Leading: true, Last: caughtUp - 1}
	for match, want := range []int{0, 1} {
		seen.proposed = nil
		r.status.Match = map[uint64]uint64{learner: uint64(match)}
		if r.steerMembers(); len(seen.proposed) != want {
			t.Errorf("it has accepted %d of %d: %+v", match, r.status.Last, seen.proposed)
		}
	}
}
