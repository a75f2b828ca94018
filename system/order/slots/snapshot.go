package slots

import (
	"fmt"
	"slices"

	"metronome/system/order"
)

// Snapshot implements [order.Orderer]. An offer older than the log, or than the last, is ignored.
func (r *Replica) Snapshot(position uint64) {
	if position <= r.Done && position >= r.Log.Base {
		r.offered = max(r.offered, position)
	}
}

// Place implements [order.Orderer].
func (r *Replica) Place(position uint64) (order.SnapshotMeta, bool) {
	ballot := r.Log.TermAt(position)
	if ballot == 0 || position > r.Done {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: r.termOr(ballot),
		Members: order.Members{Voters: slices.Clone(r.Members)}}, true
}

// SendState has the captured state sent to a member that lacks what the log no longer holds, or asks for
// some to be captured. One transfer at a time goes to each.
func (r *Replica) SendState(to int, ready *order.Ready) {
	if r.sending[to] != 0 {
		return
	}
	meta, ok := r.Place(r.offered)
	if !ok {
		ready.WantSnapshot = true
		return
	}
	meta.To, r.sending[to] = r.Members[to], meta.Position
	ready.Snapshots = append(ready.Snapshots, meta)
}

// Sending reports whether state is on its way to a member.
func (r *Replica) Sending(to int) bool { return r.sending[to] != 0 }

// Arrived notes that a member says it has everything up to a position.
func (r *Replica) Arrived(at int, position uint64) {
	if position >= r.sending[at] {
		r.sending[at] = 0
	}
}

// SnapshotSent implements [order.Orderer]. Whether the member has it, its own messages show.
func (r *Replica) SnapshotSent(to uint64, _ bool) {
	if i := slices.Index(r.Members, to); i >= 0 {
		r.sending[i] = 0
	}
}

// ForgetTransfers ends the transfers of a leadership.
func (r *Replica) ForgetTransfers() { clear(r.sending) }

// Forget forgets the log up to a position that was applied, or further if the rest is too much for one
// record, and reports whether there was any of it. What is left is to be repeated in a fresh record
// ([order.Outbox.Repeat]).
func (r *Replica) Forget(position uint64) bool {
	if position = min(max(position, r.Log.light(order.MaxRepeated)), r.Done); position <= r.Log.Base {
		return false
	}
	r.Log.Cut(position, r.termOr(r.Log.TermAt(position)))
	return true
}

// Restorable says why a snapshot must not be installed: it is another member's, of other members, or
// older than what is applied.
func (r *Replica) Restorable(s *order.SnapshotMeta) error {
	switch {
	case s.To != r.ID || s.Term == 0 || s.Position > MaxNumber:
		return fmt.Errorf("%w snapshot: for %x at %x, term %d", order.ErrMalformed, s.To, r.ID, s.Term)
	case !slices.Equal(s.Members.Voters, r.Members):
		return fmt.Errorf("%w: the members in the snapshot at %d are %x, here %x", order.ErrMembership, s.Position,
			s.Members.Voters, r.Members)
	case s.Position < r.Done:
		return fmt.Errorf("%w: at %d, applied %d", order.ErrStale, s.Position, r.Done)
	}
	return nil
}

// TakeState stands at a snapshot whose state is in place: what it covers is decided and applied, whatever
// was known of it here, and what lies behind it is handed out again.
func (r *Replica) TakeState(s *order.SnapshotMeta, ready *order.Ready) {
	if s.Position > r.Log.Base {
		r.Log.Cut(s.Position, r.termOr(s.Term))
	}
	r.Commit = max(r.Commit, s.Position)
	r.Handed, r.Done, r.applying, ready.Committed = s.Position, s.Position, 0, nil
	r.Wait.DropTo(s.Position)
}

// Standstill finds a member that a leader believes to have been sent everything, and that waits at its gate
// for items that nobody keeps any more: items are dropped where the log is compacted (R17), so what it has
// not accepted is forgotten here as well. It cannot know, and unless more is decided nothing tells.
type Standstill struct {
	match   uint64
	answers int
}

// Look takes an answer of the member, which has accepted everything up to match, and reports whether it has
// not gone forward for an election timeout although the log begins at base.
func (s *Standstill) Look(match, base uint64, r *Replica) bool {
	if match >= base || match != s.match {
		*s = Standstill{match: match}
		return false
	}
	s.answers++
	return s.answers*r.HeartbeatTicks >= r.ElectionTicks
}

// Source is whom a member asks for what it misses: by index, and one at a time.
type Source int

// Stay is a member that knows more: the one that was asked before if that still does, or else the next;
// -1 if none does.
func (s *Source) Stay(members int, knows func(i int) bool) int {
	for range members {
		if *s %= Source(members); knows(int(*s)) {
			return int(*s)
		}
		*s++
	}
	*s %= Source(members)
	return -1
}
