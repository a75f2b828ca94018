package client

import (
	"context"
	"errors"
	"sync"
)

// Future is what a command of a [Pipeline] will have answered.
type Future[T any] struct {
	value T
	err   error
}

var errNotExecuted = errors.New("client: the pipeline has not been executed")

// Result returns the answer; to be called after [Pipeline.Exec] only.
func (f *Future[T]) Result() (T, error) { return f.value, f.err }

// Pipeline collects commands and sends them together, on one connection, to be executed in their order;
// others' commands may be executed in between. It is for one goroutine.
type Pipeline struct {
	client *Client
	steps  []step
}

type step struct {
	cmd    *command
	settle func(*reply, error)
}

// Pipeline starts an empty one.
func (c *Client) Pipeline() *Pipeline { return &Pipeline{client: c} }

func enqueue[T any](p *Pipeline, o op[T]) *Future[T] {
	f := &Future[T]{err: errNotExecuted}
	p.steps = append(p.steps, step{o.cmd, func(r *reply, err error) {
		if f.err = err; err == nil {
			f.value, f.err = o.decode(r)
		}
	}})
	return f
}

// Put queues [Writes.Put].
func (p *Pipeline) Put(key string, value []byte) *Future[struct{}] {
	return enqueue(p, opPut(key, value))
}

// Get queues [Client.Get].
func (p *Pipeline) Get(key string) *Future[Entry] { return enqueue(p, opGet(key)) }

// Delete queues [Writes.Delete] of one key.
func (p *Pipeline) Delete(key string) *Future[int64] { return enqueue(p, opDelete([]string{key})) }

// CAS queues [Writes.CAS].
func (p *Pipeline) CAS(key string, revision uint64, value []byte) *Future[uint64] {
	return enqueue(p, opCAS(key, revision, value))
}

// Incr queues [Writes.Incr].
func (p *Pipeline) Incr(key string, delta int64) *Future[int64] {
	return enqueue(p, opIncr(key, delta))
}

// Append queues [Writes.Append].
func (p *Pipeline) Append(key string, value []byte) *Future[int64] {
	return enqueue(p, opAppend(key, value))
}

// Len is how many commands are queued.
func (p *Pipeline) Len() int { return len(p.steps) }

// Exec sends what is queued, waits for all answers, and empties the pipeline. It returns the first error
// of the connection or the context; each Future has its own. Nothing is sent twice: after a failure
// reads too end with an error.
func (p *Pipeline) Exec(ctx context.Context) error {
	steps := p.steps
	p.steps = nil
	calls := make([]stepCall, len(steps))
	var all sync.WaitGroup
	l, err := p.client.acquire(ctx, false)
	for i := range steps {
		if err == nil {
			err = calls[i].start(ctx, p.client, l, steps[i].cmd, &all)
		}
		calls[i].refused = err
	}
	answered := make(chan struct{})
	go func() {
		all.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
	}
	return settle(ctx, p.client, l, steps, calls)
}

// stepCall is a step on its way.
type stepCall struct {
	call
	mu      sync.Mutex
	over    bool  // it has been answered
	refused error // it never left
}

func (s *stepCall) start(ctx context.Context, c *Client, l *link, cmd *command, all *sync.WaitGroup) error {
	s.size = len(cmd.body)
	if err := c.gate.enter(ctx, s.size); err != nil {
		return notExecuted(err, err)
	}
	all.Add(1)
	s.done = func(*call) {
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
		all.Done()
	}
	if err := l.send(&s.call, cmd); err != nil {
		c.gate.leave(1, s.size)
		all.Done()
		return notExecuted(err, err)
	}
	return nil
}

// settle gives every future its answer, and returns the first error that is not a proxy's answer.
func settle(ctx context.Context, c *Client, l *link, steps []step, calls []stepCall) (first error) {
	for i := range steps {
		answer, fate, err := calls[i].outcome(ctx, c, l, steps[i].cmd.read)
		steps[i].settle(&answer, err)
		steps[i].cmd.free()
		if first == nil && fate >= lost {
			first = err
		}
	}
	return first
}

// outcome is what became of a step.
func (s *stepCall) outcome(ctx context.Context, c *Client, l *link, read bool) (reply, fate, error) {
	if s.refused != nil {
		return reply{}, unsent, s.refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, fate, err := reply{}, lost, ctx.Err()
	if s.over {
		answer, fate, err = c.judge(l, &s.call)
	}
	switch {
	case fate == lost && !read:
		err = &OutcomeUnknown{Cause: err}
	case fate >= lost:
		err = notExecuted(err, err)
	}
	return answer, fate, err
}
