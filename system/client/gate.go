package client

import (
	"context"
	"sync"
)

// gate bounds what is outstanding, in commands and bytes. Whoever does not fit waits.
type gate struct {
	mu              sync.Mutex
	room            sync.Cond
	calls, bytes    int // outstanding
	maxCalls, limit int // of calls, of bytes
	closed          bool
}

func newGate(calls, bytes int) *gate {
	g := &gate{maxCalls: calls, limit: bytes}
	g.room.L = &g.mu
	return g
}

// enter waits for room for a command of n bytes. A command larger than the bound enters alone.
func (g *gate) enter(ctx context.Context, n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.fits(n) {
		stop := context.AfterFunc(ctx, func() {
			g.mu.Lock() // whoever looks at ctx just now is to wait before he is woken
			defer g.mu.Unlock()
			g.room.Broadcast()
		})
		defer stop()
	}
	for !g.fits(n) && ctx.Err() == nil && !g.closed {
		g.room.Wait()
	}
	switch {
	case g.closed:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	g.calls++
	g.bytes += n
	return nil
}

func (g *gate) fits(n int) bool {
	return g.calls < g.maxCalls && (g.bytes == 0 || g.bytes+n <= g.limit)
}

func (g *gate) leave(calls, bytes int) {
	g.mu.Lock()
	g.calls -= calls
	g.bytes -= bytes
	g.mu.Unlock()
	g.room.Broadcast()
}

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.room.Broadcast()
}
