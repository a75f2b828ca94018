package storage

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/replica"
)

// Dir is an open data directory.
type Dir struct {
	fs      disk.FS
	path    string
	config  journal.Config
	journal *journal.Journal
	newest  string // the newest snapshot's file, "" if there is none
}

// Report says what was found.
type Report struct {
	Journal *journal.Report
	// Snapshot is the file that the replica continues from, and its bytes.
	Snapshot      string
	SnapshotBytes int64
	// Lost is why this life's state could not be continued, nil if it was; it lies in Aside then.
	Lost  error
	Aside string
}

// Start opens a data directory, continues the life in it, and says what was found. An empty
// directory makes a replica without a cluster, as replica.New does.
func Start(fs disk.FS, dir string, jc journal.Config, rc replica.Config) (*Dir, *replica.Replica, *Report,
	error,
) {
	jc.First = 1 // as a replica counts its records
	d := &Dir{fs: fs, path: dir, config: jc}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, nil, nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	report, err := d.open()
	if err != nil {
		return nil, nil, nil, err
	}
	core, lost, err := d.recover(rc, report)
	if err != nil {
		return nil, nil, nil, errors.Join(err, d.Close())
	}
	if lost == nil {
		if err := d.dropUnfinished(); err != nil { // its room is needed before another is begun
			return nil, nil, nil, errors.Join(err, d.Close())
		}
		return d, core, report, nil
	}
	report.Lost = lost
	if report.Aside, err = d.setAside(); err != nil {
		return nil, nil, nil, err
	}
	if _, err := d.open(); err != nil {
		return nil, nil, nil, err
	}
	core, err = replica.Recover(rc, replica.Recovered{Records: d.journal.Records(), Next: d.journal.Next()})
	return d, core, report, err
}

// open opens the journal and finds the newest snapshot.
func (d *Dir) open() (*Report, error) {
	j, found, err := journal.Open(d.fs, path.Join(d.path, "journal"), d.config)
	if err != nil {
		return nil, err
	}
	d.journal, d.newest = j, ""
	// The process before may have ended between naming a snapshot and making the name durable: what is begun
	// with must not be gone after the next power failure.
	if err := d.fs.SyncDir(d.path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	entries, err := d.fs.List(d.path)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	r := &Report{Journal: found}
	for _, e := range entries { // ascending by name, so by position
		if strings.HasPrefix(e.Name, snapshotPrefix) {
			d.newest, r.Snapshot, r.SnapshotBytes = e.Name, e.Name, e.Size
		}
	}
	return r, nil
}

// recover continues the life, or says why it is lost.
func (d *Dir) recover(rc replica.Config, report *Report) (core *replica.Replica, lost, err error) {
	if !report.Journal.Intact() {
		return nil, fmt.Errorf("the journal is damaged: %s", report.Journal), nil
	}
	from := replica.Recovered{Records: d.journal.Records(), Next: d.journal.Next()}
	if d.newest != "" {
		if from.Snapshot, err = d.read(d.newest); err != nil {
			return nil, err, nil
		}
	}
	core, err = replica.Recover(rc, from)
	if err != nil && (errors.Is(err, replica.ErrForeign) || errors.Is(err, replica.ErrNewer)) {
		return nil, nil, fmt.Errorf("data directory %s: %w", d.path, err)
	}
	return core, err, nil
}

// read reads a whole file.
func (d *Dir) read(name string) ([]byte, error) {
	f, err := d.fs.Open(path.Join(d.path, name))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, errors.Join(err, f.Close())
	}
	return b, f.Close()
}

// maxAside bounds what is kept of damaged state.
const maxAside = 3

// setAside moves everything into a folder of its own, and forgets the oldest of too many.
func (d *Dir) setAside() (aside string, err error) {
	if err := d.Close(); err != nil {
		return "", err
	}
	entries, err := d.fs.List(d.path)
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
	if n > maxAside {
		return "", fmt.Errorf("data directory %s: damaged for the %dth time: the disk is failing. Next: replace "+
			"it, or remove the folders %s/%s*", d.path, n, d.path, asidePrefix)
	}
	aside = path.Join(d.path, fmt.Sprint(asidePrefix, n))
	if err := d.fs.MkdirAll(aside); err != nil {
		return "", err
	}
	// Snapshots go first: a journal without its snapshot is damage again, a snapshot without its
	// journal would be taken for a whole state.
	for _, e := range entries {
		if strings.HasPrefix(e.Name, snapshotPrefix) {
			if err := d.move(e.Name, aside); err != nil {
				return "", err
			}
		}
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return "", err
	}
	if err := d.move("journal", aside); err != nil {
		return "", err
	}
	return aside, errors.Join(d.fs.SyncDir(aside), d.fs.SyncDir(d.path))
}

func (d *Dir) move(name, to string) error {
	return d.fs.Rename(path.Join(d.path, name), path.Join(to, name))
}

const (
	snapshotPrefix = "snapshot-"
	asidePrefix    = "damaged-"
	unfinished     = "snapshot.tmp"
)

// Journal is the directory's journal. It belongs to whoever appends.
func (d *Dir) Journal() *journal.Journal { return d.journal }

// Close closes the journal. What was not synced may be lost, as in a crash.
func (d *Dir) Close() error { return d.journal.Close() }
