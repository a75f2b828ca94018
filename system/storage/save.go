package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"metronome/internal/mutate"
	"metronome/system/disk"
	"metronome/system/replica"
)

// Saving is a snapshot on its way into a file.
type Saving struct {
	// Arriving says that it is written while it arrives, and that somebody waits for it. It is then on its
	// way to the device at once, and waited for at the end only.
	Arriving bool

	dir    *Dir
	file   disk.File
	save   *replica.Save
	offset int   // of the state
	at     int64 // in the file
	synced int64
}

// syncEvery is how much of a snapshot is written before it is synced: so that the disk is not handed
// all of it at once, which whoever waits for the journal would feel.
const syncEvery = 4 << 20

// ErrUnsaved is wrapped when a snapshot could not be written, because there is no room for it, for
// example. It is given up then and nothing of it is left; the one before counts on, with the journal behind
// it. replica.Replica.Unsaved is to be told. Every other error ends the process: of a sync above all.
var ErrUnsaved = errors.New("the snapshot is given up, and tried again later")

// Save begins to write a snapshot. One at a time.
func (d *Dir) Save(s *replica.Save) (*Saving, error) {
	if err := d.fits(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsaved, err)
	}
	f, err := d.fs.Create(path.Join(d.path, unfinished))
	if err != nil {
		return nil, d.unsaved(err)
	}
	w := &Saving{dir: d, file: f, save: s}
	return w, w.write(s.Header)
}

// fits refuses a snapshot before it takes the last room from the journal, which has more use for it.
func (d *Dir) fits(s *replica.Save) error {
	free, err := d.fs.Free(d.path)
	if err != nil {
		return err
	}
	if need := uint64(len(s.Header)+s.Size) + d.config.FreeFloor; free < need {
		return fmt.Errorf("%w: %d bytes are free, the snapshot and the journal's floor take %d: free some",
			disk.ErrNoSpace, free, need)
	}
	return nil
}

// unsaved removes what there is of a snapshot that could not be written.
func (d *Dir) unsaved(cause error) error {
	if err := d.dropUnfinished(); err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", ErrUnsaved, cause)
}

// dropUnfinished removes a snapshot that is not whole, if there is one.
func (d *Dir) dropUnfinished() error {
	err := d.fs.Remove(path.Join(d.path, unfinished))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Offset is how much of the state is written.
func (w *Saving) Offset() int { return w.offset }

// Step writes up to about so many bytes more, which must be there ([replica.Save.Ready]). Once it reports
// done the snapshot is durable, and the ones before are gone.
func (w *Saving) Step(bytes int) (done bool, err error) {
	for end := w.offset + bytes; w.offset < end && w.offset < w.save.Size; {
		b := w.save.Read(w.offset, end-w.offset)
		if len(b) == 0 {
			return false, fmt.Errorf("the snapshot at position %d ends at %d bytes of %d", w.save.Position,
				w.offset, w.save.Size)
		}
		if err := w.write(b); err != nil {
			return false, err
		}
		w.offset += len(b)
	}
	if w.offset < w.save.Size {
		return false, w.settle()
	}
	return true, w.finish()
}

// settle sees to it that little is left to do for the sync at the end.
func (w *Saving) settle() error {
	n := w.at - w.synced
	if n < syncEvery {
		return nil
	}
	from := w.synced
	w.synced = w.at
	if w.Arriving {
		disk.WriteBack(w.file, from, n)
		return nil
	}
	return w.file.Sync()
}

func (w *Saving) write(b []byte) error {
	n, err := w.file.WriteAt(b, w.at)
	w.at += int64(n)
	if err == nil {
		return nil
	}
	if closed := w.file.Close(); closed != nil {
		return errors.Join(err, closed)
	}
	return w.dir.unsaved(err)
}

// finish gives the file its name, which makes it count, and removes those that it replaces.
func (w *Saving) finish() error {
	d := w.dir
	name := fmt.Sprintf("%s%020d", snapshotPrefix, w.save.Position)
	sync := w.file.Sync
	if mutate.On(mutate.SavedBeforeDurable) {
		sync = func() error { return nil }
	}
	err := errors.Join(sync(), w.file.Close())
	if err == nil {
		err = d.fs.Rename(path.Join(d.path, unfinished), path.Join(d.path, name))
		if errors.Is(err, disk.ErrNoSpace) {
			return d.unsaved(err)
		}
	}
	if err == nil && !mutate.On(mutate.SkipDirSync) {
		err = d.fs.SyncDir(d.path)
	}
	if err != nil {
		return err
	}
	d.newest = name
	return d.dropOlder()
}

func (d *Dir) dropOlder() error {
	entries, err := d.fs.List(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, snapshotPrefix) && e.Name < d.newest {
			if err := d.fs.Remove(path.Join(d.path, e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Abort gives a snapshot up.
func (w *Saving) Abort() error { return errors.Join(w.file.Close(), w.dir.dropUnfinished()) }
