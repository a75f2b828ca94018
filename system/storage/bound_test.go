package storage_test

import (
	"fmt"
	"testing"

	"metronome/system/disk/fault"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/wire"
)

// onDisk is what a file system holds.
func onDisk(fs *fault.FS) int64 {
	free, _ := fs.Free(dir) // of a file system without faults
	return int64(fs.Capacity - free)
}

// TestDiskUseIsBounded overwrites the same keys as fast as it goes, while snapshots are written so slowly
// that clients would write several bounds of journal meanwhile. After each step the directory takes at most
// the configured journal and three times the live data; and writing goes on all the same.
func TestDiskUseIsBounded(t *testing.T) {
	const (
		journalBytes = 2 << 20
		keys, size   = 300, 900
		most         = 8 // outstanding
	)
	for _, piece := range []int{400, 1 << 20} {
		fs := fault.New(1)
		r, err := startWith(t, fs, 1, func(c *replica.Config) {
			c.JournalBytes, c.Lane = journalBytes, lane.Config{Window: 4096, Arena: 4 << 20}
		})
		if err != nil {
			t.Fatal(err)
		}
		r.piece, r.told = piece, true
		r.write(0, 1)
		live := int64(keys * (len(fmt.Sprint("key-", 100)) + size))
		next, reached, shut, peak := 1, int64(0), 0, int64(0)
		for saves := uint64(0); saves < 4 || next < 5_000; next = r.overwrite(next, most, keys, size) {
			r.step()
			if r.err != nil || r.core.Err() != nil {
				t.Fatal(r.err, r.core.Err())
			}
			bytes := onDisk(fs)
			if peak = max(peak, bytes); bytes > journalBytes+3*live {
				t.Fatalf("pieces of %d: %d bytes on the disk after %d puts, the bound is %d + 3 × %d", piece, bytes,
					next, journalBytes, live)
			}
			v := r.core.View().Journal
			if v.Shut {
				shut++
			}
			if at := int64(v.Saved); at != reached {
				reached, saves = at, saves+1
			}
			if next > 400_000 {
				t.Fatalf("%d snapshots in %d puts", saves, next)
			}
		}
		if piece == 400 && shut == 0 {
			t.Error("frames never had to wait for room: this shows too little")
		}
		t.Logf("pieces of %d: %d puts, at most %d bytes of %d, no room after %d steps", piece, next, peak,
			journalBytes+3*live, shut)
	}
}

// overwrite sends puts until so many are outstanding, and returns the number of the next.
func (r *rig) overwrite(next, most, keys, size int) int {
	r.t.Helper()
	for next-len(r.ended) < most {
		it := wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%03d", next%keys), Value: make([]byte, size)}
		if s := r.proxy.Submit(r.now, 0, &it, uint64(next+1)); s != wire.StatusOK {
			break
		}
		next++
	}
	return next
}

// TestNobodyStandsStillForWantOfRoom: when everything that was applied is in a snapshot, and the journal
// takes more than it may all the same, nothing will make room. Frames are taken nevertheless, a few at
// a time.
func TestNobodyStandsStillForWantOfRoom(t *testing.T) {
	r, err := start(t, fault.New(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	r.write(0, 20)
	r.core.JournalTakes(1 << 40)
	began := r.now
	if n := r.write(20, 23); n != 23 {
		t.Fatal(n, r.err)
	}
	if r.now-began < 200*ms {
		t.Errorf("it did not wait for room: %d ns", r.now-began)
	}
}
