package stream

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"metronome/system/wire"
)

// echoing is a pair of which the second returns every urgent message to the first, and what the
// first receives.
func echoing(t testing.TB) (a *node, back chan struct{}) {
	t.Helper()
	c := dev(t, 2)
	back = make(chan struct{}, 1)
	a = start(t, c, r0, func(c *Config) { c.Message = func(wire.Peer, []byte) { back <- struct{}{} } })
	var b *node
	ready := make(chan struct{})
	b = start(t, c, r1, func(c *Config) {
		c.Message = func(from wire.Peer, msg []byte) {
			<-ready
			if msg[0] == 0 {
				b.Send(from, msg, false)
			}
		}
	})
	close(ready)
	wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
	return a, back
}

// BenchmarkPingPong is a message there and back.
func BenchmarkPingPong(b *testing.B) {
	a, back := echoing(b)
	m := make([]byte, 64)
	for b.Loop() {
		a.Send(r1, m, false)
		<-back
	}
}

// BenchmarkPingPongUnderBulk is the same while the connection carries all the bulk it can. Halves
// of round trips are reported, sorted.
func BenchmarkPingPongUnderBulk(b *testing.B) {
	a, back := echoing(b)
	stop := make(chan struct{})
	done := make(chan uint64)
	go func() {
		chunk := make([]byte, 256<<10)
		chunk[0] = 1
		sent := uint64(0)
		for {
			select {
			case <-stop:
				done <- sent
				return
			default:
			}
			if a.stats(r1).Queued < 1<<20 && a.Send(r1, chunk, true) {
				sent += uint64(len(chunk))
			} else {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	m := make([]byte, 64)
	var took []time.Duration
	began := time.Now()
	for b.Loop() {
		at := time.Now()
		a.Send(r1, m, false)
		<-back
		took = append(took, time.Since(at))
		time.Sleep(time.Millisecond)
	}
	close(stop)
	sent := <-done
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(sent)/1e6/time.Since(began).Seconds(), "bulk-MB/s")
}

// BenchmarkOneWay is messages of 64 bytes, as many as go through.
func BenchmarkOneWay(b *testing.B) {
	c := dev(b, 2)
	got := make(chan struct{}, 1)
	start(b, c, r1, func(c *Config) {
		c.Message = func(_ wire.Peer, m []byte) {
			if binary.LittleEndian.Uint64(m) == 1 {
				got <- struct{}{}
			}
		}
	})
	a := start(b, c, r0)
	wait(b, "connection", func() bool { return a.Up(r1) })
	m := make([]byte, 64)
	b.SetBytes(64)
	for b.Loop() {
		for !a.Send(r1, m, false) {
			time.Sleep(10 * time.Microsecond)
		}
	}
	binary.LittleEndian.PutUint64(m, 1)
	for !a.Send(r1, m, false) {
		time.Sleep(10 * time.Microsecond)
	}
	<-got
}
