package store

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
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

// threadTime is the CPU time of this thread, in nanoseconds.
func threadTime(b *testing.B) int64 {
	b.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return ts.Nano()
}

// watch collects how much CPU time calls take, in milliseconds.
type watch struct{ took []float64 }

func (w *watch) time(b *testing.B, call func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime(b)
	call()
	w.took = append(w.took, float64(threadTime(b)-start)/1e6)
}

func (w *watch) longest() float64 { return slices.Max(w.took) }

func (w *watch) median() float64 {
	sorted := slices.Sorted(slices.Values(w.took))
	return sorted[len(sorted)/2]
}
