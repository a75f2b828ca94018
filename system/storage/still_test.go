package storage_test

import (
	"testing"

	"metronome/system/disk/fault"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/wire"
)

// TestALaneThatStandsStill does so because the last fragment of a value does not come, while others write
// on. What it holds is more than is journaled again at every snapshot: it is at every second one, and the
// directory keeps its bound but for an eighth. Where it is more than that too, the journal is held back and
// grows, slowly. Either way a power failure takes nothing of it, and when the lane goes on, so does
// everything, within the bound.
func TestALaneThatStandsStill(t *testing.T) {
	const keys, size, still = 150, 900, 60
	for journalBytes, within := range map[int]bool{1 << 20: true, 300 << 10: false} {
		fs := fault.New(1)
		change := func(c *replica.Config) {
			c.JournalBytes, c.Lane, c.MaxItem = journalBytes, lane.Config{Window: 1024, Arena: 1 << 20}, 100<<10
		}
		r, err := startWith(t, fs, 1, change)
		if err != nil {
			t.Fatal(err)
		}
		r.told, r.piece, r.ahead, r.lanes = true, 32<<10, 64<<10, 2
		r.startProxy(1)
		r.write(0, 1)
		r.lost = func(h *wire.Header) bool { return h.Lane == 1 && h.Frame >= still }
		it := wire.Item{Op: wire.OpPut, Key: []byte("large"), Value: make([]byte, 90<<10)}
		if s := r.proxy.Submit(r.now, 1, &it, 1<<40); s != wire.StatusOK {
			t.Fatal(s)
		}
		bound, next, peak := int64(journalBytes+3*keys*(size+7)), 1, int64(0)
		write := func(steps int) {
			for range steps {
				next = r.overwrite(next, 8, keys, size)
				r.now += 2 * ms
				if r.step(); r.err != nil || r.core.Err() != nil {
					t.Fatal(r.err, r.core.Err())
				}
				peak = max(peak, onDisk(fs))
			}
		}
		write(600)
		before := peak
		write(1000)
		if grows := peak > before; grows == within || within && peak > bound+bound/8 {
			t.Errorf("journal of %d: %d bytes on the disk, then %d, the bound is %d", journalBytes, before, peak,
				bound)
		}
		again, err := startWith(t, fs.Crash(1), 2, change)
		if err != nil || again.report.Lost != nil {
			t.Fatal(err, again.report.Lost)
		}
		if l := again.core.View().Lanes; len(l) != 2 || l[1].Mark.Frames != still {
			t.Errorf("journal of %d: after a power failure there is %+v", journalBytes, l)
		}
		r.lost = nil
		r.idle("the value is there", func() bool { return r.ended[1<<40] == wire.StatusOK && len(r.ended) > next })
		write(100)
		if peak = onDisk(fs); peak > bound {
			t.Errorf("journal of %d: afterwards %d bytes on the disk, the bound is %d", journalBytes, peak, bound)
		}
	}
}
