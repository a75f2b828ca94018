package replica

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

// What arrives in any pieces is read in any pieces, and divided into the state beside the store and the
// store's, wherever that division falls.
func TestReceivedInAnyPieces(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		all := make([]byte, 1+rng.IntN(400))
		for i := range all {
			all[i] = byte(rng.Uint32())
		}
		in := &received{size: uint64(len(all)), headLen: uint64(rng.IntN(len(all) + 1))}
		var read func(offset, limit int) []byte
		var got []byte
		for rest := all; len(rest) > 0; {
			n := 1 + rng.IntN(min(len(rest), 90))
			in.add(rest[:n])
			rest = rest[n:]
			if read == nil {
				read = in.reader()
			}
			for len(got) < in.ready() && rng.IntN(4) > 0 {
				got = append(got, read(len(got), min(1+rng.IntN(50), in.ready()-len(got)))...)
			}
		}
		for len(got) < in.ready() {
			got = append(got, read(len(got), 64)...)
		}
		if !in.whole() || !bytes.Equal(got, all) {
			t.Fatalf("seed %d: read %d bytes of %d", seed, len(got), len(all))
		}
		if whole := append(bytes.Clone(in.head), bytes.Join(in.stream(), nil)...); !bytes.Equal(whole, all) ||
			len(in.head) != int(in.headLen) {
			t.Fatalf("seed %d: divided at %d: %d bytes before it, %d in all", seed, in.headLen, len(in.head),
				len(whole))
		}
	}
}

func single(t *testing.T, change func(*Config)) *Replica {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Cluster: 7, Seats: 1, Nonce: 1, Digest: d, MaxItem: 1000,
		Lane: lane.Config{Window: 64, Arena: 1 << 16}}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err == nil {
		err = r.Found([]int{0})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A lane that is closed stays until what was agreed of it is applied, however much is compacted meanwhile.
func TestAClosedLaneStaysUntilItIsApplied(t *testing.T) {
	r := single(t, nil)
	row := &laneRow{id: 5, proxy: 1, incarnation: 1, cut: order.Mark{Lane: 5, Items: 9, Frames: 3}}
	recv, err := r.ingest.Reopen(lane.Name{Proxy: 1, Incarnation: 1, ID: 5}, lane.Mark{Items: 9, Frames: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		applied uint64 // frames
		stays   bool
	}{{0, true}, {2, true}, {3, false}} {
		row.cut.Frames = 4 // one beyond what is trimmed: agreed, not applied
		if !c.stays {
			row.cut.Frames = 3
		}
		r.lanes = nil
		r.insert(&laneState{laneRow: row, recv: recv, applied: order.Mark{Lane: 5, Frames: c.applied}})
		r.safe, r.checkpoints = 1, []checkpoint{{position: 1, frames: []laneFrames{{5, c.applied}}}}
		if r.compact(); (r.find(5) != nil) != c.stays {
			t.Errorf("applied up to frame %d of %d: stays is %v", c.applied, row.cut.Frames, !c.stays)
		}
	}
}

// Replicas that journal the same take their snapshots at different moments; one that somebody waits for is
// captured at once, and others in proportion to what is journaled.
func TestWhenSnapshotsAreTaken(t *testing.T) {
	begins := map[uint64]bool{}
	for seat := range 3 {
		r := single(t, func(c *Config) { c.Durable, c.JournalBytes, c.Seats = true, 8<<20, 3 })
		r.cfg.Seat = seat
		for r.journal.bytes = 0; !r.transfer.wanted; r.journal.bytes += 1 << 10 {
			r.steerSnapshots()
		}
		if at := r.journal.bytes; begins[at] || at > 3<<20+2<<10 {
			t.Errorf("seat %d takes its first snapshot at %d bytes, as another, or too late", seat, at)
		}
		begins[r.journal.bytes] = true
		r.seen.StoreBytes = 6 << 20
		r.quiet, r.transfer.stepped = false, r.journal.bytes
		r.journal.bytes += 128 << 10 // a sixty-fourth: of a sixth, a tenth or so
		if n := r.captureStep(); n < 575<<10 || n > 577<<10 {
			t.Errorf("captures %d bytes", n)
		}
		r.journal.bytes += 512 << 10 // more than a step may: the rest is owed
		if n, then := r.captureStep(), r.captureOwed(); n != 1<<20 || then < 5<<18-2 || then > 5<<18+2 {
			t.Errorf("captures %d bytes, and owes %d", n, then)
		}
		r.transfer.stepped = r.journal.bytes
		if n := r.captureStep(); n != r.cfg.captureLeast() {
			t.Errorf("captures %d bytes while nothing is journaled", n)
		}
		if r.transfer.urgent = true; r.captureStep() != r.cfg.captureMost() {
			t.Errorf("captures %d bytes while somebody waits", r.captureStep())
		}
	}
}
