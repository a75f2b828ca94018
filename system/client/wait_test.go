package client_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

// patient is a context for what must happen, however slow the machine.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// expiring is a context whose time is up once something is so, rather than at some time at which a slow
// machine may not have come to it.
type expiring struct {
	context.Context
	done chan struct{}
}

func (e expiring) Done() <-chan struct{} { return e.done }

func (e expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// until is such a context.
func until(t testing.TB, ok func() bool) context.Context {
	e := expiring{context.Background(), make(chan struct{})}
	var polls sync.WaitGroup
	polls.Go(func() {
		defer close(e.done)
		for end := time.Now().Add(patience); !ok() && time.Now().Before(end) && t.Context().Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	})
	t.Cleanup(polls.Wait)
	return e
}
