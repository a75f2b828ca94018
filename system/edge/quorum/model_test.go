package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/quorum"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// seedVariable replays a run of [TestRandomEdgesAreOneStore], stepsVariable makes it longer.
const (
	seedVariable  = "QUORUM_SEED"
	stepsVariable = "QUORUM_STEPS"
)

func number(variable string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(variable), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// TestRandomEdgesAreOneStore has devices write through random edges of a core that loses answers, refuses,
// and ends sessions, while edges are stopped and started and fall behind. Each number of each device must
// have been executed exactly once, in order, and every edge must hold the same.
func TestRandomEdgesAreOneStore(t *testing.T) {
	seed := number(seedVariable, uint64(time.Now().UnixNano()))
	t.Logf("replay with %s=%d", seedVariable, seed)
	w := &world{t: t, core: newCore(t), rng: rand.New(rand.NewPCG(seed, 1))}
	for range 3 {
		w.dirs = append(w.dirs, t.TempDir())
		w.edges = append(w.edges, nil)
	}
	w.disturb(rand.New(rand.NewPCG(seed, 2)))
	for range number(stepsVariable, 100) {
		w.step()
	}
	w.core.set(&w.core.fault, nil)
	w.core.set(&w.core.after, nil)
	w.check()
}

const devices = 4

type world struct {
	t     *testing.T
	core  *core
	rng   *rand.Rand
	dirs  []string
	edges []*quorum.Store

	next  [devices]uint64      // the mark that the device knows
	batch [devices]*edge.Batch // not answered yet
}

// disturb makes one in ten writes of the core go wrong.
func (w *world) disturb(rng *rand.Rand) {
	over := map[uint64]bool{}
	w.core.set(&w.core.fault, func(op *resp.Op) wire.Status {
		switch n := rng.IntN(100); {
		case op.Item.HasSession && (over[op.Item.Session] || n == 0):
			over[op.Item.Session] = true
			return wire.StatusSessionUnknown
		case n < 4:
			return wire.StatusUnavailable
		case n < 6:
			return wire.StatusBusy
		}
		return 0
	})
	w.core.set(&w.core.after, func(op *resp.Op) wire.Status {
		if op.Item.HasSession && rng.IntN(10) == 0 {
			return wire.StatusUnknown
		}
		return 0
	})
}

func (w *world) edge(n int) *quorum.Store {
	if w.edges[n] == nil {
		w.edges[n] = w.core.edge(w.dirs[n], keep(8))
	}
	return w.edges[n]
}

func (w *world) step() {
	n := w.rng.IntN(len(w.edges))
	if w.rng.IntN(25) == 0 && w.edges[n] != nil {
		shut(w.t, w.edges[n])
		w.edges[n] = nil
		return
	}
	w.write(w.rng.IntN(devices), w.edge(n))
}

// write has a device send a batch, the one before if that was not answered.
func (w *world) write(device int, s *quorum.Store) {
	b := w.batch[device]
	if b == nil {
		last := w.next[device] + 1 + uint64(w.rng.IntN(4))
		b = reading("device"+strconv.Itoa(device), w.next[device], last)
		for i := range b.Ops { // and one that is overwritten, in order
			b.Ops[i].Value = fmt.Append(nil, b.Ops[i].Seq)
		}
		op := put("last/"+strconv.Itoa(device), fmt.Sprint(last+1))
		op.Seq = last + 1
		b.Ops, b.Sender.Last = append(b.Ops, op), last+1
		w.batch[device] = b
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(1+w.rng.IntN(50))*time.Millisecond)
	defer cancel()
	out, err := s.Apply(ctx, b)
	switch {
	case err == nil:
		w.answered(device, b, out)
	case errors.Is(err, edge.ErrUnknown), errors.Is(err, edge.ErrUnreachable), errors.Is(err, edge.ErrBusy):
	default:
		w.t.Fatalf("device %d: %v", device, err)
	}
}

func (w *world) answered(device int, b *edge.Batch, out *edge.Outcome) {
	for i, r := range out.Results {
		if r.Verdict.Refused() {
			w.t.Fatalf("device %d, number %d was executed twice: %+v", device, b.Ops[i].Seq, r)
		}
	}
	if out.Session.Mark != b.Sender.Last {
		w.t.Fatalf("device %d: mark %d, want %d", device, out.Session.Mark, b.Sender.Last)
	}
	w.next[device], w.batch[device] = b.Sender.Last, nil
}

// check ends all batches, and compares the edges with each other and with the model.
func (w *world) check() {
	t, keys := w.t, uint64(0)
	for device := range devices {
		eventually(t, "the last batch is answered", func() bool {
			if w.batch[device] != nil {
				w.write(device, w.edge(0))
			}
			return w.batch[device] == nil
		})
	}
	all := make([]edge.Store, 0, len(w.edges))
	for n := range w.edges {
		s := w.edge(n)
		eventually(t, "the edge is back", func() bool {
			_, err := s.Get(t.Context(), []byte("-"), edge.Read{Level: edge.Quorum})
			return errors.Is(err, edge.ErrNotFound)
		})
		all = append(all, s)
	}
	same(t, all...)
	for device := range devices {
		mark := w.next[device]
		state, err := w.edge(1).Session(t.Context(), "device"+strconv.Itoa(device),
			"s-device"+strconv.Itoa(device))
		if mark > 0 && (err != nil || state.Mark != mark) {
			t.Errorf("device %d: %+v %v, want mark %d", device, state, err, mark)
		}
		if got := get(t, w.edge(2), edge.Local, "last/"+strconv.Itoa(device)); mark > 0 && got != fmt.Sprint(mark) {
			t.Errorf("device %d: the last is %q, want %d", device, got, mark)
		}
		for seq := uint64(1); seq <= mark; seq++ {
			if got := get(t, w.edge(0), edge.Local, fmt.Sprintf("device%d/%06d", device, seq)); got != "" {
				keys++
			}
		}
	}
	if got := w.edge(0).Status().Keys; got != keys+uint64(used(w)) {
		t.Errorf("%d keys, %d were written", got, keys+uint64(used(w)))
	}
}

func used(w *world) (n int) {
	for _, mark := range w.next {
		if mark > 0 {
			n++
		}
	}
	return n
}
