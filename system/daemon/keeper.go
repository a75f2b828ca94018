package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/cluster"
	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/node"
	"metronome/system/replica"
	"metronome/system/storage"
)

// keeper makes durable what a replica asks for, on threads of its own: the journal with group
// commit, and snapshots beside it. The loop hands records over and hears later how far they got.
// A nil keeper is memory mode.
type keeper struct {
	dir    *storage.Dir
	writer *journal.Writer
	fs     disk.FS
	path   string
	floor  uint64

	segment int64 // bytes
	log     *slog.Logger

	wake func()

	synced  atomic.Uint64 // the last record that is durable
	saves   chan *saving
	saved   atomic.Pointer[saving] // the snapshot that was saved last, or could not be
	low     atomic.Bool            // less space is free than the floor
	failure atomic.Pointer[error]
	ends    sync.WaitGroup
	quit    chan struct{}

	// The loop's own.
	heard, trimmed uint64
	told           *saving
	saving         *saving
	backlog        [][]byte // records for which the journal had no room, in order
	sync           bool     // and something waits for them
}

// segmentBytes is what a journal is allocated and freed by: so little of what it may hold that spare
// segments, and a last one that is hardly begun, leave most of it.
func segmentBytes(journal int64) int64 { return min(max(journal/32, 512<<10), 16<<20) }

// recoverReplica opens a replica's data directory and continues what is in it.
func recoverReplica(c *cluster.Config, me *cluster.Replica, rc replica.Config, log *slog.Logger) (*keeper,
	*replica.Replica, error,
) {
	if !c.Durable() {
		core, err := replica.New(rc)
		return nil, core, err
	}
	fs, path := disk.OS(), c.DataDir(me)
	began := time.Now()
	segment := segmentBytes(int64(c.Storage.Journal))
	dir, core, report, err := storage.Start(fs, path, journal.Config{First: 1, SegmentBytes: segment,
		FreeFloor: uint64(c.Storage.Floor) / 4,
		Identity:  replica.Owner(rc.Cluster, rc.Seat, rc.Consensus, rc.AcceptQuorum)}, rc)
	if err != nil {
		return nil, nil, err
	}
	if report.Lost != nil {
		log.Error("the state in the data directory cannot be continued: this replica begins empty and joins "+
			"as a new life", "reason", report.Lost, "set aside", report.Aside)
	}
	log.Info("data directory opened", "path", path, "journal", report.Journal.String(),
		"snapshot", report.Snapshot, "bytes", report.SnapshotBytes,
		"took", time.Since(began).Round(time.Millisecond))
	return &keeper{dir: dir, fs: fs, path: path, floor: uint64(c.Storage.Floor), segment: segment, log: log,
		saves: make(chan *saving, 1), quit: make(chan struct{})}, core, nil
}

// start begins to work; wake is called when something got durable.
func (k *keeper) start(c *cluster.Config, wake func()) error {
	if k == nil {
		return nil
	}
	k.wake = wake
	w, err := journal.NewWriter(k.dir.Journal(), journal.WriterConfig{EachRecord: c.Experiment.FsyncEachFrame,
		Buffer: journalBuffer, Synced: func(next uint64) {
			k.synced.Store(next - 1)
			wake()
		}})
	if err != nil {
		return err
	}
	k.writer = w
	k.ends.Go(k.save)
	k.ends.Go(k.watch)
	return nil
}

// journalBuffer is what may wait for the disk before the replica takes no more frames.
const journalBuffer = 32 << 20

// take appends what a core asks to be appended. What finds no room, because the disk is behind or
// full, waits: nobody is told that it is durable, and behind says so.
func (k *keeper) take(out *node.Output) error {
	if k == nil {
		return nil
	}
	if err := k.catchUp(); err != nil {
		return err
	}
	for _, b := range out.Records {
		ok := false
		if !k.behind() {
			var err error
			if ok, err = k.append(b); err != nil {
				return err
			}
		}
		if !ok {
			k.backlog = append(k.backlog, bytes.Clone(b))
		}
	}
	if k.sync = k.sync || out.Sync; k.sync && !k.behind() {
		k.sync = false
		k.writer.Commit()
	}
	return nil
}

// catchUp appends what had to wait.
func (k *keeper) catchUp() error {
	n := 0
	for n < len(k.backlog) {
		ok, err := k.append(k.backlog[n])
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		n++
	}
	if k.backlog = k.backlog[n:]; len(k.backlog) == 0 {
		k.backlog = nil
	}
	return nil
}

func (k *keeper) append(b []byte) (ok bool, err error) {
	switch _, err := k.writer.Append(b); {
	case err == nil:
		return true, nil
	case errors.Is(err, journal.ErrFull):
		k.writer.Commit() // makes room as fast as the disk can
		return false, nil
	default:
		return false, fmt.Errorf("journal in %s: %w", k.path, err)
	}
}

// behind reports whether the journal has no room at the moment: the replica takes no frames then.
func (k *keeper) behind() bool { return k != nil && len(k.backlog) > 0 }

// ready reports whether there is something to tell the core.
func (k *keeper) ready() bool {
	return k != nil && (k.synced.Load() != k.heard || k.saved.Load() != k.told || k.failure.Load() != nil)
}

// tell tells the core what got durable, and takes up what it wants saved or trimmed; n counts what
// there was.
func (k *keeper) tell(now int64, core *replica.Replica) (n int, err error) {
	if k == nil {
		return 0, nil
	}
	if p := k.failure.Load(); p != nil {
		return 0, *p
	}
	if synced := k.synced.Load(); synced != k.heard {
		k.heard = synced
		core.Synced(now, synced)
		n++
	}
	if s := k.finished(); s != nil {
		if s.unsaved == nil {
			core.Saved(now, s.save.Position)
		} else {
			core.Unsaved(now, s.save.Position)
		}
		n++
	}
	k.hand(core.Save())
	core.JournalTakes(k.takes())
	if k.saving != nil {
		k.saving.hurry.Store(core.Pressed())
	}
	if t := core.Trimmable(); t != k.trimmed {
		k.trimmed = t
		k.writer.Trim(t)
	}
	core.SetDiskFull(k.low.Load())
	return n, nil
}

// takes is what the journal takes on the disk, and at most will when all that it was given is written: a
// batch is on its way, and each that follows may leave as much behind at the end of its segment.
func (k *keeper) takes() int64 {
	s := k.writer.Stats()
	waiting := int64(s.Waiting)
	for _, b := range k.backlog {
		waiting += int64(len(b))
	}
	return s.Disk + k.segment + 2*waiting
}

// JournalView is a replica's journal as its operators see it.
type JournalView struct {
	Syncs   uint64
	Written uint64 // bytes, padding included
	Records uint64
	Refused uint64 // records that had to wait for room
	Disk    int64  // bytes on the disk now
}

func (k *keeper) view() (v JournalView) {
	if k == nil || k.writer == nil {
		return v
	}
	s := k.writer.Stats()
	return JournalView{Syncs: s.Journal.Syncs, Written: s.Journal.Bytes, Records: s.Journal.Records,
		Refused: s.Refused, Disk: s.Disk}
}

// save writes snapshots.
func (k *keeper) save() {
	for s := range k.saves {
		done, err := k.write(s)
		if errors.Is(err, storage.ErrUnsaved) {
			k.log.Error("a snapshot could not be written: the journal is not trimmed, and at its bound no writes "+
				"are taken", "in", k.path, "bytes", s.save.Size, "reason", err,
				"next", "make room on this disk; it is tried again in at most half a minute")
			s.unsaved, done, err = err, true, nil
		}
		if err != nil {
			k.fail(fmt.Errorf("snapshot in %s: %w", k.path, err))
			return
		}
		if done {
			k.saved.Store(s)
			k.wake()
		}
	}
}

func (k *keeper) fail(err error) {
	k.failure.CompareAndSwap(nil, &err)
	k.wake()
}

// watchEvery is how often free space is looked at.
const watchEvery = 200 * time.Millisecond

// watch looks at free space, so that clients hear of a full disk before it is one (I6).
func (k *keeper) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		free, err := k.fs.Free(k.path)
		if err != nil {
			k.fail(fmt.Errorf("free space of %s: %w", k.path, err))
			return
		}
		// Space comes back in crumbs: full until there is a little more than the floor.
		k.low.Store(free < k.floor || k.low.Load() && free < k.floor+k.floor/8)
		select {
		case <-t.C:
		case <-k.quit:
			return
		}
	}
}

func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	if k.writer == nil {
		return k.dir.Close()
	}
	close(k.quit)
	close(k.saves)
	k.ends.Wait()
	return k.writer.Close()
}
