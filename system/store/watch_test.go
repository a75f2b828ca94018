package store

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// ticking reports the CPU time an operation takes on this thread, which a busy machine distorts less
// than elapsed time. Call what it returns at the end.
func ticking(b *testing.B) (stop func()) {
	b.Helper()
	runtime.LockOSThread()
	start := threadTime(b)
	return func() {
		b.ReportMetric(float64(threadTime(b)-start)/float64(b.N), "cpu-ns/op")
		runtime.UnlockOSThread()
	}
}

func threadTime(b *testing.B) int64 {
	b.Helper()
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// watch collects how long calls take, in milliseconds.
type watch struct{ took []float64 }

func (w *watch) time(b *testing.B, call func()) {
	b.Helper()
	start := time.Now()
	call()
	w.took = append(w.took, float64(time.Since(start).Microseconds())/1000)
}

func (w *watch) longest() float64 { return slices.Max(w.took) }

func (w *watch) median() float64 {
	sorted := slices.Sorted(slices.Values(w.took))
	return sorted[len(sorted)/2]
}
