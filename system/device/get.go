package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"metronome/system/device/queue"
)

// Source says where a value comes from.
type Source string

// The sources: an operation that is not at the edge yet; the edge; what was last seen there.
const (
	FromQueue Source = "queue"
	FromEdge  Source = "edge"
	FromSeen  Source = "seen"
)

// Value is what is known of a key.
type Value struct {
	Value    []byte
	Revision uint64 // at the edge; 0 = unknown
	Source   Source
	// Stale says that the edge could not be asked: the value was right Age ago, by this device's
	// clock.
	Stale bool
	Age   time.Duration
	// Number of the operation that will set it, from the queue.
	Number uint64
}

// EdgeError is a refusal of a read.
type EdgeError struct {
	Status int
	Type   string
	Why    string
}

// Error says what the edge said.
func (e *EdgeError) Error() string {
	return fmt.Sprintf("device: the edge refused the read: %d %s: %s", e.Status, e.Type, e.Why)
}

// errNoEdge is wrapped by what makes a read fall back to what was last seen.
var errNoEdge = errors.New("device: no edge answers")

// Get returns the value that the key has, or will have once the edge has what waits here: an
// unfinished put or delete hides the edge's value. Conditional operations hide nothing: what they
// do is the edge's to say. Without an edge it is the value last seen there, marked stale, else
// [ErrUnreachable]. With [ErrNotFound] the Value tells on what authority.
func (d *Device) Get(ctx context.Context, key string) (Value, error) {
	if key == "" || len(key) > queue.MaxKey {
		return Value{}, fmt.Errorf("%w: the key has %d bytes: use 1 to %d", ErrInput, len(key), queue.MaxKey)
	}
	if v, known, err := d.pending(ctx, key); known || err != nil {
		return v, err
	}
	value, revision, found, err := d.fromEdge(ctx, key)
	var refused *EdgeError
	switch {
	case errors.As(err, &refused), ctx.Err() != nil:
		return Value{}, errors.Join(err, context.Cause(ctx))
	case err != nil:
		return d.lastSeen(key, err)
	}
	d.seen.put(key, value, revision, found)
	return answer(Value{Value: value, Revision: revision, Source: FromEdge}, found)
}

func answer(v Value, found bool) (Value, error) {
	if !found {
		v.Value = nil
		return v, ErrNotFound
	}
	return v, nil
}

func (d *Device) lastSeen(key string, why error) (Value, error) {
	e := d.seen.get(key)
	if e == nil {
		return Value{}, fmt.Errorf("%w: %w", ErrUnreachable, why)
	}
	v := Value{Value: bytes.Clone(e.Value), Revision: e.Revision, Source: FromSeen, Stale: true,
		Age: max(0, time.Since(e.At))}
	return answer(v, e.Found)
}

// fromEdge asks the edge, unless it failed a moment ago and is left in peace.
func (d *Device) fromEdge(ctx context.Context, key string) (value []byte, rev uint64, found bool, err error) {
	if d.remote == nil {
		return nil, 0, false, fmt.Errorf("%w: none is configured", errNoEdge)
	}
	d.mu.Lock()
	waits, closed := d.core.Waits(d.now()), d.err
	d.mu.Unlock()
	if closed != nil {
		return nil, 0, false, closed
	}
	if waits != "" {
		return nil, 0, false, fmt.Errorf("%w: %s", errNoEdge, waits)
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ReadTimeout)
	defer cancel()
	return d.remote.get(ctx, key)
}

type stretch struct{ from, to uint64 }

// maxLooks bounds how many stretches of the log one read looks at.
const maxLooks = 1024

// pending looks for the newest unfinished operation on the key.
func (d *Device) pending(ctx context.Context, key string) (v Value, known bool, err error) {
	var looks []stretch
	d.mu.Lock()
	d.core.Find([]byte(key), func(from, to uint64) bool {
		looks = append(looks, stretch{from, to})
		return len(looks) == maxLooks
	})
	d.mu.Unlock()
	for _, s := range looks {
		op, err := d.newestIn(ctx, s, key)
		if err != nil {
			return Value{}, false, err
		}
		if op == nil {
			continue
		}
		v := Value{Value: op.Value, Source: FromQueue, Number: op.Number}
		v, err = answer(v, op.Kind == queue.KindPut)
		return v, true, err
	}
	return Value{}, false, nil
}

// newestIn reads a stretch of the log for the newest plain operation on key.
func (d *Device) newestIn(ctx context.Context, s stretch, key string) (best *queue.Op, err error) {
	// What was enqueued a moment ago can be read once it is durable.
	if err := d.log.Wait(ctx, s.to); err != nil {
		return nil, err
	}
	err = d.log.Read(s.from, func(number uint64, record []byte) bool {
		op := queue.Op{Number: number}
		if number > s.to || ctx.Err() != nil {
			return false
		}
		if queue.RecordKind(record) == queue.KindMark || queue.DecodeOp(record, &op) != nil {
			return true
		}
		if string(op.Key) == key && op.Cond == queue.Always {
			op.Value = bytes.Clone(op.Value)
			op.Key = nil
			best = &op
		}
		return true
	})
	return best, errors.Join(err, context.Cause(ctx))
}
