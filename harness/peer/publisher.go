package peer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"metronome/harness/load/kv"
)

// publisher is an asynchronous publisher, as the client library's own, without a future an
// operation: one subscription takes all acknowledgements, and the reply subject says which batch one
// is for.
type publisher struct {
	nc      *nats.Conn
	inbox   string // prefix of the reply subjects
	subject string
	keys    bool // the key belongs to the subject
	batches uint64

	mu      sync.Mutex
	slots   []slot
	free    []int
	scratch []byte // Send's
}

// slot is a batch in flight.
type slot struct {
	batch *kv.Batch
	left  int // operations whose acknowledgement is to come
	ok    int
	err   error
	reply string
}

var errClosed = errors.New("the connection was closed")

func dialPublisher(url, subject string, keys bool, outstanding int) (*publisher, error) {
	nc, err := nats.Connect(url, nats.NoReconnect())
	if err != nil {
		return nil, err
	}
	p := &publisher{nc: nc, inbox: nats.NewInbox() + ".", subject: subject, keys: keys}
	for i := range outstanding {
		p.slots = append(p.slots, slot{reply: p.inbox + strconv.Itoa(i)})
		p.free = append(p.free, i)
	}
	sub, err := nc.Subscribe(p.inbox+"*", p.acknowledged)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // at most one an operation in flight
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return p, nil
}

// Send implements [kv.Conn].
func (p *publisher) Send(b *kv.Batch) {
	p.mu.Lock()
	i := p.free[len(p.free)-1] // there are as many slots as batches
	p.free = p.free[:len(p.free)-1]
	s := &p.slots[i]
	s.batch, s.left, s.ok, s.err = b, len(b.Ops), 0, nil
	reply := s.reply
	p.mu.Unlock()
	p.batches++
	for k := range b.Ops {
		if err := p.nc.PublishMsg(p.message(b, k, reply)); err != nil {
			p.take(i, len(b.Ops)-k, fmt.Errorf("publish: %w", err))
			return
		}
	}
}

// message is operation k of a batch. A batch of several is published atomically: the server takes
// the whole batch or none of it, and acknowledges the last message (NATS ADR-50).
func (p *publisher) message(b *kv.Batch, k int, reply string) *nats.Msg {
	op := &b.Ops[k]
	m := &nats.Msg{Subject: p.subject, Reply: reply, Data: op.Value}
	if p.keys {
		m.Subject += string(op.Key)
	} else {
		p.scratch = append(append(p.scratch[:0], op.Key...), op.Value...)
		m.Data = p.scratch
	}
	if len(b.Ops) == 1 {
		return m
	}
	m.Header = nats.Header{"Nats-Batch-Id": {p.inbox + strconv.FormatUint(p.batches, 36)},
		"Nats-Batch-Sequence": {strconv.Itoa(k + 1)}}
	if k < len(b.Ops)-1 {
		m.Reply = ""
	} else {
		m.Header["Nats-Batch-Commit"] = []string{"1"}
	}
	return m
}

// acknowledged takes one acknowledgement.
func (p *publisher) acknowledged(m *nats.Msg) {
	i, err := strconv.Atoi(m.Subject[len(p.inbox):])
	if err != nil || i < 0 || i >= len(p.slots) {
		return // nobody asked for it
	}
	switch {
	case len(m.Data) == 0:
		err = fmt.Errorf("no acknowledgement: %s", m.Header.Get("Status"))
	case bytes.Contains(m.Data, []byte(`"error"`)):
		err = fmt.Errorf("refused: %s", m.Data)
	}
	p.take(i, p.share(i), err)
}

// share is how many operations one acknowledgement of a slot speaks for: a batch has one.
func (p *publisher) share(i int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.slots[i].batch; b != nil {
		return len(b.Ops)
	}
	return 0
}

// take takes what was acknowledged, or refused, of a slot's n operations, and answers the batch after
// the last.
func (p *publisher) take(i, n int, err error) {
	p.mu.Lock()
	s := &p.slots[i]
	b := s.batch
	if b == nil {
		p.mu.Unlock()
		return
	}
	s.left -= n
	if err == nil {
		s.ok += n
	} else {
		s.err = err
	}
	done, ok, failure := s.left <= 0, s.ok, s.err
	if done {
		s.batch = nil
		p.free = append(p.free, i)
	}
	p.mu.Unlock()
	if done {
		b.Done(ok, failure)
	}
}

// Close implements [kv.Conn].
func (p *publisher) Close() error {
	p.nc.Close()
	for i := range p.slots {
		p.take(i, kv.MaxBatch, errClosed)
	}
	return nil
}
