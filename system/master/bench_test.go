package master_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/system/disk"
	"metronome/system/edge"
	"metronome/system/master"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

// fill writes values that cannot be compressed.
func (h *home) fill(b *testing.B, mib int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 64<<10)
	for i := range mib * 16 {
		for k := range value {
			value[k] = byte(rng.Uint32())
		}
		op := edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "v%06d", i), Value: value}
		if _, err := h.store.Apply(b.Context(), &edge.Batch{Ops: []edge.Op{op}}); err != nil {
			b.Fatal(err)
		}
	}
}

// copied is what cp -r and a sync of each file take.
func copied(b *testing.B, from string) (took time.Duration, bytes int64) {
	b.Helper()
	to, begin := b.TempDir(), time.Now()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		out, err := os.Create(filepath.Join(to, strings.ReplaceAll(d.Name(), "/", "_")))
		if err != nil {
			return err
		}
		defer func() { _ = out.Close() }()
		n, err := io.Copy(out, in)
		bytes += n
		if err == nil {
			err = out.Sync()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(begin), bytes
}

// BenchmarkRestore compares a verified restore, at the edge over HTTPS and at the master, with a
// plain copy of what came out of it.
func BenchmarkRestore(b *testing.B) {
	w := newWorld(b)
	h := w.join("hallway").open()
	const mib = 256
	h.fill(b, mib)
	begin := time.Now()
	h.begin()
	h.safe()
	b.Logf("uploaded at %.0f MiB/s", mib/time.Since(begin).Seconds())
	d, err := master.Directories(disk.OS(), filepath.Join(w.cfg.Dir, "vault"))(b.Context(), h.name)
	if err != nil {
		b.Fatal(err)
	}
	v, err := vault.Open(b.Context(), d, h.cfg.Key, vault.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("at-the-edge", func(b *testing.B) {
		compare(b, func(dir string) error {
			_, err := ship.Restore(b.Context(), h.member, ship.Client(h.keeper),
				vault.Restoration{Dir: dir, Log: quiet()})
			return err
		})
	})
	b.Run("at-the-master", func(b *testing.B) {
		compare(b, func(dir string) error {
			_, err := v.Restore(b.Context(), vault.Restoration{Dir: dir, Log: quiet(),
				Epoch: func(_ context.Context, above uint16) (uint16, error) { return above + 1, nil }})
			return err
		})
	})
}

// compare restores and copies in turn.
func compare(b *testing.B, restored func(dir string) error) {
	b.Helper()
	var restore, plain time.Duration
	var bytes int64
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "to")
		begin := time.Now()
		if err := restored(dir); err != nil {
			b.Fatal(err)
		}
		restore += time.Since(begin)
		took, n := copied(b, dir)
		plain, bytes = plain+took, bytes+n
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes>>20)/restore.Seconds(), "restore-MiB/s")
	b.ReportMetric(float64(bytes>>20)/plain.Seconds(), "copy-MiB/s")
	b.ReportMetric(plain.Seconds()/restore.Seconds(), "of-a-copy")
}

// BenchmarkShippingCost is how fast an edge takes batches of 256 operations, with and without a
// master that takes everything every second.
func BenchmarkShippingCost(b *testing.B) {
	for _, shipped := range []bool{false, true} {
		b.Run(fmt.Sprint("shipped=", shipped), func(b *testing.B) {
			w := newWorld(b)
			h := w.join("hallway").open()
			if shipped {
				h.begin(everySecond)
				h.safe()
			}
			batch := &edge.Batch{}
			for i := range 256 {
				batch.Ops = append(batch.Ops, edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "k%d", i),
					Value: []byte("21.5 degrees")})
			}
			for b.Loop() {
				if _, err := h.store.Apply(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
