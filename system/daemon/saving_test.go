package daemon

import (
	"testing"

	"metronome/system/disk/fault"
	"metronome/system/journal"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/storage"
)

// A snapshot that is given up while its last sync is under way may get durable all the same. That says
// nothing about the one that is saved in its place: this goes on, is told how much of it there is, and is
// saved once.
func TestASnapshotGivenUpEndsNoOther(t *testing.T) {
	fs := fault.New(1)
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
	syncing, synced := make(chan struct{}), make(chan struct{})
	fs.Hook = func(op fault.Op) error {
		if op.Kind == fault.Sync {
			syncing <- struct{}{}
			<-synced
		}
		return nil
	}
	woken := make(chan struct{}, 2)
	k := &keeper{dir: dir, fs: fs, path: "data", saves: make(chan *saving, 1), quit: make(chan struct{}),
		wake: func() { woken <- struct{}{} }}
	k.ends.Go(k.save)

	k.hand(&replica.Save{Position: 1})
	<-syncing
	next := &replica.Save{Position: 2}
	k.hand(next)
	synced <- struct{}{}
	<-woken
	<-syncing
	if position, ok := k.finished(); ok || k.saving == nil || k.saving.save != next {
		t.Errorf("snapshot %d counts as saved: %t; the next is being saved: %t", position, ok, k.saving != nil)
	}
	k.hand(next)
	synced <- struct{}{}
	<-woken
	if position, ok := k.finished(); !ok || position != 2 || k.saving != nil || k.ready() {
		t.Errorf("snapshot %d is saved: %t; something waits still: %t", position, ok, k.ready())
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
