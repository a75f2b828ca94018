package journal

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"metronome/system/disk"
)

func openBench(b *testing.B, cfg Config) *Journal {
	b.Helper()
	j, _, err := Open(disk.OS(), b.TempDir(), cfg)
	must(b, err)
	return j
}

// BenchmarkAppend appends and writes, and does not sync: what a core pays for a record.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{96, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j := openBench(b, Config{})
			record := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				number, err := j.Append(record)
				must(b, err)
				if number%(1<<20) == 0 {
					must(b, j.Trim(number))
				}
			}
			must(b, j.Close())
		})
	}
}

// BenchmarkSync makes one batch of a size durable.
func BenchmarkSync(b *testing.B) {
	for _, size := range []int{100, 60000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j := openBench(b, Config{SegmentBytes: 8 << 20})
			record := make([]byte, size)
			for b.Loop() {
				number, err := j.Append(record)
				must(b, err)
				must(b, j.Sync())
				must(b, j.Trim(number))
			}
			must(b, j.Close())
		})
	}
}

// BenchmarkWriter has many goroutines append and wait for the disk.
func BenchmarkWriter(b *testing.B) {
	for _, waiting := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			w, err := NewWriter(openBench(b, Config{}), WriterConfig{})
			must(b, err)
			var all sync.WaitGroup
			for g := range waiting {
				all.Go(func() {
					record := make([]byte, 96)
					for i := g; i < b.N; i += waiting {
						if err := w.Wait(context.Background(), put(b, w, record)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(w.Stats().Journal.Syncs)/float64(b.N), "syncs/op")
			must(b, w.Close())
		})
	}
}

// BenchmarkOpen verifies and reads a journal of 256 MiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j, _, err := Open(disk.OS(), dir, Config{})
	must(b, err)
	for range 1 << 20 {
		_, err := j.Append(make([]byte, 248))
		must(b, err)
	}
	must(b, j.Close())
	b.SetBytes(256 << 20)
	for b.Loop() {
		records := 0
		j, _, err := Open(disk.OS(), dir, Config{Visit: func(uint64, []byte) { records++ }})
		must(b, err)
		if records != 1<<20 {
			b.Fatal(records)
		}
		must(b, j.Close())
	}
}
