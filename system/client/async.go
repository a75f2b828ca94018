package client

import (
	"context"
	"sync"
)

// async is a call whose answer goes to a function.
type async struct {
	call
	client *Client
	link   *link
	tell   func(error)
}

var asyncs = sync.Pool{New: func() any { return new(async) }}

// PutAsync sets a key without waiting for the answer, which done gets, from another goroutine; done must
// not block, and must not call the client. It waits only while Config.Window is exhausted, or while there
// is no connection, until ctx ends. If it returns an error, nothing was sent and done is not called.
func (c *Client) PutAsync(ctx context.Context, key string, value []byte, done func(error)) error {
	cmd := newCommand("$3\r\nSET\r\n").key(key).value(value)
	defer cmd.free()
	if err := c.gate.enter(ctx, len(cmd.body)); err != nil {
		return notExecuted(err, err)
	}
	a := asyncs.Get().(*async)
	if a.done == nil {
		a.done = func(*call) { a.finish() }
	}
	a.client, a.tell, a.size, a.sent, a.err, a.reply = c, done, len(cmd.body), false, nil, reply{}
	for {
		l, err := c.acquire(ctx, false)
		if err != nil {
			c.gate.leave(1, a.size)
			return err
		}
		a.link = l
		if l.send(&a.call, cmd) == nil {
			return nil
		}
	}
}

func (a *async) finish() {
	c, tell := a.client, a.tell
	_, fate, err := c.judge(a.link, &a.call)
	switch fate {
	case lost:
		err = &OutcomeUnknown{Cause: err}
	case unsent:
		err = notExecuted(err, err)
	}
	a.client, a.link, a.tell = nil, nil, nil
	asyncs.Put(a)
	tell(err)
}
