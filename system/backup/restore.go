package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/replica"
)

// Target is what a backup is restored to.
type Target struct {
	FS  disk.FS
	New replica.Refounding // the new cluster: its tag and all of its founding seats
	// Dirs are the data directories to be made here, by seat. The other seats' are made elsewhere, from
	// the same backup.
	Dirs map[int]string
	// Replace sets aside what lies in a data directory, in a folder of it. Else it has to be empty. No
	// replica may be running on it.
	Replace bool
	// Progress is called by Restore's goroutine, or nil.
	Progress func(Progress)
}

// Restored says what was made.
type Restored struct {
	Backup   string   `json:"backup"`
	Position uint64   `json:"position"`
	Epoch    uint64   `json:"epoch"`
	Index    uint64   `json:"index"`
	Keys     int      `json:"keys"`
	Voided   int      `json:"sessions_voided"`
	Files    []string `json:"files"`
	Aside    []string `json:"set_aside,omitempty"` // folders
}

// The names that package storage gives to snapshots; TestRestoredReplicasServe holds both together.
const (
	snapshotPrefix     = "snapshot-"
	unfinishedSnapshot = "snapshot.tmp"
	journalFolder      = "journal"
)

// Restore makes data directories of a backup, with which replicas of a new cluster begin. Nothing is
// touched before all of the backup was read and found good. It needs memory for the whole store, about
// twice, as the start of a replica does.
func (a *Archive) Restore(ctx context.Context, m *Manifest, t Target) (*Restored, error) {
	full, err := t.check(m)
	if err != nil {
		return nil, err
	}
	var made *replica.Refounded
	err = a.through(ctx, m, t.Progress, strict, func(r io.Reader) (err error) {
		made, err = replica.Refound(r, t.New)
		return err
	})
	if err == nil {
		err = m.matches(made.From)
	}
	if err != nil {
		return nil, err
	}
	out := &Restored{Backup: m.ID, Position: m.Position, Epoch: made.Epoch, Index: made.Index,
		Keys: made.From.Keys, Voided: made.From.Sessions}
	for _, seat := range t.seats() {
		if full[seat] {
			aside, err := setAside(t.FS, t.Dirs[seat])
			if err != nil {
				return nil, fmt.Errorf("backup: set aside what is in %s: %w", t.Dirs[seat], err)
			}
			out.Aside = append(out.Aside, aside)
		}
		file, err := t.fill(ctx, made, seat)
		if err != nil {
			return nil, fmt.Errorf("backup: write to %s: %w. Next: run restore again, and let it set aside what is "+
				"there", t.Dirs[seat], err)
		}
		out.Files = append(out.Files, file)
	}
	return out, nil
}

func (t *Target) seats() []int { return slices.Sorted(maps.Keys(t.Dirs)) }

// check refuses what cannot end well, and says in which data directories something lies.
func (t *Target) check(m *Manifest) (full map[int]bool, err error) {
	switch {
	case len(t.Dirs) == 0:
		return nil, errors.New("backup: restore: no data directory was named")
	case m.Tag == t.New.Cluster:
		return nil, fmt.Errorf("backup: restore: %s is of this very cluster, %08x: what is left of it would "+
			"take the new one for its own (R29). Next: give the new cluster another name or another cluster key",
			m.ID, m.Tag)
	}
	full = map[int]bool{}
	for _, seat := range t.seats() {
		dir := t.Dirs[seat]
		if !slices.Contains(t.New.Seats, seat) {
			return nil, fmt.Errorf("backup: restore: seat %d is not among the founding seats %v", seat, t.New.Seats)
		}
		entries, err := occupied(t.FS, dir)
		if err != nil {
			return nil, err
		}
		if full[seat] = len(entries) > 0; full[seat] && !t.Replace {
			return nil, fmt.Errorf("backup: restore: %s is not empty: it holds %s. Next: name another data "+
				"directory, or let restore set aside what is there", dir, entries[0].Name)
		}
		if full[seat] && hasJournal(entries) {
			if err := t.replaceable(seat); err != nil {
				return nil, fmt.Errorf("backup: restore: %s: %w", dir, err)
			}
		}
	}
	return full, nil
}

func hasJournal(entries []disk.Entry) bool {
	return slices.ContainsFunc(entries, func(e disk.Entry) bool { return e.Dir && e.Name == journalFolder })
}

// replaceable refuses to replace a life of the new cluster: others may know what it has promised. One
// that was restored and never ran, or of another cluster, may go; one that runs holds the lock.
func (t *Target) replaceable(seat int) error {
	j, err := t.journal(seat)
	if errors.Is(err, journal.ErrForeign) {
		return nil
	}
	if err != nil {
		return err
	}
	next := j.Next()
	if err := j.Close(); err != nil {
		return err
	}
	if next > firstRecord+1 {
		return fmt.Errorf("it holds a life of this very cluster, %08x, that the others would take the new one "+
			"for (R1, R29). Next: to join them, empty it and start; for another cluster, give it a cluster key of "+
			"its own", t.New.Cluster)
	}
	return nil
}

// firstRecord is the number from which a replica counts its records.
const firstRecord = 1

func (t *Target) journal(seat int) (*journal.Journal, error) {
	j, _, err := journal.Open(t.FS, path.Join(t.Dirs[seat], journalFolder), journal.Config{First: firstRecord,
		Identity: replica.Owner(t.New.Cluster, seat, t.New.Consensus, t.New.AcceptQuorum)})
	return j, err
}

// fill writes one data directory.
func (t *Target) fill(ctx context.Context, made *replica.Refounded, seat int) (file string, err error) {
	save, life, err := made.Begin(seat)
	if err != nil {
		return "", err
	}
	if file, err = install(ctx, t.FS, t.Dirs[seat], save); err != nil {
		return "", err
	}
	return file, t.beginJournal(seat, life)
}

// occupied is what lies in a data directory, but for what counts as nothing.
func occupied(fsys disk.FS, dir string) ([]disk.Entry, error) {
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("backup: data directory %s: %w", dir, err)
	}
	return slices.DeleteFunc(entries, func(e disk.Entry) bool {
		return e.Name == unfinishedSnapshot || e.Dir && strings.HasPrefix(e.Name, asidePrefix)
	}), nil
}

// asidePrefix begins the names of the folders in which restore puts what it replaces.
const asidePrefix = "replaced-"

// setAside moves snapshots, then the journal, into a folder of their own. In this order a crash leaves
// a journal without its snapshot, which is no state, and not the other way round, which looks like one.
func setAside(fsys disk.FS, dir string) (aside string, err error) {
	entries, err := fsys.List(dir)
	if err != nil {
		return "", err
	}
	n := 1
	for _, e := range entries {
		var k int
		if _, err := fmt.Sscanf(e.Name, asidePrefix+"%d", &k); err == nil {
			n = max(n, k+1)
		}
	}
	aside = path.Join(dir, fmt.Sprint(asidePrefix, n))
	if err := fsys.MkdirAll(path.Join(aside, journalFolder)); err != nil {
		return "", err
	}
	if err := moveFiles(fsys, dir, aside); err != nil {
		return "", err
	}
	if hasJournal(entries) {
		err = moveFiles(fsys, path.Join(dir, journalFolder), path.Join(aside, journalFolder))
	}
	return aside, err
}

func moveFiles(fsys disk.FS, from, to string) error {
	entries, err := fsys.List(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Dir {
			continue
		}
		if err := fsys.Rename(path.Join(from, e.Name), path.Join(to, e.Name)); err != nil {
			return err
		}
	}
	return errors.Join(fsys.SyncDir(to), fsys.SyncDir(from))
}

// The steps in which a snapshot is written and synced.
const (
	installStep = 1 << 20
	installSync = 64 << 20
)

// install writes a snapshot where a replica looks for it.
func install(ctx context.Context, fsys disk.FS, dir string, s *replica.Save) (file string, err error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return "", err
	}
	unfinished := path.Join(dir, unfinishedSnapshot)
	f, err := fsys.Create(unfinished)
	if err != nil {
		return "", err
	}
	err = write(ctx, f, s)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	file = path.Join(dir, fmt.Sprintf("%s%020d", snapshotPrefix, s.Position))
	if err := fsys.Rename(unfinished, file); err != nil {
		return "", err
	}
	return file, fsys.SyncDir(dir)
}

// beginJournal makes a journal that says whose it is. It comes last: a snapshot without it is no state.
func (t *Target) beginJournal(seat int, life []byte) error {
	j, err := t.journal(seat)
	if err != nil {
		return err
	}
	if _, err = j.Append(life); err == nil {
		err = j.Sync()
	}
	return errors.Join(err, j.Close())
}

func write(ctx context.Context, f disk.File, s *replica.Save) error {
	if _, err := f.WriteAt(s.Header, 0); err != nil {
		return err
	}
	at, synced := int64(len(s.Header)), int64(0)
	for offset := 0; offset < s.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := s.Read(offset, installStep)
		if len(b) == 0 {
			return fmt.Errorf("the snapshot ends at %d bytes of %d", offset, s.Size)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		if offset, at = offset+len(b), at+int64(len(b)); at-synced >= installSync {
			if err := f.Sync(); err != nil {
				return err
			}
			synced = at
		}
	}
	return nil
}
