package master

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"metronome/system/access/pki"
	"metronome/system/backup"
	"metronome/system/master/api"
	"metronome/system/master/phi"
	"metronome/system/master/vault"
)

// member is an edge as its master sees it.
type member struct {
	name string
	m    *Master

	job  sync.Mutex // held by a drill, a check or a prune of this edge: one at a time
	open sync.Mutex // held while the vault is opened

	// Held shared by what stores something under a lease, alone while a later lease is given: who was told that
	// it is the only one finds nothing that another stores afterwards.
	fence sync.RWMutex

	mu      sync.Mutex // guards all below
	record  *Record
	vault   *vault.Vault
	dest    backup.Destination // the vault's
	passive *phi.Detector
	beats   *phi.Detector // of heartbeats; nil = none were sent
	seen    time.Time     // on the wall
	report  *api.Report
	arrived time.Time // when the report came
	skew    time.Duration
	marks   []mark // digests that the edge reported, oldest first
	covered covered
	want    string // why a new checkpoint is wanted
	proof   *api.Proof
	drill   *api.Drill
	check   *api.Check
	turn    int
	pruned  int64 // Mono, when its vault was last pruned
	warned  string
	rival   time.Time // when a process that was shut out reported last
}

// mark is a digest that an edge reported for a revision.
type mark struct {
	incarnation string
	revision    uint64
	digest      string
}

const maxMarks = 64

// covered is when everything that the edge had was last known to be in a backup.
type covered struct {
	wall time.Time
	mono int64
	live bool // mono is of this process
}

func (m *Master) newMember(r *Record) *member {
	return &member{name: r.Edge, m: m, record: r, passive: phi.New(phi.Config{}), pruned: m.cfg.Mono()}
}

// heard notes a sign of life.
func (b *member) heard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passive.Heard(b.m.cfg.Mono())
	b.seen = b.m.cfg.Now()
	b.m.dirty.Store(true)
}

// cover notes that everything is in a backup now.
func (b *member) cover() {
	b.covered = covered{wall: b.m.cfg.Now(), mono: b.m.cfg.Mono(), live: true}
}

// storage opens the vault at its first use: a bucket that cannot be reached must not keep a master
// from starting.
func (b *member) storage(ctx context.Context) (*vault.Vault, error) {
	b.open.Lock()
	defer b.open.Unlock()
	b.mu.Lock()
	v, r := b.vault, b.record
	b.mu.Unlock()
	if v != nil {
		return v, nil
	}
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	dest, err := b.m.cfg.Place(ctx, b.name)
	if err != nil {
		return nil, err
	}
	if v, err = vault.Open(ctx, dest, key, vault.Options{Now: b.m.cfg.Now}); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.vault, b.dest = v, dest
	return v, nil
}

// destination is where the vault is.
func (b *member) destination(ctx context.Context) (backup.Destination, error) {
	if _, err := b.storage(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dest, nil
}

// opened is the vault if it has been opened.
func (b *member) opened() *vault.Vault {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vault
}

func (b *member) revoked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.record.Revoked.IsZero()
}

func (b *member) hosts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record.Hosts
}

// leaseOf is the lease that a request shows; 0 is none.
func leaseOf(r *http.Request) uint64 {
	lease, err := strconv.ParseUint(r.Header.Get(api.LeaseHeader), 10, 64)
	if err != nil {
		return 0
	}
	return lease
}

// holding stores something for a request whose body was read, if its lease is still the one that was given
// last: it was when the request came, and a body may take minutes. No later one is given meanwhile.
func (b *member) holding(r *http.Request, store func(lease uint64) error) error {
	b.fence.RLock()
	defer b.fence.RUnlock()
	lease := leaseOf(r)
	if err := b.hold(lease); err != nil {
		return err
	}
	return store(lease)
}

// lease gives an edge's next lease, which ends the one before.
func (m *Master) lease(b *member) (*Record, error) {
	b.fence.Lock()
	defer b.fence.Unlock()
	record, err := m.registry.known(b.name, func(r *Record) error { r.Lease++; return nil })
	if err != nil {
		return nil, err
	}
	m.take(record)
	return record, nil
}

// hold compares a lease with the one that was given last.
func (b *member) hold(lease uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lease != b.record.Lease || lease == 0 {
		return api.NewProblem("fenced", "Another process has begun to back up edge "+b.name+" since, under a "+
			"later lease. If this edge's data or certificate was copied, stop one of the two; else restart this one.")
	}
	return nil
}

// wish is why a new checkpoint is wanted, or nothing.
func (b *member) wish() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.want
}

// look decides, after what is stored was looked at, whether a new checkpoint is wanted.
func (b *member) look(v *vault.Vault) {
	want := ""
	if s, ok := v.Newest(); ok && s.Missing > 0 {
		want = "chunks of the newest backup were lost at the master"
	} else if all := v.Backups(); len(all) > 0 && !all[len(all)-1].Readable {
		want = "the newest backup's manifest is damaged"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if want != "" && b.want == "" {
		b.m.cfg.Log.Warn("a new checkpoint is asked for", "edge", b.name, "why", want)
	}
	b.want = want
}

// leaf is what this edge's certificate says.
func (b *member) leaf() pki.Leaf {
	return pki.Leaf{Name: pki.Name{Role: pki.Edge, ID: b.name}, Hosts: b.hosts()}
}
