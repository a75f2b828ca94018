// Package resptest puts the state machine right behind the Redis protocol, in one process, for
// tests of the protocol and of clients: items are executed as replicas execute them, in the order
// in which they are submitted. There is no replication, no ordering and no bound. It is imported by
// tests only.
package resptest

import (
	"bytes"
	"fmt"
	"sync"

	"metronome/system/proxy/resp"
	"metronome/system/store"
	"metronome/system/wire"
)

// Store is a [resp.Backend]. Its hooks are set before the first use, and called under its lock.
type Store struct {
	// Answer, if set, sees every op before it is executed; if it returns false the op is not executed
	// and the result is the answer.
	Answer func(op *resp.Op) (wire.Result, bool)
	// After, if set, sees every op executed and may change its answer.
	After func(op *resp.Op, r *wire.Result)
	// Defer, if set, gets each batch of answers to deliver later; else they are delivered at once. It
	// is called without the lock.
	Defer func(deliver func())

	mu       sync.Mutex
	machine  *store.Store
	barriers int
}

// New makes an empty store.
func New() *Store {
	machine, err := store.New(store.Config{Parts: 1})
	if err != nil {
		panic(fmt.Sprintf("resptest: a store with default bounds: %v", err))
	}
	return &Store{machine: machine}
}

// Barriers is how many ops came as barrier reads.
func (s *Store) Barriers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barriers
}

// Submit executes and answers.
func (s *Store) Submit(_ uint64, ops []resp.Op, c resp.Completer) {
	done := make([]resp.Done, len(ops))
	s.mu.Lock()
	for i := range ops {
		done[i] = resp.Done{Tag: ops[i].Tag, Result: s.one(&ops[i])}
	}
	s.mu.Unlock()
	if s.Defer != nil {
		s.Defer(func() { c.Complete(done) })
		return
	}
	c.Complete(done)
}

func (s *Store) one(op *resp.Op) wire.Result {
	if op.Barrier {
		s.barriers++
	}
	if s.Answer != nil {
		if r, execute := s.Answer(op); !execute {
			return r
		}
	}
	r := s.execute(&op.Item)
	if s.After != nil {
		s.After(op, &r)
	}
	return r
}

// execute applies one item, at an index of its own.
func (s *Store) execute(it *wire.Item) wire.Result {
	payloads, err := frames(it)
	if err != nil {
		panic(fmt.Sprintf("resptest: an item that no receiver would accept: %v", err))
	}
	answers := s.machine.Apply(&store.Batch{Index: s.machine.Index() + 1, Time: 1,
		Spans: []store.Span{{Payloads: payloads, Answer: true}}})
	if len(answers) == 0 { // a blind put
		return wire.Result{Revision: s.machine.Index()}
	}
	r := answers[0].Result
	r.Value = bytes.Clone(r.Value)
	return r
}

const frameRoom = 1300 // bytes of payload of a frame

// frames cuts an item up as a proxy does.
func frames(it *wire.Item) (payloads [][]byte, err error) {
	if it.Size() <= frameRoom {
		b, err := wire.AppendItem(nil, it)
		return [][]byte{b}, err
	}
	for at := 0; at < len(it.Value); {
		part, err := wire.NextFragment(it, at, frameRoom)
		if err != nil {
			return nil, err
		}
		b, err := wire.AppendItem(nil, &part)
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, b)
		at += len(part.Value)
	}
	return payloads, nil
}
