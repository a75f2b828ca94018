package quorum

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/client"
	"metronome/system/edge"
	"metronome/system/edge/local"
)

// A copy lies in a directory of its own below Config.Dir; one being built lies beside it.
const (
	copyPrefix = "copy-"
	lockFile   = "lock"
	stampFile  = "current"        // its time is when the copy was last known to be current
	stampEvery = 10 * time.Second // it is touched
	retryEvery = time.Second      // while the core does not answer at the start
	forever    = 100 * 365 * 24 * time.Hour
)

func (s *Store) config(dir string) local.Config {
	return local.Config{Dir: dir, MinFree: s.cfg.MinFree, SessionIdle: forever, Log: s.cfg.Log}
}

// lock makes the directory and keeps other processes out: a copy that one of them has open would be taken for
// broken, and removed.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("edge/quorum: %s is in use by another edge (%w): give each a "+
			"directory of its own", dir, err), f.Close())
	}
	return f, nil
}

// openCopy opens the newest copy that is whole, or builds one.
func (s *Store) openCopy(ctx context.Context) error {
	dirs, err := s.copies()
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		c, err := local.Open(s.config(dir))
		if err != nil {
			s.cfg.Log.Warn("not a whole copy; it is left aside", "dir", dir, "error", err)
			continue
		}
		at, err := c.Spot()
		if err != nil {
			return errors.Join(err, c.Close())
		}
		s.copy, s.dir, s.at, s.fresh = c, dir, at, s.stamped()
		return s.verify(ctx)
	}
	return s.first(ctx, dirs)
}

// copies are the directories of copies, in the order in which they were begun.
func (s *Store) copies() (dirs []string, err error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), copyPrefix) {
			dirs = append(dirs, filepath.Join(s.cfg.Dir, e.Name()))
		}
	}
	return dirs, err
}

// first builds the first copy, waiting for the core.
func (s *Store) first(ctx context.Context, broken []string) error {
	for {
		err := s.build(ctx)
		if err == nil {
			for _, dir := range broken {
				s.remove(dir)
			}
			return nil
		}
		if !errors.Is(err, edge.ErrUnreachable) {
			return err
		}
		s.cfg.Log.Warn("this edge has no copy yet, and waits for the core", "error", err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// verify looks whether an old copy is of this core's history. Without the core it is believed for now: turns
// that do not fit to it are found out later by what they lead to.
func (s *Store) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	l, err := s.core.ours(ctx)
	if err == nil && fmt.Sprintf("%x", l.incarnation) != s.copy.Status().Incarnation {
		s.cfg.Log.Error("the copy is of another core and is built anew", "dir", s.dir)
		return s.build(ctx)
	}
	if err == nil && s.at.Place > 0 {
		var t turn
		if t, err = s.core.turn(ctx, s.at.Place); err == nil && t.at != s.at {
			s.cfg.Log.Error("the core has another history than the copy: was it restored? the copy is built anew")
			return s.build(ctx)
		}
	}
	if err != nil && !errors.Is(err, errGone) {
		_ = s.lost(context.Background(), err)
	}
	return nil
}

// rebuild is build while the store runs, and says why. A copy that could not be built is not tried again at
// every look at the core.
func (q *sequencer) rebuild(why string, args ...any) error {
	if err := q.builds.wait(time.Now()); err != nil {
		return q.lost(q.ctx, err)
	}
	q.cfg.Log.Warn(why+": the copy is built anew", args...)
	q.last = head{}
	err := q.build(q.ctx)
	if q.builds.note(time.Now(), err, q.cfg.Poll); err != nil {
		return q.lost(q.ctx, err)
	}
	q.move(q.at) // wakes those who wait
	return nil
}

// pauses are those between attempts that fail, each twice as long as the one before.
type pauses struct {
	until time.Time
	last  time.Duration
	err   error
}

const longestPause = 30 * time.Second

// wait is why the attempt before failed, as long as it is too early for another.
func (p *pauses) wait(now time.Time) error {
	if p.err != nil && now.Before(p.until) {
		return p.err
	}
	return nil
}

// note takes down how an attempt ended.
func (p *pauses) note(now time.Time, err error, first time.Duration) {
	if p.err = err; err == nil {
		p.last = 0
		return
	}
	p.last = min(max(2*p.last, first), longestPause)
	p.until = now.Add(p.last)
}

// build makes a copy of what the core has, and puts it in the place of the one before, if there is one.
func (s *Store) build(ctx context.Context) error {
	l, err := s.ourLife(ctx)
	if err != nil {
		return err
	}
	dir, err := s.nextDir()
	if err != nil {
		return err
	}
	b, err := local.NewBuilder(s.config(dir), l.incarnation)
	if err != nil {
		return err
	}
	f := &filler{Store: s, b: b}
	if err := f.fill(ctx); err != nil {
		err = errors.Join(err, b.Abort())
		s.remove(dir)
		return err
	}
	if err := b.Seal(f.at.at, f.at.totals); err != nil {
		return err
	}
	c, err := local.Open(s.config(dir))
	if err != nil {
		return err
	}
	s.stats.rebuilt.Add(1)
	s.swap(c, dir, f.at.at, f.began)
	return nil
}

func (s *Store) ourLife(ctx context.Context) (life, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	l, err := s.core.readLife(ctx)
	return l, unreachable(err)
}

func (s *Store) nextDir() (string, error) {
	dirs, err := s.copies()
	n := 0
	for _, dir := range dirs {
		_, _ = fmt.Sscanf(filepath.Base(dir), copyPrefix+"%d", &n) // another name counts for nothing
	}
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%s%08d", copyPrefix, n+1)), err
}

func (s *Store) swap(c *local.Store, dir string, at local.Spot, fresh time.Time) {
	s.mu.Lock()
	old, oldDir := s.copy, s.dir
	s.copy, s.dir, s.at, s.fresh, s.cut = c, dir, at, fresh, nil
	s.mu.Unlock()
	if old == nil {
		return
	}
	if err := old.Close(); err != nil {
		s.cfg.Log.Warn("closing the copy before", "error", err)
	}
	s.remove(oldDir)
}

func (s *Store) remove(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		s.cfg.Log.Warn("a copy that is of no use stays", "dir", dir, "error", err)
	}
}

// filler reads everything from the core, page by page. The pages are of different places in the core's
// order: after each, the turns since are played on what is there, so that it is of one place at the end.
type filler struct {
	*Store
	b     *local.Builder
	at    head
	began time.Time // of the last look at the head
}

// pageKeys is how many keys are asked for at once; the core's bound on a reply may make it fewer.
const pageKeys = 1000

func (f *filler) fill(ctx context.Context) error {
	if err := f.look(ctx); err != nil {
		return err
	}
	for _, kind := range []string{"d", "D", "s"} {
		for after := ""; ; {
			next, err := f.page(ctx, f.cfg.Space+kind, after)
			if err == nil {
				err = f.catchUp(ctx)
			}
			if err != nil {
				return err
			}
			if after = next; after == "" {
				break
			}
		}
	}
	return f.catchUp(ctx)
}

func (f *filler) page(ctx context.Context, prefix, after string) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Patience)
	defer cancel()
	conn, err := f.core.client(ctx)
	if err != nil {
		return "", unreachable(err)
	}
	page, next, err := conn.Page(ctx, client.Range{Prefix: prefix, After: after, Page: pageKeys})
	if err != nil {
		return "", unreachable(err)
	}
	for i := range page {
		r, err := f.core.space.parse(page[i].Key, page[i].Value)
		if err == nil {
			err = f.b.Set(r.Key, r.Value)
		}
		if err != nil {
			return "", err
		}
	}
	return next, nil
}

// look reads the head at the beginning.
func (f *filler) look(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Patience)
	defer cancel()
	f.began = time.Now()
	f.at, err = f.core.head(ctx)
	return unreachable(err)
}

// catchUp plays the turns since.
func (f *filler) catchUp(ctx context.Context) error {
	was := f.at.at.Place
	if err := f.look(ctx); err != nil {
		return err
	}
	for from := was + 1; from <= f.at.at.Place; {
		limited, cancel := context.WithTimeout(ctx, f.cfg.Patience)
		turns, err := f.core.turns(limited, from, f.at.at.Place)
		cancel()
		if errors.Is(err, errGone) {
			return fmt.Errorf("%w: the core goes on faster than it can be copied: raise Config.Keep",
				edge.ErrUnreachable)
		}
		if err != nil {
			return unreachable(err)
		}
		for i := range turns {
			if err := f.b.Play(turns[i].records); err != nil {
				return err
			}
		}
		from += uint64(len(turns))
	}
	return nil
}

// stamp notes on the disk when the copy was last known to be current, for the next start.
func (s *Store) stamp() {
	s.mu.Lock()
	fresh := s.fresh
	s.mu.Unlock()
	path := filepath.Join(s.cfg.Dir, stampFile)
	err := os.WriteFile(path, nil, 0o600)
	if err == nil {
		err = os.Chtimes(path, fresh, fresh)
	}
	if err != nil {
		s.cfg.Log.Warn("when the copy was current was not noted", "error", err)
	}
}

// stamped is what stamp noted; unknown is long ago.
func (s *Store) stamped() time.Time {
	info, err := os.Stat(filepath.Join(s.cfg.Dir, stampFile))
	if err != nil {
		return time.Unix(0, 0)
	}
	return info.ModTime()
}
