package sim

import (
	"errors"
	"math/rand/v2"

	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/replica"
	"metronome/system/storage"
	"metronome/system/wire"
)

// storeKept is a replica with its data directory.
type storeKept struct {
	*storeReplica
	dir    *storage.Dir
	lost   error
	saving *storage.Saving
	save   *replica.Save
	told   uint64 // records that the replica knows to be durable
	full   bool   // the disk nearly is
	takes  *taken // nil: the replica is not told what the journal takes
}

// taken is what a journal takes, by the records in it: files are far too large for so little work.
type taken struct {
	first uint64 // the number of sizes[0]
	sizes []int
	bytes int64
}

func (t *taken) wrote(record []byte) {
	t.sizes, t.bytes = append(t.sizes, len(record)), t.bytes+int64(len(record))
}

func (t *taken) trimmed(below uint64) {
	for ; t.first < below && len(t.sizes) > 0; t.first++ {
		t.bytes -= int64(t.sizes[0])
		t.sizes = t.sizes[1:]
	}
}

// Continue opens a disk. Segments, batches and the journal's bound are as small as can be, and
// differ from start to start.
func (s storeSystem) Continue(c ReplicaConfig, fs disk.FS) (Kept, error) {
	k := &storeKept{storeReplica: &storeReplica{c: c, by: s.by, stale: true, applied: true}}
	rc := k.config()
	rc.Durable, rc.JournalBytes = true, 4<<10+int(c.Seed>>32%(60<<10))
	if s.told(&c) {
		rc.JournalBytes += 28 << 10 // the orderers' own records alone may take as much
	}
	dir, core, report, err := storage.Start(fs, storeDir, s.journal(&c), rc)
	if err != nil {
		return nil, err
	}
	k.dir, k.Replica, k.lost = dir, core, report.Lost
	if s.told(&c) {
		k.takes = &taken{first: dir.Journal().Next()}
	}
	if c.Found && core.ID() == 0 {
		k.found()
	}
	return k, nil
}

// told reports whether a life is told what its journal takes, and so keeps it within its bound.
func (s storeSystem) told(c *ReplicaConfig) bool { return c.Seed>>60 < 8 }

func (s storeSystem) journal(c *ReplicaConfig) journal.Config {
	return journal.Config{SegmentBytes: 64 << 10, BatchBytes: 1<<10 + int(c.Seed>>48%(32<<10)),
		Salt:     rand.New(rand.NewPCG(c.Seed, 0)).Uint32,
		Identity: replica.Owner(storeCluster+c.Generation, c.Seat, s.by.String(), 0)}
}

// Lost is why the state was set aside.
func (k *storeKept) Lost() error { return k.lost }

// Watch tells what was done since the disk was opened, and goes on.
func (k *storeKept) Watch(o Observer) {
	position, index := k.Status().Applied, k.Index()
	if len(k.commits) > 0 {
		position = k.commits[0].position - 1
	}
	if len(k.before) > 0 {
		index = k.base
	}
	o.OnRestore(position, index)
	k.o = o
	k.tell(k.commits)
	k.commits = k.commits[:0]
	for _, tell := range k.before {
		tell(o)
	}
	k.before, k.stale = nil, true
	k.settle()
}

// Write appends records.
func (k *storeKept) Write(records [][]byte) error {
	for _, b := range records {
		if _, err := k.dir.Journal().Append(b); err != nil {
			return err
		}
		if k.takes != nil {
			k.takes.wrote(b)
		}
	}
	k.tellTakes()
	return nil
}

// tellTakes tells the replica what its journal takes.
func (k *storeKept) tellTakes() {
	switch {
	case k.full:
		k.JournalTakes(1 << 50)
	case k.takes != nil:
		k.JournalTakes(max(1, k.takes.bytes))
	default:
		k.JournalTakes(0)
	}
}

// Flush hands them to the file system.
func (k *storeKept) Flush() error { return k.dir.Journal().Flush() }

// Sync makes them durable. An idle journal is sealed.
func (k *storeKept) Sync(now int64, idle bool) error {
	j := k.dir.Journal()
	if err := j.Sync(); err != nil {
		return err
	}
	if idle {
		if err := j.Seal(); err != nil {
			return err
		}
	}
	if n := j.Synced(); n > k.told {
		k.told, k.stale = n, true
		k.Synced(now, n-1)
		k.settle()
	}
	return k.trim()
}

func (k *storeKept) trim() error {
	t := k.Trimmable()
	if t == 0 {
		return nil
	}
	if k.takes != nil {
		k.takes.trimmed(t)
		k.tellTakes()
	}
	return k.dir.Journal().Trim(t)
}

// Save goes on with a snapshot.
func (k *storeKept) Save(now int64, bytes int) (busy bool, err error) {
	if k.saving != nil && k.Replica.Save() != k.save {
		err, k.saving = k.saving.Abort(), nil
		return true, err
	}
	if k.saving == nil {
		if k.save = k.Replica.Save(); k.save == nil {
			return false, nil
		}
		k.saving, err = k.dir.Save(k.save)
		return true, k.unsaved(now, err)
	}
	there := k.save.Ready() - k.saving.Offset()
	if there == 0 && k.saving.Offset() < k.save.Size {
		return false, nil // more is on its way
	}
	done, err := k.saving.Step(min(bytes, there))
	if err != nil || !done {
		return true, k.unsaved(now, err)
	}
	k.saving, k.stale = nil, true
	k.Saved(now, k.save.Position)
	k.settle()
	return true, k.trim()
}

// unsaved tells the replica of a snapshot that could not be written; any other error ends the process.
func (k *storeKept) unsaved(now int64, err error) error {
	if !errors.Is(err, storage.ErrUnsaved) {
		return err
	}
	k.saving, k.stale = nil, true
	k.Unsaved(now, k.save.Position)
	k.settle()
	return nil
}

// SetFull says whether the disk is nearly full. Then the journal takes no frames either, as at its bound.
func (k *storeKept) SetFull(full bool) {
	k.SetDiskFull(full)
	k.full = full
	k.tellTakes()
}

// Promise reads what an orderer's message says of its sender.
func (s storeSystem) Promise(b []byte) Promise {
	if len(b) <= 1+orderHeader || wire.Kind(b[0]) != wire.KindOrder {
		return Promise{}
	}
	said := s.by.Said(b[1+orderHeader:])
	return Promise{Term: said.Term, Position: said.Position, Alive: said.Alive}
}
