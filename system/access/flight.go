package access

import (
	"context"
	"sync"
)

// flights makes requests that bring the same credentials at the same time wait for one check.
type flights struct {
	mu   sync.Mutex
	open map[cacheKey]*flight
}

type flight struct {
	done chan struct{}
	out  outcome
}

// outcome is how a check ended.
type outcome uint8

const (
	turnedAway outcome = iota // not checked: no room
	limited                   // not checked: too many failures before
	wrong
	right
)

// do runs check, or waits for the run of another request with the same key.
func (f *flights) do(ctx context.Context, key cacheKey, check func() outcome) (out outcome, shared bool) {
	f.mu.Lock()
	if c := f.open[key]; c != nil {
		f.mu.Unlock()
		select {
		case <-c.done:
			return c.out, true
		case <-ctx.Done():
			return turnedAway, true
		}
	}
	c := &flight{done: make(chan struct{})}
	f.open[key] = c
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.open, key)
		f.mu.Unlock()
		close(c.done)
	}()
	c.out = check()
	return c.out, false
}
