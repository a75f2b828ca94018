package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"metronome/system/edge"
)

// errClosed is what methods return after Close.
var errClosed = fmt.Errorf("%w: it is being closed", edge.ErrFailed)

// Store is an edge's data in one directory. It implements [edge.Store], [edge.Watcher] and
// [edge.Checker].
type Store struct {
	cfg Config
	db  *pebble.DB
	id  identity

	queue  chan *request
	syncs  chan *group
	synced chan struct{} // closed when the syncer has ended
	kept   chan struct{} // closed when the keeper has ended
	stop   context.CancelFunc

	life   sync.RWMutex // held, shared, while Pebble is being used
	closed bool

	issued   atomic.Uint64 // the revision of the last commit begun
	durable  *gate         // and of the last that is safe
	backedUp atomic.Uint64
	logLow   atomic.Uint64 // the log begins here
	failed   atomic.Bool
	floor    atomic.Bool // there is too little free space
	free     atomic.Uint64
	cursors  cursors

	mu     sync.Mutex
	status edge.Status // as of the last durable commit

	commits, operations, duplicates, damaged atomic.Uint64
}

// Open opens a store, or makes one. It must be closed.
func Open(cfg Config) (*Store, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	db, err := openPebble(&cfg, false)
	if err != nil {
		return nil, err
	}
	s, w, err := start(cfg, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go w.run()
	go s.sync()
	go s.keep(ctx)
	return s, nil
}

func openPebble(cfg *Config, readOnly bool) (*pebble.DB, error) {
	cache := pebble.NewCache(cfg.Cache)
	defer cache.Unref()
	options := &pebble.Options{
		FS: cfg.FS, Cache: cache, MemTableSize: cfg.MemTable, ReadOnly: readOnly, ErrorIfNotExists: readOnly,
		FormatMajorVersion:          pebble.FormatNewest, // of this version of the library, which go.mod pins
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		Logger:                      pebbleLog{cfg.Log, cfg.Fatal},
		BytesPerSync:                1 << 20,
		WALBytesPerSync:             1 << 20,
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(cfg.Dir, options)
	if err != nil {
		return nil, fmt.Errorf("edge/local: open %s: %w: is another process using it? if its files are "+
			"damaged, restore it from a backup into an empty directory", cfg.Dir, damage(err))
	}
	return db, nil
}

// start reads what is there, or makes a new life.
func start(cfg Config, db *pebble.DB) (*Store, *writer, error) {
	if err := foundIfEmpty(db); err != nil {
		return nil, nil, err
	}
	id, totals, backedUp, err := load(db)
	if err != nil {
		return nil, nil, err
	}
	sessions, err := countSessions(db)
	if err != nil {
		return nil, nil, err
	}
	log, err := sampleLog(db, totals.logTail)
	if err != nil {
		return nil, nil, err
	}
	s := &Store{cfg: cfg, db: db, id: id, queue: make(chan *request, cfg.Queue),
		syncs: make(chan *group, inFlight), synced: make(chan struct{}), kept: make(chan struct{}),
		durable: newGate(totals.revision)}
	s.cursors.open = map[cursorID]*cursor{}
	s.issued.Store(totals.revision)
	s.backedUp.Store(backedUp)
	s.logLow.Store(totals.revision + 1)
	if len(log.steps) > 0 {
		s.logLow.Store(log.steps[0].revision)
	}
	w := &writer{s: s, state: totals, sessions: sessions, log: log, heads: newHeadCache(),
		rows: map[string]*session{}}
	s.setTotals(&totals)
	return s, w, nil
}

// foundIfEmpty begins a life in a directory that holds nothing.
func foundIfEmpty(db *pebble.DB) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return damage(err)
	}
	empty := !it.First()
	if err := damage(it.Close()); err != nil || !empty {
		return err
	}
	return found(db, newIdentity(0))
}

// found writes what an empty store holds.
func found(db *pebble.DB, id identity) error {
	b := db.NewBatch()
	totals := state{revision: id.base()}
	err := errors.Join(b.Set(identityKey, id.encode(), nil), b.Set(stateKey, totals.encode(nil), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

// Close waits for what is under way, and closes the store. Listings in progress end.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return nil
	}
	s.closed = true
	close(s.queue)
	s.life.Unlock()
	s.stop()
	<-s.synced
	<-s.kept
	s.durable.wake()
	s.life.Lock() // readers have left, and none comes
	defer s.life.Unlock()
	s.cursors.closeAll()
	return s.db.Close()
}

// enter lets a reader use Pebble until the function returned is called.
func (s *Store) enter() (leave func(), err error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, errClosed
	}
	return s.life.RUnlock, nil
}

// over says why waiting is in vain.
func (s *Store) over() error {
	if s.failed.Load() {
		return edge.ErrFailed
	}
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	return nil
}

// Apply implements [edge.Store].
func (s *Store) Apply(ctx context.Context, b *edge.Batch) (*edge.Outcome, error) {
	if s.floor.Load() {
		return nil, fmt.Errorf("%w (%s has %d MiB, the floor is %d)", edge.ErrDiskFloor, s.cfg.Dir,
			s.free.Load()>>20, s.cfg.MinFree>>20)
	}
	r := &request{batch: b}
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.out, nil
}

// Get implements [edge.Store].
func (s *Store) Get(ctx context.Context, key []byte, read edge.Read) (e edge.Entry, err error) {
	if err := s.fresh(ctx, read); err != nil {
		return e, err
	}
	e, err = s.get(key)
	if err != nil && !errors.Is(err, edge.ErrNotFound) {
		return e, err
	}
	needed := e.Revision
	if err != nil { // a delete may be on its way to the disk
		needed = s.issued.Load()
	}
	return e, errors.Join(err, s.settled(ctx, needed))
}

func (s *Store) get(key []byte) (e edge.Entry, err error) {
	leave, err := s.enter()
	if err != nil {
		return e, err
	}
	defer leave()
	b, closer, err := s.db.Get(appendDataKey(make([]byte, 0, 1+len(key)), key))
	if errors.Is(err, pebble.ErrNotFound) {
		return e, edge.ErrNotFound
	}
	if err != nil {
		return e, s.hurt(damage(err))
	}
	defer func() { _ = closer.Close() }()
	e, _, err = parse(key, b, false)
	return e, s.hurt(err)
}

// hurt counts damage.
func (s *Store) hurt(err error) error {
	if errors.Is(err, edge.ErrDamaged) {
		s.damaged.Add(1)
	}
	return err
}

// settled waits until a revision is durable, so that nobody is shown what a power cut may take back.
func (s *Store) settled(ctx context.Context, revision uint64) error {
	if s.durable.get() >= revision {
		return nil
	}
	return s.durable.wait(ctx, revision, s.over)
}

// fresh holds a read to the level it asked for.
func (s *Store) fresh(ctx context.Context, read edge.Read) error {
	switch {
	case read.Level == edge.Quorum:
		return fmt.Errorf("%w: consistency=quorum needs an edge over the replicated core", edge.ErrHere)
	case read.Level == edge.Session && read.Min > s.issued.Load():
		return fmt.Errorf("%w: it is at %d", edge.ErrBehind, s.durable.get())
	case read.Level == edge.Session:
		return s.settled(ctx, read.Min)
	}
	return nil
}

// readHead looks up what the writer needs to know of a key.
func readHead(db *pebble.DB, dataKey, key []byte) (head, error) {
	b, closer, err := db.Get(dataKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return head{}, nil
	}
	if err != nil {
		return head{}, damage(err)
	}
	defer func() { _ = closer.Close() }()
	return headOf(key, b)
}

// Session implements [edge.Store].
func (s *Store) Session(ctx context.Context, client, id string) (*edge.SessionState, error) {
	row, err := s.session(client, id)
	if err == nil {
		err = s.settled(ctx, row.revision)
	}
	if err != nil {
		return nil, err
	}
	state := s.describe(row, client, id)
	return &state, nil
}

func (s *Store) session(client, id string) (*session, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	b, err := get(s.db, sessionKey(client, id))
	switch {
	case err != nil:
		return nil, s.hurt(err)
	case b == nil:
		return nil, edge.ErrNotFound
	}
	row := &session{}
	return row, s.hurt(row.decode(b))
}

// describe is what a client is told about its session.
func (s *Store) describe(row *session, client, id string) edge.SessionState {
	state := row.state(client, id)
	if s.cfg.BackedUp {
		state.BackedUp = edge.Mark{At: row.at(s.backedUp.Load()), Known: true}
	}
	return state
}

// Status implements [edge.Store].
func (s *Store) Status() edge.Status {
	s.mu.Lock()
	status := s.status
	s.mu.Unlock()
	if s.cfg.BackedUp {
		status.BackedUp = edge.Mark{At: s.backedUp.Load(), Known: true}
	}
	return status
}

func (s *Store) setTotals(t *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = edge.Status{Kind: "local", Incarnation: s.id.String(), Revision: t.revision, Keys: t.keys,
		Bytes: t.bytes, Digest: t.digest}
}
