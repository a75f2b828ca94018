package local

import (
	"context"
	"sync"
	"sync/atomic"
)

// gate is a number that rises, and that one can wait for.
type gate struct {
	at   atomic.Uint64
	mu   sync.Mutex
	next chan struct{} // closed, and made anew, when the number rises
}

func newGate(at uint64) *gate {
	g := &gate{next: make(chan struct{})}
	g.at.Store(at)
	return g
}

func (g *gate) get() uint64 { return g.at.Load() }

func (g *gate) set(n uint64) {
	if n > g.at.Load() {
		g.at.Store(n)
		g.wake()
	}
}

// wake lets everybody look again.
func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.next)
	g.next = make(chan struct{})
}

func (g *gate) risen() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next
}

// wait returns once the number is n or more, or over is true, or ctx ends.
func (g *gate) wait(ctx context.Context, n uint64, over func() error) error {
	for {
		if g.at.Load() >= n {
			return nil
		}
		risen := g.risen()
		if g.at.Load() >= n {
			return nil
		}
		if err := over(); err != nil {
			return err
		}
		select {
		case <-risen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
