package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"metronome/system/edge"
)

// TestAckedButLostOnPowerCut: what an answer or a read has shown survives a power cut at any moment, of
// whatever unsynced bytes the disk happens to keep.
func TestAckedButLostOnPowerCut(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { cutPower(t, seed) })
	}
}

func cutPower(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	mem := vfs.NewCrashableMem()
	s := open(t, Config{Dir: "d", FS: mem, MemTable: 64 << 10, LogBytes: 64 << 10, MinFree: 1})
	const writers = 4
	var mu sync.Mutex
	shown := make([]int, writers) // the newest value of each writer that anybody was shown
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for w := range writers {
		all.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				if _, err := s.Apply(context.Background(), deviceBatch(w, n)); err != nil {
					t.Error(err)
					return
				}
				note(&mu, shown, w, n)
			}
		})
		all.Go(func() { // a reader must not see what a cut may take back
			for ctx.Err() == nil {
				e, err := s.Get(context.Background(), []byte(fmt.Sprint("w", w)), edge.Read{})
				if err != nil {
					continue
				}
				n := 0
				_, _ = fmt.Sscan(string(e.Value), &n)
				note(&mu, shown, w, n)
			}
		})
	}
	for range 5 {
		for at := s.Status().Revision + 1 + rng.Uint64N(300); s.Status().Revision < at; {
			if err := s.durable.wait(ctx, at, s.over); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		promised := append([]int(nil), shown...)
		mu.Unlock()
		disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		checkDisk(t, disk, promised)
	}
	stop()
	all.Wait()
}

func note(mu *sync.Mutex, shown []int, w, n int) {
	mu.Lock()
	defer mu.Unlock()
	shown[w] = max(shown[w], n)
}

// deviceBatch is the nth of a device: two keys that must never differ.
func deviceBatch(w, n int) *edge.Batch {
	value := fmt.Sprint(n)
	b := &edge.Batch{Sender: &edge.Sender{Client: fmt.Sprint("w", w), Session: "q", Epoch: 1,
		Prev: uint64(n - 1), Last: uint64(n)}}
	ops := []edge.Op{put(fmt.Sprint("w", w), value), put(fmt.Sprint("twin", w), value)}
	ops[0].Seq = uint64(n)
	ops[1].Seq = uint64(n)
	b.Ops = ops
	return b
}

func checkDisk(t *testing.T, disk *vfs.MemFS, promised []int) {
	t.Helper()
	cfg := Config{Dir: "d", FS: disk, MinFree: 1}
	s := open(t, cfg)
	for w, least := range promised {
		if least == 0 {
			continue
		}
		e, err := s.Get(t.Context(), []byte(fmt.Sprint("w", w)), edge.Read{})
		twin, err2 := s.Get(t.Context(), []byte(fmt.Sprint("twin", w)), edge.Read{})
		state, err3 := s.Session(t.Context(), fmt.Sprint("w", w), "q")
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		n := 0
		_, _ = fmt.Sscan(string(e.Value), &n)
		if n < least || string(twin.Value) != string(e.Value) || state.Mark != uint64(n) {
			t.Fatalf("%d was shown; the disk has %s, %s and mark %d", least, e.Value, twin.Value, state.Mark)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// TestBufferCorruptServiceWillNotStart: the write-ahead log cut at any byte opens, with a prefix of what was
// written.
func TestBufferCorruptServiceWillNotStart(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, Config{Dir: "d", FS: mem, MinFree: 1})
	const batches = 20
	for n := 1; n <= batches; n++ {
		if _, err := s.Apply(t.Context(), deviceBatch(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	name, content := newestLog(t, disk)
	last := 0
	for cut := 0; cut <= len(content); cut += 7 {
		copied := disk.CrashClone(vfs.CrashCloneCfg{})
		overwrite(t, copied, name, content[:cut])
		n := opensWith(t, copied)
		if n < last || n > batches {
			t.Fatalf("cut at byte %d of %d it holds %d batches, cut earlier %d", cut, len(content), n, last)
		}
		last = n
	}
}

// opensWith returns how many batches a disk holds.
func opensWith(t *testing.T, disk vfs.FS) (n int) {
	t.Helper()
	s, err := Open(Config{Dir: "d", FS: disk, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Get(t.Context(), []byte("w0"), edge.Read{})
	if err == nil {
		_, _ = fmt.Sscan(string(e.Value), &n)
	}
	if state, err := s.Session(t.Context(), "w0", "q"); n > 0 && (err != nil || state.Mark != uint64(n)) {
		t.Fatalf("mark %+v, %v beside value %d", state, err, n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func newestLog(t *testing.T, fs vfs.FS) (name string, content []byte) {
	t.Helper()
	names, err := fs.List("d")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") && n > name {
			name = n
		}
	}
	f, err := fs.Open(filepath.Join("d", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if content, err = io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	return name, content
}

func overwrite(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(filepath.Join("d", name), vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
