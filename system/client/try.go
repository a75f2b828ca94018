package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// fate is what became of a command that was tried once.
type fate uint8

const (
	answered fate = iota
	failed        // the proxy says that it was not executed
	lost          // it was sent, and nobody knows
	unsent        // it never left
)

// waiter is a call that a goroutine waits for.
type waiter struct {
	call
	ready chan struct{}
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{ready: make(chan struct{}, 1)}
	w.done = func(*call) { w.ready <- struct{}{} }
	return w
}}

// try sends a command once and waits for what comes of it.
func (c *Client) try(ctx context.Context, cmd *command) (reply, fate, error) {
	if err := c.gate.enter(ctx, len(cmd.body)); err != nil {
		return reply{}, unsent, err
	}
	w := waiters.Get().(*waiter)
	w.size, w.sent, w.err, w.reply = len(cmd.body), false, nil, reply{}
	l, err := c.queue(ctx, &w.call, cmd)
	if err != nil {
		c.gate.leave(1, w.size)
		waiters.Put(w)
		return reply{}, unsent, err
	}
	select {
	case <-w.ready:
		defer waiters.Put(w)
		return c.judge(l, &w.call)
	case <-ctx.Done(): // the call stays with the link, which will drop its reply
		return reply{}, lost, ctx.Err()
	}
}

// queue hands a call to a connection that takes it.
func (c *Client) queue(ctx context.Context, call *call, cmd *command) (*link, error) {
	for {
		l, err := c.acquire(ctx, false)
		if err != nil {
			return nil, err
		}
		if l.send(call, cmd) == nil {
			return l, nil
		}
	}
}

// judge tells what became of a call that is done.
func (c *Client) judge(l *link, w *call) (reply, fate, error) {
	switch {
	case w.err != nil && w.sent:
		return reply{}, lost, w.err
	case w.err != nil:
		return reply{}, unsent, w.err
	}
	err := w.reply.fault()
	var unknown *OutcomeUnknown
	switch {
	case err == nil:
		return w.reply, answered, nil
	case errors.As(err, &unknown):
		return reply{}, lost, unknown.Cause
	case errors.Is(err, ErrUnavailable):
		c.moveOn(l)
	}
	return reply{}, failed, err
}

// do executes a command outside of any session: a write is sent at most once, a read until its answer
// is not lost.
func (c *Client) do(ctx context.Context, cmd *command) (reply, error) {
	for pause := time.Duration(0); ; {
		answer, fate, err := c.try(ctx, cmd)
		switch {
		case fate == answered || fate == failed:
			return answer, err
		case fate == lost && !cmd.read:
			return reply{}, &OutcomeUnknown{Cause: err}
		}
		if why := c.over(ctx); why != nil {
			return reply{}, notExecuted(why, err)
		}
		pause = c.longer(pause)
		c.sleep(ctx, pause)
	}
}

// notExecuted is the definite error of a command given up because of why, and of what was last in its way.
func notExecuted(why, last error) error {
	switch {
	case errors.Is(why, ErrClosed):
		return ErrClosed
	case errors.Is(last, why) && errors.Is(last, ErrUnavailable):
		return last
	case errors.Is(last, why):
		return fmt.Errorf("%w: %w", ErrUnavailable, last)
	}
	return fmt.Errorf("%w: %w; last, %w", ErrUnavailable, why, last)
}
