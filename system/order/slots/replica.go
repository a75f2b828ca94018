package slots

import (
	"fmt"
	"math/bits"
	"slices"

	"metronome/system/order"
)

// maxMembers bounds fixed members: a set of them is the bits of a uint32.
const maxMembers = 32

// defaultWaitingBytes is the bound of what waits at the gate where the configuration names none.
const defaultWaitingBytes = 4 << 20

// maxApplyingBytes bounds what was handed out and is not applied; then nothing more is handed out.
const maxApplyingBytes = 1 << 20

// Replica is what a member is before it has an algorithm. Its methods that [order.Orderer] names are that
// interface's; the others are for the algorithm that embeds it.
type Replica struct {
	ID      uint64
	Self    int // index in Members
	Members []uint64
	Accepts int // quorum of phase 2: a majority, or more

	Gate                          order.Gate
	Random                        Random
	ElectionTicks, HeartbeatTicks int
	Volatile                      bool

	Log     Log
	Wait    Queue    // at the gate
	WaitMax int      // its bytes
	Commit  uint64   // every slot up to here is decided
	Holes   []uint64 // slots accepted before a restart and not judged since, ascending
	Handed  uint64   // handed out up to here
	Done    uint64   // and applied

	term     uint64 // of every position; 0: of each, the ballot in which it was accepted
	applying int    // bytes handed out and not applied
	offered  uint64 // position of the captured state
	sending  []uint64
	records  [][]byte
}

// Begin checks a configuration and stands where it begins: at a founding, or at the state that survived. A
// joiner is refused with [order.ErrStatic], and so is a life that is no member; members that change with
// [order.ErrMembership]. name is the algorithm's; term is that of every position, where the ballot of a
// decision means nothing to others, or 0.
func Begin(name string, c *order.Config, term uint64) (r Replica, err error) {
	unreserved := func(uint64) bool { return false }
	if err := c.Validate(name, unreserved); err != nil {
		return r, err
	}
	at := order.SnapshotMeta{Position: 1, Term: 1}
	switch {
	case c.Bootstrap != nil:
		at.Members = *c.Bootstrap
	case c.Restart != nil:
		at, r.records = c.Restart.Snapshot, c.Restart.Records
	}
	if len(at.Members.Voters) == 0 || at.Position == 0 {
		return r, fmt.Errorf("order/%s: %x holds nothing: %w", name, c.ID, order.ErrStatic)
	}
	if !at.Members.WellFormed(unreserved) || len(at.Members.Learners) > 0 {
		return r, fmt.Errorf("order/%s: members %+v: want voters only, each once: %w", name, at.Members,
			order.ErrMembership)
	}
	r.ID, r.Gate, r.Random, r.Volatile = c.ID, c.Gate, NewRandom(c), c.Volatile
	r.ElectionTicks, r.HeartbeatTicks = c.ElectionTicks, c.HeartbeatTicks
	if r.WaitMax = c.MaxWaitingBytes; r.WaitMax <= 0 {
		r.WaitMax = defaultWaitingBytes
	}
	r.term = term
	r.Log.Base, r.Log.Term = at.Position, r.termOr(max(at.Term, 1))
	r.Commit, r.Handed, r.Done = at.Position, at.Position, at.Position
	r.Members = slices.Clone(at.Members.Voters)
	r.sending = make([]uint64, len(r.Members))
	return r, r.quorum(name, c)
}

// quorum takes the quorum of phase 2: with less than a majority, decided would not mean that a majority
// holds the items (R13).
func (r *Replica) quorum(name string, c *order.Config) error {
	n := len(r.Members)
	if r.Self = slices.Index(r.Members, c.ID); r.Self < 0 {
		return fmt.Errorf("order/%s: %x is not a member of %x: %w", name, c.ID, r.Members, order.ErrStatic)
	}
	if n > maxMembers {
		return fmt.Errorf("order/%s: %d members: at most %d", name, n, maxMembers)
	}
	if r.Accepts = c.AcceptQuorum; r.Accepts == 0 {
		r.Accepts = n/2 + 1
	}
	if r.Accepts <= n/2 || r.Accepts > n {
		return fmt.Errorf("order/%s: %d acceptances of %d members: use %d to %d; with less, decided would "+
			"not mean that a majority holds the items (R13)", name, r.Accepts, n, n/2+1, n)
	}
	return nil
}

func (r *Replica) termOr(ballot uint64) uint64 {
	if r.term != 0 {
		return r.term
	}
	return ballot
}

// Promises is the quorum of phase 1, as small as can be: any two of the two kinds meet (Howard et al.,
// "Flexible Paxos", OPODIS 2016).
func (r *Replica) Promises() int { return len(r.Members) - r.Accepts + 1 }

// Quorum reports whether a set of members, by index, has n.
func Quorum(set uint32, n int) bool { return bits.OnesCount32(set) >= n }

// Others does something for each other member.
func (r *Replica) Others(do func(i int)) {
	for i := range r.Members {
		if i != r.Self {
			do(i)
		}
	}
}

// Sender is the index of another member, whose message came.
func (r *Replica) Sender(from uint64) (int, error) {
	i := slices.Index(r.Members, from)
	if i < 0 || i == r.Self {
		return i, fmt.Errorf("%w message from %x: it is no other member", order.ErrMalformed, from)
	}
	return i, nil
}

// ProposeConf implements [order.Orderer]: members are fixed.
func (r *Replica) ProposeConf(order.ConfChange) error {
	return fmt.Errorf("%w: %w", order.ErrMembership, order.ErrStatic)
}

// Unreachable implements [order.Orderer]. Nothing follows: what was lost is asked for, or sent again.
func (r *Replica) Unreachable(uint64) {}

// Judge asks the gate for a cut; there is nothing to hold under an empty one.
func (r *Replica) Judge(c order.Cut) order.Verdict { return judge(r.Gate, c) }

func judge(g order.Gate, c order.Cut) order.Verdict {
	if len(c) == 0 {
		return order.Held
	}
	return g.Holds(c)
}

// Fill judges holes, as far as they are held now ([Log.Fill]).
func (r *Replica) Fill() { r.Holes = r.Log.Fill(r.Holes, r.Done, r.Gate) }

// HandOut hands out what is decided up to a slot, in order, up to the first that is not held here (R4).
func (r *Replica) HandOut(to uint64, ready *order.Ready) {
	for r.Handed < to && r.applying < maxApplyingBytes {
		s := r.Log.At(r.Handed + 1)
		if !s.Held {
			return
		}
		r.Handed++
		r.applying += len(s.Decision)
		ready.Committed = append(ready.Committed,
			order.Committed{Position: r.Handed, Term: r.termOr(s.Ballot), Decision: s.Decision})
	}
}

// Apply notes what was applied. A position that was not handed out yet is not believed.
func (r *Replica) Apply(position uint64) {
	for r.Done < min(position, r.Handed) {
		r.Done++
		if s := r.Log.At(r.Done); s != nil {
			r.applying -= len(s.Decision)
		}
	}
}

// Status is what every algorithm says of itself.
func (r *Replica) Status() order.Status {
	return order.Status{ID: r.ID, Position: r.Commit, Applied: r.Done, Last: r.Log.Last(),
		Waiting: len(r.Wait.Wait), Holes: len(r.Holes), Dropped: r.Wait.Dropped,
		Members: order.Members{Voters: slices.Clone(r.Members)}}
}

// Match adds to a status how far each member's log agrees, and who is being sent state.
func (r *Replica) Match(s *order.Status, match func(i int) uint64) {
	s.Match, s.SnapshotPending = make(map[uint64]uint64, len(r.Members)), map[uint64]bool{}
	for i, id := range r.Members {
		s.Match[id] = match(i)
		if r.sending[i] != 0 {
			s.SnapshotPending[id] = true
		}
	}
}
