package sim

import (
	"fmt"
	"slices"
)

// intact reports whether a voter's state is there.
func (t *truth) intact(id uint64) bool {
	for _, l := range t.lives {
		if l.id == id && !l.lost {
			return true
		}
	}
	return false
}

// views are the configurations that some living replica may be deciding by.
func (t *truth) views() (all []membership) {
	all = append(all, t.members)
	for _, l := range t.lives {
		if !l.lost && l.members.voters != nil {
			all = append(all, l.members)
		}
	}
	return all
}

// mayLose reports whether the fault model allows one more loss of state: afterwards a majority of
// voters is intact, whatever configuration anyone goes by (R2), and also if the promotion of a
// learner that is lost was under way already.
func (t *truth) mayLose(id uint64) bool {
	for _, m := range t.views() {
		left := 0
		for _, voter := range m.voters {
			if voter != id && t.intact(voter) {
				left++
			}
		}
		promoted := 0
		for _, learner := range m.learners {
			if learner == id || !t.intact(learner) {
				promoted = 1 // configurations change by one member at a time
			}
		}
		if 2*left <= len(m.voters)+promoted {
			return false
		}
	}
	return true
}

// voting are the slots of replicas that vote and have their state, by the newest configuration. A
// process that is down has it on its disk.
func (w *world) voting() (all []*process) {
	for _, p := range w.procs {
		has := p.life != nil && (p.up && p.replica != nil || p.disk != nil && !p.life.lost)
		if has && slices.Contains(w.truth.members.voters, p.life.id) {
			all = append(all, p)
		}
	}
	return all
}

// apart says in what replicas differ that should be the same by now, or nothing.
func (w *world) apart() string {
	var first View
	for i, p := range w.procs[:w.params.replicas] {
		v := &w.view
		v.reset()
		p.replica.Inspect(v)
		switch {
		case !slices.Contains(v.Voters, v.ID):
			return fmt.Sprintf("%v does not vote", p.life)
		case i == 0:
			first = *v
		case v.Index != first.Index || v.Hash != first.Hash:
			return fmt.Sprintf("%v is at index %d with state %x, %v at %d with %x", p.life, v.Index, v.Hash,
				w.procs[0].life, first.Index, first.Hash)
		}
	}
	return ""
}
