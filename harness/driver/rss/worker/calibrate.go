package worker

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Calibration is what the model of the intake needs of this machine. Times are ns a frame.
type Calibration struct {
	Cores    []float64 `json:"cores"`    // numbers of cores at work at once, from 1 to those there are
	Rates    []float64 `json:"rates"`    // frames/s of their CPU time, all together
	Again    []float64 `json:"again"`    // the same, measured a second time
	Pipeline float64   `json:"pipeline"` // one core alone
	Hand     float64   `json:"hand"`
	Take     float64   `json:"take"`
	Memory   float64   `json:"memory"` // bytes/s read and written by all cores copying
}

// calibrate takes about d for each point.
func (s *Setup) calibrate(d time.Duration) (c Calibration, err error) {
	for n := 1; n <= min(runtime.NumCPU(), maxCores); n++ {
		c.Cores = append(c.Cores, float64(n))
	}
	for _, to := range []*[]float64{&c.Rates, &c.Again} {
		for _, n := range c.Cores {
			rate, err := s.replayRate(int(n), d)
			if err != nil {
				return c, err
			}
			*to = append(*to, rate)
		}
	}
	c.Pipeline = 1e9 / c.Rates[0]
	if c.Hand, c.Take, err = s.handOver(d); err != nil {
		return c, err
	}
	c.Memory = copyRate(runtime.NumCPU(), d)
	return c, nil
}

// leastPasses is how often each core works through its frames at least, however busy the machine is.
const leastPasses = 3

// replayRate is how many frames n cores at once take in, a second of their CPU time. Each goes on until d
// is over and all have had their turn.
func (s *Setup) replayRate(n int, d time.Duration) (float64, error) {
	rates, errs := make([]float64, n), make([]error, n)
	var all sync.WaitGroup
	var ready atomic.Int64
	begun := time.Now()
	enough := func() bool { return ready.Load() >= int64(n) && time.Since(begun) >= d }
	for i := range n {
		all.Go(func() {
			rates[i], errs[i] = s.replayUntil(i, &ready, enough)
			if errs[i] != nil {
				ready.Add(int64(n)) // nobody waits for this one
			}
		})
	}
	all.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum, errors.Join(errs...)
}

func (s *Setup) replayUntil(index int, ready *atomic.Int64, enough func() bool) (float64, error) {
	runtime.LockOSThread() // and never unlocked: its affinity is nobody else's
	if err := pin(index % runtime.NumCPU()); err != nil {
		return 0, err
	}
	r, err := s.replaying(index)
	if err != nil {
		return 0, err
	}
	for passes := 1; passes <= leastPasses || !enough(); passes++ {
		if _, err := r.poll(); err != nil {
			return 0, err
		}
		if passes == leastPasses {
			ready.Add(1)
		}
	}
	var c Core
	r.read(&c)
	return float64(c.Frames) / float64(max(r.cpu(), 1)) * 1e9, nil
}

// handOver measures both ends of a ring on one thread: what it costs, without the cache misses between
// two cores.
func (s *Setup) handOver(d time.Duration) (hand, take float64, err error) {
	port, err := s.newReplay()
	if err != nil {
		return 0, 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, burst := newRing(), make([][]byte, s.Burst)
	var frames, in, out int64
	rings := []*ring{r}
	h := s.handing(port, rings)
	for until := threadCPU() + int64(d); threadCPU() < until; {
		if port.next+ringSlots > len(port.frames) {
			port.next = 0
		}
		before := threadCPU()
		for range ringSlots / s.Burst {
			n, err := h.poll()
			if err != nil {
				return 0, 0, err
			}
			frames += int64(n)
		}
		in += threadCPU() - before
		before = threadCPU()
		for n := 1; n > 0; {
			if n, err = r.Recv(burst); err != nil {
				return 0, 0, err
			}
		}
		out += threadCPU() - before
	}
	return float64(in) / float64(max(frames, 1)), float64(out) / float64(max(frames, 1)), nil
}

// copyBytes is more than a core's share of the outer cache.
const copyBytes = 32 << 20

// copyRate is how many bytes n threads at once read and write by copying, a second of their CPU time.
func copyRate(n int, d time.Duration) float64 {
	rates := make([]float64, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			src, dst := make([]byte, copyBytes), make([]byte, copyBytes)
			copy(dst, src) // the kernel gives the memory now
			copy(src, dst)
			begun, copied := threadCPU(), 0
			for threadCPU()-begun < int64(d) {
				copied += 2 * copy(dst, src)
			}
			rates[i] = float64(copied) / float64(threadCPU()-begun) * 1e9
		})
	}
	all.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum
}
