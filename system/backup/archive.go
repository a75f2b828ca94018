package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of an [Archive]. The zero value is good.
type Options struct {
	Now      func() time.Time // default time.Now
	Parallel int              // chunks on their way at once; default 4
	Tries    int              // of each call that fails for a [Temporary] reason; default 6
	Backoff  time.Duration    // before the second try, doubled each time up to a minute; default 250 ms
}

// Archive is the backups at one destination. It has no state of its own: several may use one
// destination at the same time, from several machines.
type Archive struct {
	at       Destination
	now      func() time.Time
	parallel int
	tries    int
	backoff  time.Duration
}

// New is the archive at a destination.
func New(at Destination, o Options) *Archive {
	a := &Archive{at: at, now: o.Now, parallel: o.Parallel, tries: o.Tries, backoff: o.Backoff}
	if a.now == nil {
		a.now = time.Now
	}
	if a.parallel < 1 {
		a.parallel = 4
	}
	if a.tries < 1 {
		a.tries = 6
	}
	if a.backoff <= 0 {
		a.backoff = 250 * time.Millisecond
	}
	return a
}

// Progress is how far a backup, or the reading of one, has come.
type Progress struct {
	Done, Total uint64 // bytes of the snapshot
	Stored      uint64 // bytes newly written
	Chunks      int
	Reused      int // of these, there already
}

const longestBackoff = time.Minute

// try calls until it succeeds, or fails for good.
func (a *Archive) try(ctx context.Context, call func() error) error {
	wait := a.backoff
	for n := 1; ; n++ {
		err := call()
		var t *Temporary
		if err == nil || !errors.As(err, &t) || ctx.Err() != nil {
			return err
		}
		if n == a.tries {
			return fmt.Errorf("%w (tried %d times)", err, n)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, longestBackoff)
	}
}

func (a *Archive) put(ctx context.Context, name string, b []byte) error {
	return a.try(ctx, func() error { return a.at.Put(ctx, name, b) })
}

func (a *Archive) remove(ctx context.Context, name string) error {
	return a.try(ctx, func() error { return a.at.Remove(ctx, name) })
}

func (a *Archive) get(ctx context.Context, name string, limit int) (b []byte, err error) {
	err = a.try(ctx, func() error {
		b, err = a.at.Get(ctx, name, limit)
		return err
	})
	return b, err
}

func (a *Archive) list(ctx context.Context, folder string) (all []Object, err error) {
	err = a.try(ctx, func() error {
		all, err = a.at.List(ctx, folder)
		return err
	})
	return all, err
}

// fetch reads a chunk. What is damaged on the way is read once more.
func (a *Archive) fetch(ctx context.Context, c Chunk) (b []byte, err error) {
	sum, _ := chunkSum(c.Name)
	for range 2 {
		if b, err = a.get(ctx, chunkFolder+"/"+c.Name, c.Bytes); err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if err == nil && len(b) == c.Bytes && sha256.Sum256(b) == sum {
			return b, nil
		}
	}
	return nil, fmt.Errorf("backup: chunk %s is %w", c.Name, ErrDamaged)
}

// fetchAll reads chunks in their order, some ahead.
func (a *Archive) fetchAll(ctx context.Context, chunks []Chunk) iter.Seq2[[]byte, error] {
	type result struct {
		b   []byte
		err error
	}
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		ahead := make(chan chan result, a.parallel)
		running.Go(func() {
			defer close(ahead)
			for _, c := range chunks {
				r := make(chan result, 1)
				select {
				case ahead <- r:
				case <-ctx.Done():
					return
				}
				running.Go(func() {
					b, err := a.fetch(ctx, c)
					r <- result{b, err}
				})
			}
		})
		for range chunks {
			r, ok := <-ahead
			if !ok { // the producer has seen the end of ctx
				yield(nil, ctx.Err())
				return
			}
			if got := <-r; !yield(got.b, got.err) {
				return
			}
		}
	}
}

// Entry is one backup of a list.
type Entry struct {
	ID       string
	Manifest *Manifest // nil if it cannot be read
	Err      error     // why
}

// List is the backups there are, oldest first. A manifest that cannot be read is an entry with an
// error, not an error.
func (a *Archive) List(ctx context.Context) (all []Entry, err error) {
	ids, err := a.ids(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m, err := a.manifest(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue // removed meanwhile
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		all = append(all, Entry{id, m, err})
	}
	return all, nil
}

// ids are those of all backups, oldest first.
func (a *Archive) ids(ctx context.Context) (ids []string, err error) {
	objects, err := a.list(ctx, backupFolder)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if id, ok := strings.CutSuffix(o.Name, manifestExt); ok && CheckID(id) == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Manifest reads one backup's manifest; the newest one's if id is "".
func (a *Archive) Manifest(ctx context.Context, id string) (*Manifest, error) {
	if id == "" {
		ids, err := a.ids(ctx)
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("backup: none in %s: %w", a.at, ErrNotFound)
		}
		id = ids[len(ids)-1]
	}
	if err := CheckID(id); err != nil {
		return nil, err
	}
	return a.manifest(ctx, id)
}

func manifestName(id string) string { return backupFolder + "/" + id + manifestExt }

func (a *Archive) manifest(ctx context.Context, id string) (*Manifest, error) {
	b, err := a.get(ctx, manifestName(id), maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(b)
	if err == nil && m.ID != id {
		err = fmt.Errorf("backup: the manifest is %w: it is that of %s", ErrDamaged, m.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", manifestName(id), a.at, err)
	}
	return m, nil
}
