package slots

import (
	"fmt"
	"math/bits"
	"slices"

	"metronome/system/order"
)

// maxMembers bounds fixed members: a set of them is the bits of a uint32.
const maxMembers = 32

// MaxNumber bounds ballots and slots: no cluster gets that far, and sums cannot wrap around.
const MaxNumber = 1 << 62

// defaultWaitingBytes is the bound of what waits at the gate where the configuration names none.
const defaultWaitingBytes = 4 << 20

// Start is where an algorithm begins whose members are fixed: at its founding, or at what survived.
type Start struct {
	At      order.SnapshotMeta
	Members []uint64
	Self    int // index in Members
	Accepts int // quorum of phase 2: a majority, or more
	WaitMax int // bytes that may wait at the gate

	records [][]byte
}

// Begin checks a configuration. A joiner is refused with [order.ErrStatic], and so is a life that is no
// member; members that change with [order.ErrMembership]. name is the algorithm's.
func Begin(name string, c *order.Config) (s Start, err error) {
	unreserved := func(uint64) bool { return false }
	if err := c.Validate(name, unreserved); err != nil {
		return s, err
	}
	s.At = order.SnapshotMeta{Position: 1, Term: 1}
	switch {
	case c.Bootstrap != nil:
		s.At.Members = *c.Bootstrap
	case c.Restart != nil:
		s.At, s.records = c.Restart.Snapshot, c.Restart.Records
	}
	if len(s.At.Members.Voters) == 0 || s.At.Position == 0 {
		return s, fmt.Errorf("order/%s: %x holds nothing: %w", name, c.ID, order.ErrStatic)
	}
	if !s.At.Members.WellFormed(unreserved) || len(s.At.Members.Learners) > 0 {
		return s, fmt.Errorf("order/%s: members %+v: want voters only, each once: %w", name, s.At.Members,
			order.ErrMembership)
	}
	s.At.Term = max(s.At.Term, 1)
	s.Members = slices.Clone(s.At.Members.Voters)
	if s.WaitMax = c.MaxWaitingBytes; s.WaitMax <= 0 {
		s.WaitMax = defaultWaitingBytes
	}
	return s, s.quorum(name, c)
}

// quorum takes the quorum of phase 2: with less than a majority, decided would not mean that a majority
// holds the items (R13).
func (s *Start) quorum(name string, c *order.Config) error {
	n := len(s.Members)
	if s.Self = slices.Index(s.Members, c.ID); s.Self < 0 {
		return fmt.Errorf("order/%s: %x is not a member of %x: %w", name, c.ID, s.Members, order.ErrStatic)
	}
	if n > maxMembers {
		return fmt.Errorf("order/%s: %d members: at most %d", name, n, maxMembers)
	}
	if s.Accepts = c.AcceptQuorum; s.Accepts == 0 {
		s.Accepts = n/2 + 1
	}
	if s.Accepts <= n/2 || s.Accepts > n {
		return fmt.Errorf("order/%s: %d acceptances of %d members: use %d to %d; with less, decided would "+
			"not mean that a majority holds the items (R13)", name, s.Accepts, n, n/2+1, n)
	}
	return nil
}

// Redo repeats what was written, in order. A record that cannot be repeated ends it.
func (s *Start) Redo(redo func(record []byte) error) error {
	for i, b := range s.records {
		if err := redo(b); err != nil {
			return fmt.Errorf("orderer record %d of %d: %w: repair from peers", i+1, len(s.records), err)
		}
	}
	return nil
}

// Quorum reports whether a set of members, by index, has n.
func Quorum(set uint32, n int) bool { return bits.OnesCount32(set) >= n }

// Random draws from a seed: splitmix64 (Steele et al., OOPSLA 2014), so that one seed twice is the same
// run (R18).
type Random uint64

// NewRandom is the source of one member under a configuration's seed.
func NewRandom(c *order.Config) Random { return Random(c.Seed ^ c.ID*0x9E3779B97F4A7C15) }

// Below draws one below n.
func (r *Random) Below(n int) int {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

// Judge asks a gate for a cut; there is nothing to hold under an empty one.
func Judge(g order.Gate, c order.Cut) order.Verdict {
	if len(c) == 0 {
		return order.Held
	}
	return g.Holds(c)
}

// Restorable says why a snapshot must not be installed: it is another member's, of other members, or
// older than what is applied.
func Restorable(s *order.SnapshotMeta, id uint64, members []uint64, applied uint64) error {
	switch {
	case s.To != id || s.Term == 0 || s.Position > MaxNumber:
		return fmt.Errorf("%w snapshot: for %x at %x, term %d", order.ErrMalformed, s.To, id, s.Term)
	case !slices.Equal(s.Members.Voters, members):
		return fmt.Errorf("%w: the members in the snapshot at %d are %x, here %x", order.ErrMembership, s.Position,
			s.Members.Voters, members)
	case s.Position < applied:
		return fmt.Errorf("%w: at %d, applied %d", order.ErrStale, s.Position, applied)
	}
	return nil
}
