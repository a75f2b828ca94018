package daemon

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"metronome/system/replica"
	"metronome/system/store"
)

// applier runs batches on threads of their own, one a CPU, while the loop goes on with the next
// round. The first thread prepares and finishes; all of them execute their part of the keys.
type applier struct {
	wake  func()
	batch chan *replica.Work
	parts []chan *store.Store
	group sync.WaitGroup // of parts under way
	done  atomic.Pointer[replica.Work]
	ends  sync.WaitGroup
}

func newApplier(cpus []int, wake func()) *applier {
	a := &applier{wake: wake, batch: make(chan *replica.Work, 1)}
	for i := range cpus {
		if i > 0 {
			a.parts = append(a.parts, make(chan *store.Store, 1))
		}
	}
	a.ends.Go(func() {
		pinned(&cpus[0])
		for w := range a.batch {
			w.Run()
			a.done.Store(w)
			a.wake()
		}
		for _, c := range a.parts {
			close(c)
		}
	})
	for i, c := range a.parts {
		a.ends.Go(func() {
			pinned(&cpus[i+1])
			for s := range c {
				s.Execute(i + 1)
				a.group.Done()
			}
		})
	}
	return a
}

// pinned pins the calling goroutine; where that is not allowed it runs wherever the kernel likes.
func pinned(cpu *int) {
	if err := pin(cpu); err != nil {
		slog.Warn("apply core is not pinned", "error", err)
	}
}

// parallel executes all parts and returns when they are done.
func (a *applier) parallel(s *store.Store) {
	a.group.Add(len(a.parts))
	for _, c := range a.parts {
		c <- s
	}
	s.Execute(0)
	a.group.Wait()
}

// ready reports whether a batch waits to be taken back.
func (a *applier) ready() bool { return a != nil && a.done.Load() != nil }

// pump takes back a batch that is done and hands out the next; it returns how many moved.
func (a *applier) pump(core *replica.Replica, send func()) (n int) {
	if w := a.done.Swap(nil); w != nil {
		core.Done(w)
		send()
		n++
	}
	if w := core.Work(); w != nil {
		a.batch <- w
		n++
	}
	return n
}

func (a *applier) close() {
	if a != nil {
		close(a.batch)
		a.ends.Wait()
	}
}
