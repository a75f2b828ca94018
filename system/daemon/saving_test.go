package daemon

import (
	"errors"
	"log/slog"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/journal"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/storage"
)

// testKeeper keeps an empty data directory; woken hears what it tells the loop.
func testKeeper(t *testing.T, fs *fault.FS) (k *keeper, woken chan struct{}) {
	t.Helper()
	d, err := testDigest()
	if err != nil {
		t.Fatal(err)
	}
	dir, _, _, err := storage.Start(fs, "data", journal.Config{SegmentBytes: 64 << 10},
		replica.Config{Cluster: 7, Seats: 1, Nonce: 1, Digest: d, MaxItem: 1000, Durable: true,
			Lane: lane.Config{Window: 64, Arena: 1 << 16}})
	if err != nil {
		t.Fatal(err)
	}
	woken = make(chan struct{}, 2)
	return &keeper{dir: dir, fs: fs, path: "data", saves: make(chan *saving, 1), quit: make(chan struct{}),
		wake: func() { woken <- struct{}{} }, log: slog.New(slog.DiscardHandler)}, woken
}

// A snapshot that cannot be written ends nothing: the loop is told, and the next one is written.
func TestASnapshotThatCannotBeWrittenIsTold(t *testing.T) {
	fs := fault.New(1)
	k, woken := testKeeper(t, fs)
	k.ends.Go(k.save)
	fs.Hook = fault.FailAt(1, disk.ErrNoSpace) // its first bytes
	k.hand(&replica.Save{Position: 1, Header: []byte("head")})
	<-woken
	if s := k.finished(); s == nil || !errors.Is(s.unsaved, disk.ErrNoSpace) || k.ready() {
		t.Errorf("what came of it: %+v; it failed: %t", s, k.ready())
	}
	k.hand(&replica.Save{Position: 2, Header: []byte("head")})
	<-woken
	if s := k.finished(); s == nil || s.unsaved != nil || s.save.Position != 2 {
		t.Errorf("what came of the next: %+v", s)
	}
	close(k.quit)
	close(k.saves)
	k.ends.Wait()
}

// A snapshot that is given up while its last sync is under way may get durable all the same. That says
// nothing about the one that is saved in its place: this goes on, is told how much of it there is, and is
// saved once.
func TestASnapshotGivenUpEndsNoOther(t *testing.T) {
	fs := fault.New(1)
	k, woken := testKeeper(t, fs)
	syncing, synced := make(chan struct{}), make(chan struct{})
	fs.Hook = func(op fault.Op) error {
		if op.Kind == fault.Sync {
			syncing <- struct{}{}
			<-synced
		}
		return nil
	}
	k.ends.Go(k.save)

	k.hand(&replica.Save{Position: 1})
	<-syncing
	next := &replica.Save{Position: 2}
	k.hand(next)
	synced <- struct{}{}
	<-woken
	<-syncing
	if s := k.finished(); s != nil || k.saving == nil || k.saving.save != next {
		t.Errorf("a snapshot counts as saved: %t; the next is being saved: %t", s != nil, k.saving != nil)
	}
	k.hand(next)
	synced <- struct{}{}
	<-woken
	if s := k.finished(); s == nil || s.save != next || s.unsaved != nil || k.saving != nil || k.ready() {
		t.Errorf("the next is saved: %t; something waits still: %t", s != nil, k.ready())
	}
	close(k.quit)
	close(k.saves)
	k.ends.Wait()
	if k.failure.Load() != nil {
		t.Error(*k.failure.Load())
	}
	if n := fs.Count[fault.Rename]; n != 2 {
		t.Errorf("%d snapshots got their names, want 2", n)
	}
}
