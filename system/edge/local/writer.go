package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// Bounds of one commit (I6). They bound memory and how long the last to come waits.
const (
	groupOps   = 8 << 10
	groupBytes = 8 << 20
	inFlight   = 4 // commits on their way to stable storage
)

// request is a batch, or other work for the writer, and its answer.
type request struct {
	batch *edge.Batch
	work  func(*writer) error
	out   *edge.Outcome
	err   error
	done  chan struct{}
}

// group is what shares a commit.
type group struct {
	requests []*request
	commit   *pebble.Batch // nil = it changed nothing
	state    state         // of the store after it
}

// writer judges batches and makes commits of them; it is the only one to change the store.
type writer struct {
	s        *Store
	state    state // with what is not durable yet
	sessions map[string]int
	log      logIndex
	heads    headCache // with what is not durable yet

	// Of the group being gathered.
	commit *pebble.Batch
	rows   map[string]*session // that were changed
	opened []string            // clients of sessions that are new, one each
	dirty  bool

	// While somebody else says what happens when: see [Store.Judge] and [Store.Follow].
	time time.Time    // zero = the clock's
	tap  func([]byte) // gets the records that are made

	// Of the batch being executed.
	undo   []undo
	writes []write
	arena  []byte
	record recordBuilder
	key    []byte
}

// undo is how to forget what a batch did that is refused.
type undo struct {
	key string
	was head
}

// write is a change of an entry: what a key is to hold, or nothing.
type write struct {
	op    *edge.Op
	entry []byte
}

// submit hands work to the writer and waits for the answer.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan struct{})
	if err := s.enqueue(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", edge.ErrUnknown, ctx.Err())
	}
}

func (s *Store) enqueue(r *request) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.queue <- r:
		return nil
	default:
		return fmt.Errorf("%w (%d batches wait for the disk)", edge.ErrBusy, cap(s.queue))
	}
}

// run is the writer's goroutine; it ends when the queue is closed and empty.
func (w *writer) run() {
	defer close(w.s.syncs)
	for r := range w.s.queue {
		g := &group{commit: w.s.db.NewBatch()}
		w.commit, w.dirty = g.commit, false
		w.gather(g, r)
		w.finish(g)
		w.s.syncs <- g
	}
}

// gather executes what has come meanwhile.
func (w *writer) gather(g *group, r *request) {
	for ops := 0; ; {
		w.execute(r)
		g.requests = append(g.requests, r)
		if r.batch != nil {
			ops += len(r.batch.Ops)
		}
		if ops >= groupOps || w.commit.Len() >= groupBytes {
			return
		}
		select {
		case next, ok := <-w.s.queue:
			if !ok {
				return
			}
			r = next
		default:
			return
		}
	}
}

func (w *writer) execute(r *request) {
	switch {
	case w.s.failed.Load():
		r.err = edge.ErrFailed
	case r.work != nil:
		r.err = r.work(w)
	default:
		r.out, r.err = w.apply(r.batch)
	}
	if errors.Is(r.err, edge.ErrDamaged) {
		w.s.damaged.Add(1)
	}
}

// finish makes the group visible. The order matters: readers that see a change must find its revision issued.
func (w *writer) finish(g *group) {
	clear(w.rows)
	w.opened = w.opened[:0]
	g.state = w.state
	if !w.dirty {
		_ = g.commit.Close()
		g.commit = nil
		return
	}
	w.trim()
	err := w.commit.Set(stateKey, w.state.encode(nil), nil)
	w.s.issued.Store(g.state.revision)
	if err == nil {
		err = w.s.db.ApplyNoSyncWait(g.commit, pebble.Sync)
	}
	if err != nil {
		w.s.fail(err)
		g.commit = nil
		for _, r := range g.requests {
			r.out, r.err = nil, edge.ErrFailed
		}
	}
}

// sync is the syncer's goroutine: it waits for commits, in their order, and answers.
func (s *Store) sync() {
	defer close(s.synced)
	for g := range s.syncs {
		if g.commit != nil {
			if err := g.commit.SyncWait(); err != nil {
				s.fail(err)
			}
			_ = g.commit.Close()
			s.commits.Add(1)
		}
		failed := s.failed.Load()
		if !failed {
			s.setTotals(&g.state)
			s.durable.set(g.state.revision)
		}
		for _, r := range g.requests {
			if failed && r.err == nil {
				r.out, r.err = nil, fmt.Errorf("%w: %w", edge.ErrFailed, edge.ErrUnknown)
			}
			close(r.done)
		}
	}
}

// fail stops the store for good: after a failed fsync nobody knows what is on the disk.
func (s *Store) fail(err error) {
	s.failed.Store(true)
	s.durable.wake()
	s.cfg.Fatal(fmt.Errorf("edge/local: commit to %s: %w", s.cfg.Dir, err))
}
