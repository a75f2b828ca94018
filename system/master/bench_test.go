package master_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/system/edge"
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

// BenchmarkRestore compares a verified restore at the edge, over HTTPS, with a plain copy of what
// came out of it.
func BenchmarkRestore(b *testing.B) {
	w := newWorld(b)
	h := w.join("hallway").open()
	const mib = 256
	h.fill(b, mib)
	begin := time.Now()
	h.begin()
	h.safe()
	b.ReportMetric(mib/time.Since(begin).Seconds(), "upload-MiB/s")
	var restore, plain time.Duration
	var bytes int64
	for b.Loop() {
		begin := time.Now()
		_, dir, err := h.restored(vault.Target{})
		if err != nil {
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
