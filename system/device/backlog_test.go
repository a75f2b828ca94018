package device

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/device/queue"
)

// The promise is 2147483648 bytes within 5s: make backlog-device.
var (
	backlog = flag.Int64("device.backlog", 32<<20, "bytes of records that TestBacklog recovers from")
	within  = flag.Duration("device.within", 0, "TestBacklog fails if recovery takes longer; 0 = as long as it does")
)

// readerEnv tells this test program to open a store, look at it, and say what that took.
const readerEnv = "METRONOME_DEVICE_READER"

type recovered struct {
	Pending uint64
	Spent   time.Duration
	RSS     int64 // bytes, at most, ever
	Look    time.Duration
}

func beReader(dir string) error {
	d, err := Open(Config{Dir: dir, FreeFloor: 1, MaxBytes: 4 << 30})
	if err != nil {
		return err
	}
	start := time.Now()
	if v, err := d.Get(context.Background(), "home/sensor/0000000001"); err != nil || v.Source != FromQueue {
		return fmt.Errorf("get the oldest: %+v, %w", v, err)
	}
	s := d.Status()
	r := recovered{Pending: s.Pending, Spent: s.Found.Spent, Look: time.Since(start)}
	if r.RSS, err = peakRSS(); err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(os.Stdout).Encode(&r), d.Close())
}

// peakRSS reads VmHWM, which unlike ru_maxrss does not survive exec.
func peakRSS() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, err = fmt.Sscanf(rest, "%d kB", &kib)
	return kib << 10, err
}

// readings are n puts of distinct keys.
func readings(n int64) iter.Seq2[Write, error] {
	value := []byte(strings.Repeat("r", 64))
	return func(yield func(Write, error) bool) {
		for i := range n {
			if !yield(Write{Key: fmt.Sprintf("home/sensor/%010d", i), Value: value}, nil) {
				return
			}
		}
	}
}

// readingSize is about what one of them takes in the queue.
const readingSize = 64 + 22 + 10 + 8

// Anchors §11, 5: "RAM spikes on restart". The whole backlog is of distinct keys, the worst case.
func TestBacklog(t *testing.T) {
	dir := t.TempDir()
	n := *backlog / readingSize
	d, err := Open(Config{Dir: dir, FreeFloor: 1, MaxBytes: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := d.Import(context.Background(), readings(n), false); err != nil {
		t.Fatal(err)
	}
	t.Logf("imported %d operations, %.0f/s", n, float64(n)/time.Since(start).Seconds())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), readerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r recovered
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB: open %v, get of the oldest %v, peak RSS %d MiB, CPU %v", *backlog>>20, r.Spent, r.Look,
		r.RSS>>20, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if r.Pending != uint64(n) {
		t.Fatalf("%d of %d operations recovered", r.Pending, n)
	}
	if *within > 0 && r.Spent >= *within {
		t.Errorf("recovered in %v, promised less than %v", r.Spent, *within)
	}
	if r.RSS >= 64<<20 && !raceEnabled {
		t.Errorf("peak RSS %d MiB, promised less than 64", r.RSS>>20)
	}
}

// BenchmarkPut is one caller that waits for the disk each time.
func BenchmarkPut(b *testing.B) {
	d := benchStore(b)
	value := make([]byte, 64)
	times := make([]time.Duration, 0, 1<<20)
	for b.Loop() {
		start := time.Now()
		if _, err := d.Put(context.Background(), "key", value); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	all := make(chan []time.Duration, 1)
	all <- times
	reportP99(b, all)
}

// BenchmarkPutParallel is 64 callers that share commits; it reports their 99th percentile.
func BenchmarkPutParallel(b *testing.B) {
	d := benchStore(b)
	value := make([]byte, 64)
	times := make(chan []time.Duration, 1024)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		var mine []time.Duration
		for pb.Next() {
			start := time.Now()
			if _, err := d.Put(context.Background(), "key", value); err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, time.Since(start))
		}
		times <- mine
	})
	reportP99(b, times)
}

// BenchmarkImport is the batch import, durable at its end.
func BenchmarkImport(b *testing.B) {
	d := benchStore(b)
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := d.Import(context.Background(), readings(int64(b.N)), false); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func reportP99(b *testing.B, times chan []time.Duration) {
	close(times)
	var all []time.Duration
	for mine := range times {
		all = append(all, mine...)
	}
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	}
}

func benchStore(b *testing.B) *Device {
	d, err := Open(Config{Dir: b.TempDir(), FreeFloor: 1, MaxBytes: 64 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

// BenchmarkGetPending reads a key that waits in the queue.
func BenchmarkGetPending(b *testing.B) {
	d := benchStore(b)
	if _, err := d.Import(context.Background(), readings(100), false); err != nil {
		b.Fatal(err)
	}
	if err := d.Flush(context.Background(), queue.Local); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := d.Get(context.Background(), "home/sensor/0000000050"); err != nil {
			b.Fatal(err)
		}
	}
}
