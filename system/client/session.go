package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Session executes each of its writes at most once, and sends it again, through another proxy if need
// be, until it is answered or its context ends. Its methods may be called from any goroutine. It lives
// in the store, as long as it is used now and then; [ErrSessionLost] says that it has ended.
type Session struct {
	Writes // each executed at most once
	client *Client
	id     uint64

	mu       sync.Mutex
	next     uint64 // the number to give
	low      uint64 // every number below is settled
	open     map[uint64]bool
	advanced chan struct{} // closed, and made anew, when low rises
}

// OpenSession opens a session.
func (c *Client) OpenSession(ctx context.Context) (*Session, error) {
	cmd := newCommand("$10\r\nMT.SESSION\r\n").key("OPEN")
	cmd.read = true // a session that nobody knows of harms nobody
	id, err := run(ctx, c, op[int64]{cmd, decodeNumber})
	if err != nil {
		return nil, err
	}
	return c.ResumeSession(uint64(id), 1, 1), nil
}

// ResumeSession goes on with a session that was opened before, by this process or another: next is the
// number of the next write, low the lowest number whose answer is still of interest. It asks nobody:
// that the session has ended the first write says.
//
// Whoever keeps id and numbers safely, like a queue on a device or a row in this store, continues exactly
// once after a restart and elsewhere: a write sent again under its number is not executed again, but
// answered as it was the first time, whatever it says now. Numbers below low are refused from then on
// (R24), to everybody: that is what fences an older holder of the session.
func (c *Client) ResumeSession(id, next, low uint64) *Session {
	s := &Session{client: c, id: id, next: max(next, 1), low: min(max(low, 1), max(next, 1)),
		open: make(map[uint64]bool), advanced: make(chan struct{})}
	s.Writes = Writes{s}
	return s
}

// Numbers are the next write's number and the low mark, to be kept for [Client.ResumeSession].
func (s *Session) Numbers() (next, low uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next, s.low
}

// ID is the session's number in the store.
func (s *Session) ID() uint64 { return s.id }

// begin takes a number, once it is close enough above the oldest unsettled one.
func (s *Session) begin(ctx context.Context) (uint64, error) {
	for {
		s.mu.Lock()
		if s.next-s.low < uint64(s.client.config.SessionWindow) {
			number := s.next
			s.next++
			s.open[number] = true
			s.mu.Unlock()
			return number, nil
		}
		advanced := s.advanced
		s.mu.Unlock()
		select {
		case <-advanced:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// settle ends a number: it has been answered, or is given up. Once the low mark has passed it the store
// will not execute it any more.
func (s *Session) settle(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, number)
	before := s.low
	for s.low < s.next && !s.open[s.low] {
		s.low++
	}
	if s.low != before {
		close(s.advanced)
		s.advanced = make(chan struct{})
	}
}

func (s *Session) lowMark() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.low
}

// do sends a write until it is answered.
func (s *Session) do(ctx context.Context, cmd *command) (reply, error) {
	number, err := s.begin(ctx)
	if err != nil {
		return reply{}, notExecuted(err, err)
	}
	defer s.settle(number)
	maybe := false // an earlier sending may have been executed
	for pause := time.Duration(0); ; {
		answer, fate, err := s.once(ctx, number, cmd)
		switch {
		case fate == answered:
			return answer, nil
		case fate == failed && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrUnavailable):
			return reply{}, s.verdict(maybe, err)
		case fate == lost:
			maybe = true
		}
		if why := s.client.over(ctx); why != nil {
			return reply{}, s.verdict(maybe, notExecuted(why, err))
		}
		pause = s.client.longer(pause)
		s.client.sleep(ctx, pause)
	}
}

// once sends a write under its number.
func (s *Session) once(ctx context.Context, number uint64, cmd *command) (reply, fate, error) {
	wrapped := newCommand("$5\r\nMT.DO\r\n").unsigned(s.id).unsigned(number).unsigned(s.lowMark())
	defer wrapped.free()
	wrapped.words += cmd.words
	wrapped.body = append(wrapped.body, cmd.body...)
	return s.client.try(ctx, wrapped)
}

// verdict is the error of a write that has failed: unknown if an earlier sending may have been executed
// and the failure does not tell. An ERR does tell: the store repeats what it answered, and what a proxy
// refuses it would have refused before.
func (s *Session) verdict(maybe bool, err error) error {
	var refused *ServerError
	tells := errors.As(err, &refused) && strings.HasPrefix(refused.Message, "ERR ")
	if !maybe || tells || errors.Is(err, ErrResultGone) {
		return err
	}
	return &OutcomeUnknown{Cause: fmt.Errorf("session %d: %w", s.id, err)}
}
