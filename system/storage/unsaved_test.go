package storage_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/wire"
)

const unfinished = dir + "/snapshot.tmp"

// of fails every operation of a kind on the snapshot that is being written.
func of(kind fault.Kind, err error) func(*cramped) {
	return func(fs *cramped) {
		fs.Hook = func(op fault.Op) error {
			if op.Kind == kind && op.Name == unfinished && (kind != fault.Write || op.Offset > 0) {
				return err
			}
			return nil
		}
	}
}

// cramped is a file system on which there is less room than it has; 0: as much.
type cramped struct {
	*fault.FS
	room uint64
}

func (c *cramped) Free(dir string) (uint64, error) {
	free, err := c.FS.Free(dir)
	if c.room > 0 {
		free = min(free, c.room)
	}
	return free, err
}

// begin is a replica that holds some keys and a snapshot of them, over a disk that is about to fail.
func begin(t *testing.T, fs disk.FS) *rig {
	t.Helper()
	r, err := startWith(t, fs, 1, func(c *replica.Config) {
		c.JournalBytes, c.Lane = 1<<20, lane.Config{Window: 512, Arena: 1 << 20}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.told, r.piece = true, 32<<10
	r.write(0, 1)
	return r
}

// flood overwrites keys until something holds, or the disk fails; false: it never did.
func (r *rig) flood(holds func() bool) bool {
	for r.sent = max(r.sent, 1); r.err == nil && r.sent < 30_000; r.sent = r.overwrite(r.sent, 8, 150, 900) {
		if holds() {
			return true
		}
		r.now += 2 * ms
		r.step()
		if r.core.Err() != nil {
			r.t.Fatal(r.core.Err())
		}
	}
	return holds()
}

// idle lets time pass until something holds.
func (r *rig) idle(what string, holds func() bool) {
	r.t.Helper()
	for range 20_000 {
		if r.err != nil || r.core.Err() != nil {
			r.t.Fatal(r.err, r.core.Err())
		}
		if holds() {
			return
		}
		r.now += 5 * ms
		r.step()
	}
	r.t.Fatalf("not within 100 seconds: %s", what)
}

// TestASnapshotThatCannotBeWritten is given up, again and again: nothing of it stays, the one before and the
// journal do, and at the journal's bound clients are refused instead of waiting. When it can be written, all
// goes on, and nothing that was acknowledged is lost.
func TestASnapshotThatCannotBeWritten(t *testing.T) {
	for name, breaks := range map[string]func(*cramped){
		"no room": func(fs *cramped) { // but for a segment: then none is begun
			of(fault.Create, fault.ErrCrash)(fs)
			fs.room = 100 << 10
		},
		"not a file":          of(fault.Create, disk.ErrNoSpace),
		"a piece of a write":  of(fault.Write, fault.Short(100, disk.ErrNoSpace)),
		"an error of writing": of(fault.Write, fault.ErrIO),
		"no room for a name":  of(fault.Rename, disk.ErrNoSpace),
	} {
		t.Run(name, func(t *testing.T) {
			fs := &cramped{FS: fault.New(1)}
			r := begin(t, fs)
			if !r.flood(func() bool { return r.core.View().Journal.Saved > 0 }) {
				t.Fatal("no snapshot", r.err)
			}
			saved := r.core.View().Journal.Saved
			breaks(fs)
			if !r.flood(func() bool { return r.proxy.View().Full }) {
				t.Fatalf("nobody is refused; %v", r.err)
			}
			it := wire.Item{Op: wire.OpPut, Key: key(1), Value: value(1)}
			if s := r.proxy.Submit(r.now, 0, &it, 1<<40); s != wire.StatusBusy {
				t.Errorf("a put's status is %d, want %d", s, wire.StatusBusy)
			}
			tries := r.core.Counters().Unsaved
			r.idle("what was taken is decided, and the snapshot tried again", func() bool {
				return len(r.ended) == int(r.core.Index()) && r.core.Counters().Unsaved > tries
			})
			if v := r.core.View(); v.Journal.Saved != saved || !v.Full {
				t.Errorf("the newest snapshot is of position %d, it was of %d; full: %t", v.Journal.Saved, saved, v.Full)
			}
			if slices.Contains(fs.Names(), unfinished) && r.saving == nil {
				t.Error("what could not be written lies there still")
			}

			fs.Hook, fs.room = nil, 0
			r.idle("writes are taken", func() bool { return !r.proxy.View().Full })
			acknowledged := len(r.ended)
			if !r.flood(func() bool { return len(r.ended) > acknowledged+500 }) {
				t.Fatal("it does not go on", r.err)
			}
			r.idle("all is quiet", func() bool { return len(r.ended) == int(r.core.Index()) })
			after, err := start(t, fs.Crash(1), 2)
			if err != nil {
				t.Fatal(err)
			}
			after.check("after a crash", len(r.ended))
		})
	}
}

// TestTheBoundHoldsWhileSnapshotsFail for a thousand seconds: clients write, read and delete all the time,
// and their proxy is started again and again. Nothing of it takes the directory beyond its bound, what was
// taken is answered, and once a snapshot can be written, all goes on.
func TestTheBoundHoldsWhileSnapshotsFail(t *testing.T) {
	fs := &cramped{FS: fault.New(1)}
	r := begin(t, fs)
	r.ahead = 64 << 10 // a segment that the next record may take
	if !r.flood(func() bool { return r.core.View().Journal.Saved > 0 }) {
		t.Fatal("no snapshot", r.err)
	}
	of(fault.Create, disk.ErrNoSpace)(fs)
	const journalBytes, live = 1 << 20, 150 * (900 + 7)
	taken, counts, peak := r.sent, map[wire.Status]int{}, int64(0)
	for tick := range 100_000 {
		it := wire.Item{Op: wire.OpGet + wire.Op(tick%2), Key: fmt.Appendf(nil, "key-%03d", tick%150)}
		if tick%3 == 0 {
			it.Op, it.Value = wire.OpPut, make([]byte, 900)
		}
		status := r.proxy.Submit(r.now, 0, &it, uint64(1<<40+tick))
		if counts[status]++; status == wire.StatusOK {
			taken++
		}
		r.now += 10 * ms
		if r.step(); r.err != nil || r.core.Err() != nil {
			t.Fatal(r.err, r.core.Err())
		}
		if peak = max(peak, onDisk(fs.FS)); peak > journalBytes+3*live {
			t.Fatalf("tick %d: %d bytes on the disk, the bound is %d + 3 × %d; %v", tick, peak, journalBytes, live,
				counts)
		}
		if tick%12_000 == 11_999 {
			r.startProxy(uint64(tick))
		}
	}
	if r.core.Counters().Unsaved < 30 || counts[wire.StatusBusy] < 90_000 || len(r.ended) != taken {
		t.Errorf("%d snapshots failed; %v; %d were taken, %d answered: this shows too little",
			r.core.Counters().Unsaved, counts, taken, len(r.ended))
	}
	t.Logf("%d bytes of %d; %v", peak, journalBytes+3*live, counts)
	fs.Hook = nil
	r.idle("all goes on", func() bool { return r.proxy.Open() && !r.proxy.View().Full })
	if !r.flood(func() bool { return len(r.ended) > taken+500 }) {
		t.Fatal("it does not go on", r.err)
	}
}

// TestASyncThatFailsEndsTheProcess, of a snapshot too: what it should have made durable may be gone.
func TestASyncThatFailsEndsTheProcess(t *testing.T) {
	fs := &cramped{FS: fault.New(1)}
	r := begin(t, fs)
	of(fault.Sync, fault.ErrIO)(fs)
	if r.flood(func() bool { return r.core.View().Journal.Saved > 0 }); !errors.Is(r.err, fault.ErrIO) ||
		r.core.Counters().Unsaved > 0 {
		t.Errorf("it goes on: %v, %d snapshots given up", r.err, r.core.Counters().Unsaved)
	}
}

// TestLeftoversOfACrashAreRemoved: what there is of a snapshot that was not whole takes room.
func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	fs := fault.New(1)
	r := begin(t, fs)
	r.piece = 1
	if !r.flood(func() bool { return r.saving != nil && r.saving.Offset() > 100 }) {
		t.Fatal("no snapshot is written", r.err)
	}
	killed := fs.Kill()
	if _, err := start(t, killed, 2); err != nil {
		t.Fatal(err)
	}
	for _, name := range killed.Names() {
		if strings.HasPrefix(path.Base(name), "snapshot") {
			t.Errorf("%s is there still", name)
		}
	}
}

// TestASnapshotsNameIsDurableBeforeItCounts: a process ends between giving a snapshot its name and making
// that durable; the next one begins with it, writes on, and the power fails.
func TestASnapshotsNameIsDurableBeforeItCounts(t *testing.T) {
	for seed := range uint64(8) {
		fs := fault.New(1)
		r := begin(t, fs)
		fs.Hook = func(op fault.Op) error {
			if op.Kind == fault.SyncDir && op.Name == dir {
				return fault.ErrIO
			}
			return nil
		}
		if r.flood(func() bool { return false }); !errors.Is(r.err, fault.ErrIO) {
			t.Fatal(r.err)
		}
		killed := fs.Kill()
		if _, err := start(t, killed, 2); err != nil {
			t.Fatal(err)
		}
		again, err := start(t, killed.Crash(seed), 3)
		if err != nil {
			t.Fatal(err)
		}
		if again.report.Snapshot == "" || again.report.Lost != nil {
			t.Errorf("seed %d: after a power failure it begins with %+v", seed, again.report)
		}
	}
}
