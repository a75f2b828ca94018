package stream

import (
	"syscall"
	"testing"
	"time"

	"metronome/system/wire"
)

// cpu is what this process has used, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // of this process: it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBulk is the way of a snapshot from one inbox to the other: what both ends together cost.
func BenchmarkBulk(b *testing.B) {
	c := dev(b, 2)
	const size = 256 << 10
	var in *Inbox
	arrived := make(chan struct{}, 1)
	in = NewInbox(64<<20, func() {
		select {
		case arrived <- struct{}{}:
		default:
		}
	})
	start(b, c, r1, func(c *Config) { c.Message, c.Given = in.Put, in.Give })
	a := start(b, c, r0)
	wait(b, "connection", func() bool { return a.Up(r1) })
	const ahead = 8
	slots := make(chan struct{}, ahead)
	go func() {
		var kept [][]byte
		for range arrived {
			in.Drain(func(_ wire.Peer, m []byte, given bool) {
				if !given {
					b.Error("a piece was copied")
				}
				kept = append(kept, m)
				if len(kept) == 64 {
					kept = nil
				}
				<-slots
			})
		}
	}()
	source := make([]byte, 64<<20)
	began, at := cpu(), 0
	for b.Loop() {
		slots <- struct{}{}
		m := append(make([]byte, 0, size), source[at:at+size]...)
		at = (at + size) % len(source)
		for !a.Give(r1, m) {
			time.Sleep(10 * time.Microsecond)
		}
		a.Flush(r1)
	}
	for range ahead {
		slots <- struct{}{}
	}
	b.ReportMetric(float64((cpu()-began).Microseconds())/1e3/(float64(b.N)*size/(1<<20)), "cpu-ms/MiB")
	close(arrived)
}
