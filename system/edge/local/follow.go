package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// Turn is what a group of batches does to a store, worked out by [Store.Judge] and not done yet.
type Turn struct {
	Answers []Answer // one a batch

	// Records is what [Store.Follow] takes at this store and at every other that is at the same place; empty
	// = nothing changes.
	Records []byte
	// Changes are the same as keys and values of this package, for a copy that [Builder] can start from: the
	// last change of each key, in the order of the keys.
	Changes []Raw
	Totals  []byte // afterwards, for [Builder.Seal]
}

// Answer is what a batch of a [Turn] would be told.
type Answer struct {
	Outcome *edge.Outcome
	Err     error
}

// Raw is a key of the copy and what it holds; no value = it is removed.
type Raw struct{ Key, Value []byte }

// Judge works out what batches, one after another, would do to the store, at the time given, and changes
// nothing. Whoever orders the changes of several stores judges at one of them, gets agreement, and then has
// all of them follow.
func (s *Store) Judge(ctx context.Context, batches []*edge.Batch, now time.Time) (t *Turn, err error) {
	err = s.submit(ctx, &request{work: func(w *writer) (err error) {
		t, err = w.judge(batches, now)
		return err
	}})
	return t, err
}

// rehearsal is what the writer must have back if what it does is not to be.
type rehearsal struct {
	state      state
	commit     *pebble.Batch
	dirty      bool
	rows       map[string]*session
	steps      int
	operations uint64
	undo       []undo
}

func (w *writer) rehearse() *rehearsal {
	was := &rehearsal{w.state, w.commit, w.dirty, w.rows, len(w.log.steps), w.s.operations.Load(), nil}
	w.commit, w.rows, w.opened = w.s.db.NewBatch(), map[string]*session{}, w.opened[:0]
	return was
}

func (w *writer) judge(batches []*edge.Batch, now time.Time) (*Turn, error) {
	was := w.rehearse()
	t := &Turn{Answers: make([]Answer, len(batches))}
	w.time = now
	w.tap = func(record []byte) { t.Records = appendBytes(t.Records, record) }
	for i, b := range batches {
		a := &t.Answers[i]
		if a.Outcome, a.Err = w.apply(b); a.Err == nil {
			was.undo = append(was.undo, w.undo...)
		}
	}
	w.time, w.tap = time.Time{}, nil
	t.Totals = w.state.encode(nil)
	err := t.gather(w.commit)
	w.forget(was)
	return t, err
}

// forget makes the writer as it was before.
func (w *writer) forget(was *rehearsal) {
	for i := len(was.undo) - 1; i >= 0; i-- {
		w.heads.put(was.undo[i].key, was.undo[i].was)
	}
	for _, client := range w.opened {
		if w.sessions[client]--; w.sessions[client] <= 0 {
			delete(w.sessions, client)
		}
	}
	_ = w.commit.Close()
	w.state, w.commit, w.dirty, w.rows = was.state, was.commit, was.dirty, was.rows
	w.log.steps, w.opened = w.log.steps[:was.steps], w.opened[:0]
	w.s.operations.Store(was.operations)
}

// gather takes entries and sessions out of a commit.
func (t *Turn) gather(b *pebble.Batch) error {
	in := b.Reader()
	for {
		kind, key, value, ok, err := in.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if key[0] != dataSpace && key[0] != sessionSpace {
			continue
		}
		r := Raw{Key: clone(key)}
		if kind == pebble.InternalKeyKindSet {
			r.Value = clone(value)
		}
		t.Changes = append(t.Changes, r)
	}
	slices.Reverse(t.Changes) // the last change of a key comes first, and stays
	slices.SortStableFunc(t.Changes, func(a, b Raw) int { return slices.Compare(a.Key, b.Key) })
	t.Changes = slices.CompactFunc(t.Changes, func(a, b Raw) bool { return slices.Equal(a.Key, b.Key) })
	return nil
}

// Spot is a place in an order that others keep: its number, from 1, and the name of the turn there.
type Spot struct {
	Place uint64
	Turn  [16]byte
}

// Follow executes what [Store.Judge] worked out, here or elsewhere, and notes the spot in the order that it
// has, one above the last. It returns once all is durable. A store that follows does nothing else: its
// changes come by Follow alone. What does not fit to what the store holds, or leads to other totals than
// it did elsewhere, is [edge.ErrDamaged], and nothing has happened.
func (s *Store) Follow(ctx context.Context, at Spot, records, totals []byte) error {
	return s.submit(ctx, &request{work: func(w *writer) error { return w.follow(at, records, totals) }})
}

func (w *writer) follow(at Spot, records, totals []byte) error {
	var want state
	before, err := spotOf(w.s.db)
	if err == nil {
		err = want.decode(totals)
	}
	if err != nil || at.Place != before.Place+1 {
		return fmt.Errorf("edge/local: place %d does not follow %d: %w", at.Place, before.Place, err)
	}
	all, err := split(records)
	if err != nil {
		return err
	}
	was := w.rehearse()
	if err := w.replayAll(was, all, &want); err != nil {
		w.forget(was)
		return err
	}
	err = was.commit.Apply(w.commit, nil)
	_ = w.commit.Close()
	w.commit, w.rows, w.dirty = was.commit, was.rows, true
	if err == nil {
		err = w.commit.Set(spotKey, at.encode(), nil)
	}
	if err != nil {
		w.s.fail(err)
	}
	return err
}

func (w *writer) replayAll(was *rehearsal, all []Record, want *state) error {
	if len(all) > 0 && all[0].First != w.state.revision+1 {
		return fmt.Errorf("%w: a turn begins at revision %d, this copy is at %d", edge.ErrDamaged,
			all[0].First, w.state.revision)
	}
	for i := range all {
		if err := w.replay(&all[i]); err != nil {
			return err
		}
		was.undo = append(was.undo, w.undo...)
	}
	if got := w.state; got.revision != want.revision || got.keys != want.keys || got.bytes != want.bytes ||
		got.digest != want.digest {
		return fmt.Errorf("%w: the copy has %d keys with digest %016x at revision %d, elsewhere %d with %016x "+
			"at %d", edge.ErrDamaged, got.keys, got.digest, got.revision, want.keys, want.digest, want.revision)
	}
	return nil
}

// split takes records apart, and checks them all.
func split(records []byte) (all []Record, err error) {
	in := reader{b: records}
	for len(in.b) > 0 {
		r, err := DecodeRecord(in.bytes())
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && r.First != all[n-1].Last+1 {
			return nil, fmt.Errorf("%w: revision %d follows %d", edge.ErrDamaged, r.First, all[n-1].Last)
		}
		all = append(all, r)
	}
	return all, in.end("records of the log")
}

// replay does what a record says was done.
func (w *writer) replay(r *Record) error {
	w.undo, w.writes, w.arena = w.undo[:0], w.writes[:0], w.arena[:0]
	w.record.reset()
	for i := range r.Ops {
		op := &r.Ops[i]
		was, err := w.head(op.Key)
		if err != nil {
			return err
		}
		if op.Kind == edge.Delete {
			w.put(op, was, head{}, nil)
		} else {
			w.set(op, was)
		}
	}
	w.state.revision = r.Last
	if err := w.adopt(r.sessionKey, r.sessionRow); err != nil {
		return err
	}
	return w.book(r.First, r.Time, r.sessionKey, r.sessionRow)
}

// adopt takes over a session's row.
func (w *writer) adopt(key, encoded []byte) error {
	if len(key) == 0 {
		return nil
	}
	row := &session{}
	if err := row.decode(encoded); err != nil {
		return err
	}
	client, _, ok := splitSessionKey(key)
	if !ok {
		return fmt.Errorf("%w: a session's key", edge.ErrDamaged)
	}
	_, changed := w.rows[string(key)]
	if !changed {
		b, err := get(w.s.db, key)
		if err != nil {
			return err
		}
		if b == nil {
			w.sessions[client]++
			w.opened = append(w.opened, client)
		}
	}
	w.rows[string(key)] = row
	return nil
}

// Spot is the spot in the order up to which the store has followed.
func (s *Store) Spot() (Spot, error) {
	leave, err := s.enter()
	if err != nil {
		return Spot{}, err
	}
	defer leave()
	return spotOf(s.db)
}

func (p Spot) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, p.Place), p.Turn[:]...)
}

func spotOf(r pebble.Reader) (p Spot, err error) {
	b, err := get(r, spotKey)
	if err != nil || b == nil {
		return p, err
	}
	if len(b) != 8+len(p.Turn) {
		return p, fmt.Errorf("%w: the spot in the order", edge.ErrDamaged)
	}
	p.Place = binary.BigEndian.Uint64(b)
	copy(p.Turn[:], b[8:])
	return p, nil
}
