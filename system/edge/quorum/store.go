package quorum

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/local"
)

// errClosed is what methods return after Close.
var errClosed = fmt.Errorf("%w: it is being closed", edge.ErrFailed)

// Store is an edge's data in the replicated core. It implements [edge.Store], [edge.Watcher] and
// [edge.Checker].
type Store struct {
	cfg   Config
	core  *core
	embed *embedded // nil = the proxies are processes of their own
	lock  *os.File  // held as long as the directory is in use

	queue chan *request
	poke  chan struct{} // the head has moved: follow
	stop  context.CancelFunc
	done  chan struct{} // closed when the sequencer has ended

	mu     sync.Mutex
	copy   *local.Store
	dir    string        // of the copy
	at     local.Spot    // of the copy
	moved  chan struct{} // closed, and made anew, when the copy moves
	fresh  time.Time     // when the copy was last known to be current
	cut    error         // why the core cannot be reached; nil = it can
	closed bool

	stats counters
}

// counters are what [Store.Stats] shows.
type counters struct {
	turns, followed, late, rebuilt, renewed atomic.Uint64
}

// Stats is a glance at a store.
type Stats struct {
	Place    uint64 // the last turn of the copy
	Turns    uint64 // of this edge that the core took
	Followed uint64 // of other edges
	Late     uint64 // offers that came too late and were judged again
	Rebuilt  uint64 // copies that were built
	Renewed  uint64 // sessions of the core that were begun because one had ended
	Cut      bool   // the core cannot be reached
}

// Stats counts what the store did since it was opened.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Place: s.at.Place, Turns: s.stats.turns.Load(), Followed: s.stats.followed.Load(),
		Late: s.stats.late.Load(), Rebuilt: s.stats.rebuilt.Load(), Renewed: s.stats.renewed.Load(),
		Cut: s.cut != nil}
}

// Open opens an edge's copy and goes on following. Without a copy it waits for the core, until ctx ends.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	embed, addresses, err := reach(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, core: newCore(&cfg, addresses, cfg.TLS), embed: embed,
		queue: make(chan *request, cfg.Queue), poke: make(chan struct{}, 1), done: make(chan struct{}),
		moved: make(chan struct{})}
	if s.lock, err = lock(cfg.Dir); err == nil {
		err = s.openCopy(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(run)
	return s, nil
}

// Close ends what is under way and closes the copy. The core has everything that was acknowledged.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	s.stop()
	<-s.done
	return s.release()
}

// release gives back all that Open took.
func (s *Store) release() (err error) {
	s.mu.Lock()
	c := s.copy
	s.copy = nil
	s.mu.Unlock()
	if c != nil {
		err = c.Close()
	}
	s.core.close()
	err = errors.Join(err, s.embed.close())
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// now is the copy of the moment. It is closed when another takes its place.
func (s *Store) now() (*local.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copy == nil {
		return nil, errClosed
	}
	return s.copy, nil
}

// read reads the copy, again if another has taken its place meanwhile.
func read[T any](s *Store, f func(*local.Store) (T, error)) (T, error) {
	for {
		c, err := s.now()
		if err != nil {
			var none T
			return none, err
		}
		v, err := f(c)
		if again, _ := s.now(); errors.Is(err, edge.ErrFailed) && again != nil && again != c {
			continue
		}
		return v, err
	}
}

// Get implements [edge.Store].
func (s *Store) Get(ctx context.Context, key []byte, level edge.Read) (edge.Entry, error) {
	if err := s.freshen(ctx, &level); err != nil {
		return edge.Entry{}, err
	}
	return read(s, func(c *local.Store) (edge.Entry, error) { return c.Get(ctx, key, level) })
}

// List implements [edge.Store].
func (s *Store) List(ctx context.Context, l edge.Listing) (*edge.Page, error) {
	if l.Cursor != "" {
		l.Read = edge.Read{}
	}
	if err := s.freshen(ctx, &l.Read); err != nil {
		return nil, err
	}
	return read(s, func(c *local.Store) (*edge.Page, error) { return c.List(ctx, l) })
}

// freshen makes the copy as current as a read asks for, and the read one of the copy.
func (s *Store) freshen(ctx context.Context, r *edge.Read) error {
	switch {
	case r.Level == edge.Local:
		return nil
	case r.Level == edge.Session && r.Min <= s.Status().Revision:
		return nil
	}
	if err := s.current(ctx); err != nil {
		return err
	}
	if r.Level == edge.Quorum {
		*r = edge.Read{}
	}
	return nil
}

// current waits until the copy has all that was agreed when it was called.
func (s *Store) current(ctx context.Context) error {
	if err := s.cutOff(); err != nil {
		return err
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	h, err := s.core.head(limited)
	if err != nil {
		return s.lost(ctx, err)
	}
	if err := s.reach(ctx, h.at.Place); err != nil {
		return err
	}
	s.seen(began, h.at.Place)
	return nil
}

// reach waits until the copy has followed up to a place.
func (s *Store) reach(ctx context.Context, place uint64) error {
	for {
		s.mu.Lock()
		at, moved, closed := s.at.Place, s.moved, s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return errClosed
		case at >= place:
			return nil
		}
		select {
		case s.poke <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-s.done:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cutOff is the error of what needs the core while that cannot be reached.
func (s *Store) cutOff() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// lost makes the core's error the edge's, and notes that the core did not answer, unless it was the caller
// who gave up.
func (s *Store) lost(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, edge.ErrDamaged):
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut == nil && !s.closed {
		s.cfg.Log.Warn("the core cannot be reached: local reads go on", "error", err)
		s.cut = fmt.Errorf("%w (%v)", edge.ErrUnreachable, err) //nolint:errorlint // its kind is another's
	}
	return unreachable(err)
}

// seen notes that the core answered: at that time the last turn was place.
func (s *Store) seen(when time.Time, place uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut != nil {
		s.cfg.Log.Info("the core can be reached again")
		s.cut = nil
	}
	if s.at.Place >= place && when.After(s.fresh) {
		s.fresh = when
	}
}

// Apply implements [edge.Store].
func (s *Store) Apply(ctx context.Context, b *edge.Batch) (*edge.Outcome, error) {
	if err := s.cutOff(); err != nil {
		return nil, err
	}
	r := &request{batch: b, done: make(chan struct{})}
	select {
	case s.queue <- r:
	default:
		return nil, fmt.Errorf("%w (%d batches wait for the core)", edge.ErrBusy, cap(s.queue))
	}
	select {
	case <-r.done:
		return r.out, r.err
	case <-s.done:
		return nil, fmt.Errorf("%w: %w", errClosed, edge.ErrUnknown)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", edge.ErrUnknown, ctx.Err())
	}
}

// Session implements [edge.Store]. While the core cannot be reached it is as the copy has it.
func (s *Store) Session(ctx context.Context, client, session string) (*edge.SessionState, error) {
	if err := s.current(ctx); err != nil && !errors.Is(err, edge.ErrUnreachable) {
		return nil, err
	}
	state, err := read(s, func(c *local.Store) (*edge.SessionState, error) {
		return c.Session(ctx, client, session)
	})
	if err == nil {
		state.Quorum = edge.Mark{At: state.Mark, Known: true}
	}
	return state, err
}

// Watch implements [edge.Watcher].
func (s *Store) Watch(ctx context.Context, prefix []byte, from uint64, limit int) (
	[]edge.Event, uint64, error) {
	type seen struct {
		events []edge.Event
		next   uint64
	}
	v, err := read(s, func(c *local.Store) (v seen, err error) {
		v.events, v.next, err = c.Watch(ctx, prefix, from, limit)
		return v, err
	})
	return v.events, v.next, err
}

// Status implements [edge.Store].
func (s *Store) Status() edge.Status {
	s.mu.Lock()
	c, fresh := s.copy, s.fresh
	s.mu.Unlock()
	st := edge.Status{}
	if c != nil {
		st = c.Status()
	}
	st.Kind = "metronome"
	st.Staleness = max(time.Since(fresh), 0)
	return st
}

// Check implements [edge.Checker].
func (s *Store) Check() (why []edge.Reason) {
	if c, err := s.now(); err == nil {
		why = c.Check()
	}
	if err := s.cutOff(); err != nil {
		why = append(why, edge.Reason{Part: "core", Text: err.Error() + ": local reads go on"})
	}
	if err := s.embed.failure(); err != nil {
		why = append(why, edge.Reason{Part: "proxy", Text: err.Error()})
	}
	return why
}

// full reports that the copy must not grow.
func full(c *local.Store) error {
	for _, r := range c.Check() {
		if r.Part == "disk" {
			return fmt.Errorf("%w: %s", edge.ErrDiskFloor, r.Text)
		}
	}
	return nil
}
