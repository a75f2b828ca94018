package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/access/pki"
	"metronome/system/disk"
)

// Master keeps edges' backups and knows who is alive.
type Master struct {
	cfg      Config
	registry Registry
	policy   pki.Policy
	lock     io.Closer
	started  time.Time
	slots    chan struct{} // for large requests
	dirty    atomic.Bool   // the state is to be written
	beater   *http.Client

	wg     sync.WaitGroup
	cancel context.CancelFunc

	mu      sync.Mutex
	members map[string]*member
	broken  map[string]string // edges whose records cannot be read, and why
}

// Open takes the directory, which no other master may use meanwhile, and reads what is known. Run
// does the rest; Close must be called.
func Open(cfg Config) (*Master, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("master: %w", err)
	}
	lock, err := disk.OS().Lock(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("master: %s: %w: does a master run there already?", cfg.Dir, err)
	}
	m := &Master{cfg: cfg, registry: RegistryIn(cfg.Dir), lock: lock, started: cfg.Now(),
		policy: pki.Policy{Roles: []pki.Role{pki.Edge}, Optional: true, Grace: certificateGrace},
		slots:  make(chan struct{}, cfg.Requests), members: map[string]*member{}, broken: map[string]string{}}
	m.beater = m.newBeater()
	err = m.rescan()
	if err == nil {
		err = m.recall()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return m, nil
}

// Run does what has to be done regularly, until ctx ends.
func (m *Master) Run(ctx context.Context) {
	ctx, m.cancel = context.WithCancel(ctx)
	m.wg.Go(func() { m.every(ctx, 2*time.Second, m.tend) })
	m.wg.Go(func() { m.every(ctx, 30*time.Second, m.upkeep) })
	if m.cfg.Heartbeat > 0 {
		m.wg.Go(func() { m.heartbeats(ctx) })
	}
}

func (m *Master) every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends what Run began, and writes down who was heard when.
func (m *Master) Close() error {
	if m.cancel != nil {
		m.cancel()
	}
	m.wg.Wait()
	return errors.Join(m.remember(), m.lock.Close())
}

// tend takes up edges that were enrolled or revoked, and writes the state down.
func (m *Master) tend(context.Context) {
	if err := m.rescan(); err != nil {
		m.cfg.Log.Error("the list of edges cannot be read; the old one stays", "error", err)
	}
	if m.dirty.Swap(false) {
		if err := m.remember(); err != nil {
			m.dirty.Store(true)
			m.cfg.Log.Error("the state cannot be written", "error", err)
		}
	}
}

// rescan reads the records. One that cannot be read leaves what was known in place.
func (m *Master) rescan() error {
	names, err := m.registry.List()
	if err != nil {
		return err
	}
	broken := map[string]string{}
	for _, name := range names {
		r, err := m.registry.Read(name)
		if err != nil {
			broken[name] = err.Error()
			continue
		}
		m.take(r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = broken
	return nil
}

// take makes a record known.
func (m *Master) take(r *Record) *member {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.members[r.Edge]
	if b == nil {
		b = m.newMember(r)
		m.members[r.Edge] = b
		return b
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Lease >= b.record.Lease { // else it was read before the last lease was given
		b.record = r
	}
	return b
}

// member finds an edge, also one that was enrolled a moment ago.
func (m *Master) member(name string) (*member, error) {
	m.mu.Lock()
	b := m.members[name]
	m.mu.Unlock()
	if b != nil {
		return b, nil
	}
	r, err := m.registry.Read(name)
	if err != nil {
		return nil, err
	}
	return m.take(r), nil
}

// all are the edges, by name.
func (m *Master) all() []*member {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*member, 0, len(m.members))
	for _, b := range m.members {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b *member) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// Look opens the backups of all edges, so that Status tells of them: for those who do not call Run.
func (m *Master) Look(ctx context.Context) (err error) {
	for _, b := range m.all() {
		_, e := b.storage(ctx)
		err = errors.Join(err, e)
	}
	return err
}

// Tend does for each edge what is due: what Run does twice a minute.
func (m *Master) Tend(ctx context.Context) { m.upkeep(ctx) }
