package slots

import (
	"fmt"

	"metronome/system/order"
)

// Redo repeats what was written before a restart, in order. A record that cannot be repeated ends it, and so
// do records that lack some of what they say is decided: they are not to be started from.
func (r *Replica) Redo(redo func(record []byte) error) error {
	for i, b := range r.records {
		if err := redo(b); err != nil {
			return fmt.Errorf("orderer record %d of %d: %w: repair from peers", i+1, len(r.records), err)
		}
	}
	r.records = nil
	return r.Log.complete(r.Commit)
}

// Again is a slot that is written again; nil if the durable state covers it. reach is how far behind what is
// known a record may be of one.
func (r *Replica) Again(n, reach uint64) (*Slot, error) {
	if n > max(r.Log.Last(), r.Commit)+reach {
		return nil, fmt.Errorf("%w: slot %d in a record, after %d", order.ErrMalformed, n, r.Log.Last())
	}
	if n > r.Log.Last() {
		r.Log.Grow(n)
	}
	return r.Log.At(n), nil
}

// AcceptedAgain repeats what was accepted. Of a slot the highest ballot counts.
func (r *Replica) AcceptedAgain(entries []Entry, reach uint64) error {
	for _, e := range entries {
		s, err := r.Again(e.Slot, reach)
		if err != nil {
			return err
		}
		if s != nil && e.Ballot >= s.Ballot {
			s.Promised, s.Ballot, s.Decision = max(s.Promised, e.Ballot), e.Ballot, e.Decision
		}
	}
	return nil
}
