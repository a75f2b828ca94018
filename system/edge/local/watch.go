package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// scanBytes of the log are read at a time, while the store cannot be closed.
const scanBytes = 4 << 20

// Watch implements [edge.Watcher]. It keeps nothing per watcher: each reads the log at its own pace.
func (s *Store) Watch(ctx context.Context, prefix []byte, from uint64, limit int) (
	[]edge.Event, uint64, error) {
	now := s.durable.get()
	if from == 0 {
		from = now + 1
	}
	if from > now+1 {
		return nil, from, fmt.Errorf("%w: this edge is at revision %d only: it has lost data", edge.ErrTrimmed, now)
	}
	for {
		var events []edge.Event
		next, err := s.scan(from, scanBytes, func(encoded []byte) (bool, error) {
			r, err := DecodeRecord(encoded)
			if err != nil {
				return false, err
			}
			events = appendEvents(events, &r, prefix, from)
			return len(events) < limit, nil
		})
		if err != nil {
			return nil, from, err
		}
		if len(events) > 0 {
			events, next = cut(events, next, limit)
			return events, next, nil
		}
		if next == from { // all that is durable has been seen
			err := s.durable.wait(ctx, from, s.over)
			if ctx.Err() != nil {
				return nil, from, nil
			}
			if err != nil {
				return nil, from, err
			}
		}
		from = next
	}
}

// cut keeps to the limit, which a batch may exceed, and returns the revision to go on with.
func cut(events []edge.Event, next uint64, limit int) ([]edge.Event, uint64) {
	if len(events) > limit {
		return events[:limit], events[limit].Entry.Revision
	}
	return events, next
}

func appendEvents(events []edge.Event, r *Record, prefix []byte, from uint64) []edge.Event {
	for i := range r.Ops {
		op := &r.Ops[i]
		revision := r.First + uint64(i)
		if revision < from || !bytes.HasPrefix(op.Key, prefix) {
			continue
		}
		events = append(events, edge.Event{Kind: op.Kind, Entry: edge.Entry{Key: clone(op.Key),
			Value: clone(op.Value), Type: op.Type, Revision: revision}})
	}
	return events
}

// scan hands out durable records of the log, from the one that holds a revision on, until visit has enough or
// so many bytes were read. It returns the revision to go on with.
func (s *Store) scan(from uint64, most int, visit func(encoded []byte) (bool, error)) (
	next uint64, err error) {
	leave, err := s.enter()
	if err != nil {
		return from, err
	}
	defer leave()
	durable := s.durable.get()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{logSpace}, UpperBound: logKey(durable + 1)})
	if err != nil {
		return from, damage(err)
	}
	defer func() { err = s.hurt(errors.Join(err, damage(it.Close()))) }()
	if from > durable {
		return from, nil
	}
	next = from
	for ok, read := s.seek(it, from), 0; ok && read < most; ok = it.Next() {
		first, last, _, err := recordSpan(it.Value())
		if err != nil {
			return next, err
		}
		if first > next {
			return next, fmt.Errorf("%w: they begin at revision %d", edge.ErrTrimmed, first)
		}
		read += len(it.Value())
		next = last + 1
		if more, err := visit(it.Value()); err != nil || !more {
			return next, err
		}
	}
	if next == from { // nothing from there on, though something was
		return from, fmt.Errorf("%w: they begin at revision %d", edge.ErrTrimmed, durable+1)
	}
	return next, nil
}

// seek goes to the record that holds a revision, else to the first behind it.
func (s *Store) seek(it *pebble.Iterator, revision uint64) bool {
	if it.SeekLT(logKey(revision + 1)) {
		if _, last, _, err := recordSpan(it.Value()); err != nil || last >= revision {
			return true
		}
		return it.Next()
	}
	return it.First()
}
