package local

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/edge"
)

func records(all [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// exported is a store with a checkpoint in the middle of its life, and the log behind that.
type exported struct {
	dir     string // the checkpoint
	sum     Summary
	log     [][]byte
	models  map[uint64]*model // by revision
	newest  uint64
	at      clock
	instant map[uint64]time.Time
}

func export(t *testing.T, seed uint64) *exported {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	x := &exported{dir: filepath.Join(t.TempDir(), "checkpoint"), models: map[uint64]*model{},
		instant: map[uint64]time.Time{}}
	s, m := open(t, Config{Now: x.at.now}), newModel()
	for i := range 200 {
		x.at.turn(time.Second)
		b := randomBatch(rng, m)
		if b.Sender != nil {
			b.Sender.Prev = m.mark
			b.Ops = slices.DeleteFunc(b.Ops, func(op edge.Op) bool { return op.Seq <= m.mark })
		}
		m.apply(b)
		var refused *edge.RefusedError
		if _, err := s.Apply(t.Context(), b); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		x.models[m.revision], x.instant[m.revision] = m.clone(), x.at.now()
		if i == 100 {
			var err error
			if x.sum, err = s.Checkpoint(x.dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	x.newest = m.revision
	for next := x.sum.Revision + 1; next <= x.newest; {
		some, after, err := s.Log(t.Context(), next, 512)
		if err != nil || len(some) == 0 {
			t.Fatal(len(some), err)
		}
		x.log, next = append(x.log, some...), after
	}
	return x
}

// settle makes the model what a restored store shows: its revision begins anew.
func settle(m *model, epoch uint16) *model {
	m = m.clone()
	m.revision = uint64(epoch) << epochShift
	return m
}

func TestRestoreToAnyRevision(t *testing.T) {
	for seed := range uint64(4) {
		x := export(t, seed)
		for _, revision := range []uint64{0, x.sum.Revision, (x.sum.Revision + x.newest) / 2} {
			t.Run(fmt.Sprintf("seed=%d/revision=%d", seed, revision), func(t *testing.T) {
				dir := copied(t, x.dir)
				sum, err := Restore(t.Context(), Config{Dir: dir, MinFree: 1},
					Restoration{Epoch: 1, Records: records(x.log), Revision: revision})
				if err != nil {
					t.Fatal(err)
				}
				want := revision
				if want == 0 {
					want = x.newest
				}
				for x.models[want] == nil { // inside a batch, which is restored whole or not at all
					want--
				}
				if _, err := Verify(t.Context(), Config{Dir: dir}); err != nil {
					t.Fatal(err)
				}
				s := open(t, Config{Dir: dir})
				if sum.Incarnation == x.sum.Incarnation || s.Status().Incarnation != sum.Incarnation {
					t.Error("the incarnation is that of before")
				}
				settle(x.models[want], 1).check(t, s)
				apply(t, s, put("new", "1"))
				if e, err := s.Get(t.Context(), []byte("new"), edge.Read{}); err != nil || e.Revision <= x.newest {
					t.Errorf("revision %d, %v: an old ETag may match new data", e.Revision, err)
				}
			})
		}
	}
}

func TestRestoreToATime(t *testing.T) {
	x := export(t, 9)
	revision := (x.sum.Revision + x.newest) / 2
	for x.models[revision] == nil {
		revision--
	}
	dir := copied(t, x.dir)
	_, err := Restore(t.Context(), Config{Dir: dir}, Restoration{Epoch: 3, Records: records(x.log),
		Time: x.instant[revision]})
	if err != nil {
		t.Fatal(err)
	}
	settle(x.models[revision], 3).check(t, open(t, Config{Dir: dir}))
}

// TestRestoreFailedWhenINeededIt: what cannot be restored says so, and never opens as if it had been.
func TestRestoreFailedWhenINeededIt(t *testing.T) {
	x := export(t, 5)
	flipped := slices.Clone(x.log[3])
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		r    Restoration
		says string
	}{
		"epoch used before": {Restoration{Epoch: 0}, "epoch"},
		"a record missing": {Restoration{Epoch: 1,
			Records: records(slices.Delete(slices.Clone(x.log), 2, 3))}, "missing"},
		"a bit flipped": {Restoration{Epoch: 1,
			Records: records(append(slices.Clone(x.log[:3]), flipped))}, "check"},
		"a record cut":      {Restoration{Epoch: 1, Records: records([][]byte{x.log[0][:20]})}, "damaged"},
		"before its time":   {Restoration{Epoch: 1, Revision: 1}, "checkpoint"},
		"beyond the log":    {Restoration{Epoch: 1, Records: records(x.log), Revision: x.newest + 9}, "end"},
		"an upload failing": {Restoration{Epoch: 1, Records: failing}, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, x.dir)
			_, err := Restore(t.Context(), Config{Dir: dir}, c.r)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one about %q", err, c.says)
			}
			if strings.Contains(c.says, "epoch") || strings.Contains(c.says, "checkpoint") {
				return // nothing was begun
			}
			if s, err := Open(Config{Dir: dir, MinFree: 1}); err == nil {
				_ = s.Close()
				t.Fatal("half a restore opens")
			}
		})
	}
}

func failing(yield func([]byte, error) bool) { yield(nil, errors.New("the master is unreachable")) }

// copied is a directory of its own: a restore changes what it is given.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCheckpointMismatchRestartsFromZero: after a restore a device is told where to go on, and sends the gap.
func TestCheckpointMismatchRestartsFromZero(t *testing.T) {
	s := open(t, Config{})
	for n := uint64(0); n < 50; n++ {
		send(t, s, batch(1, n, n+1, put(fmt.Sprint("k", n), "1")))
	}
	dir := filepath.Join(t.TempDir(), "checkpoint")
	if _, err := s.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	for n := uint64(50); n < 60; n++ {
		send(t, s, batch(1, n, n+1, put(fmt.Sprint("k", n), "1")))
	}
	if _, err := Restore(t.Context(), Config{Dir: dir}, Restoration{Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	restored := open(t, Config{Dir: dir})
	wantFault(t, restored, batch(1, 60, 61, put("k60", "1")), "sequence-gap", 50)
	for n := uint64(50); n < 61; n++ {
		send(t, restored, batch(1, n, n+1, put(fmt.Sprint("k", n), "1")))
	}
	if st := restored.Status(); st.Keys != 61 {
		t.Errorf("%d keys, want 61", st.Keys)
	}
	if _, _, err := restored.Watch(t.Context(), nil, 40, 1); !errors.Is(err, edge.ErrTrimmed) {
		t.Errorf("a watcher of the life before: %v", err)
	}
}

func TestVerifyFindsWhatTheTotalsDoNotTell(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	apply(t, s, put("a", "1"), put("b", "2"))
	at, nonsense := appendDataKey(nil, []byte("a")), []byte("nonsense that is long enough")
	if err := s.db.Set(at, nonsense, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), []byte("a"), edge.Read{}); !errors.Is(err, edge.ErrDamaged) {
		t.Fatalf("%v", err)
	}
	if why := s.Check(); len(why) != 1 || why[0].Part != "damage" {
		t.Errorf("%v", why)
	}
	if err := s.db.Delete(at, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), Config{Dir: dir}); !errors.Is(err, edge.ErrDamaged) {
		t.Fatalf("a key is missing: %v", err)
	}
}
