package proxy

import (
	"metronome/system/node"
	"metronome/system/wire"
)

// Reads at a barrier (R26): they are no items. All that came in since the last Output go to one replica in
// one message; replicas take turns, so that reads scale with them.

const (
	maxReadBytes = 32 << 10 // of one message
	maxReadItems = 512      // of one message
	maxReadsOut  = 512      // messages that are not answered
)

type readsOut struct {
	open    readBatch
	out     []readBatch
	id      uint64
	turn    int
	free    []readBatch
	pending int
}

// readBatch is one message of reads, kept until it is answered: a read can always be repeated.
type readBatch struct {
	id     uint64
	seat   int
	sent   int64
	tries  int
	msg    []byte
	tokens []uint64
}

// SubmitRead takes a read to be answered at a barrier. It must not be used while a write of the same
// connection is not answered: the barrier could pass it (R20).
func (p *Proxy) SubmitRead(now int64, it *wire.Item, token uint64) wire.Status {
	p.now = now
	if len(p.lanes) == 0 || p.seats == 0 {
		return wire.StatusUnavailable
	}
	s := &p.reads
	if len(s.out) >= maxReadsOut {
		p.counts.Busy++
		return wire.StatusBusy
	}
	if len(s.open.tokens) == 0 {
		if n := len(s.free); n > 0 {
			s.open, s.free = s.free[n-1], s.free[:n-1]
		}
		s.id++
		s.open.id, s.open.tries = s.id, 0
		s.open.msg = wire.BeginRead(s.open.msg[:0], s.id)
		s.open.tokens = s.open.tokens[:0]
	}
	msg, err := wire.AppendItem(s.open.msg, it)
	if err != nil {
		return wire.StatusRefused
	}
	s.open.msg = msg
	s.open.tokens = append(s.open.tokens, token)
	p.counts.Taken++
	if len(msg) >= maxReadBytes || len(s.open.tokens) >= maxReadItems {
		p.sendReads()
	}
	return wire.StatusOK
}

// sendReads sends the open message of reads.
func (p *Proxy) sendReads() {
	s := &p.reads
	if len(s.open.tokens) == 0 {
		return
	}
	b := s.open
	s.open = readBatch{}
	p.dispatchRead(&b)
	s.out = append(s.out, b)
}

func (p *Proxy) dispatchRead(b *readBatch) {
	s := &p.reads
	for range wire.MaxSeats {
		if s.turn = (s.turn + 1) % wire.MaxSeats; p.seats>>s.turn&1 == 1 {
			break
		}
	}
	b.seat, b.sent = s.turn, p.now
	b.tries++
	p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(b.seat), Bytes: b.msg})
}

func (p *Proxy) onReadReply(b []byte) bool {
	id, index, results, ok := wire.ReadReadReply(b)
	if !ok {
		return false
	}
	s := &p.reads
	for i := range s.out {
		batch := s.out[i]
		if batch.id != id {
			continue
		}
		if index == 0 {
			return true // refused there: the retry goes elsewhere
		}
		s.out[i] = s.out[len(s.out)-1]
		s.out[len(s.out)-1] = readBatch{}
		s.out = s.out[:len(s.out)-1]
		return p.answerReads(&batch, results)
	}
	return true // answered already
}

func (p *Proxy) answerReads(b *readBatch, results []byte) bool {
	ok := true
	for _, token := range b.tokens {
		var r wire.Result
		n := 0
		if ok {
			n, ok = wire.DecodeResult(results, &r)
		}
		if !ok {
			r = wire.Result{Status: wire.StatusUnavailable}
		}
		results = results[n:]
		p.cfg.Complete(token, &r)
	}
	p.reads.free = append(p.reads.free, *b)
	return ok
}

// retryReads asks another replica for reads that were not answered in time, and gives up at the deadline.
func (p *Proxy) retryReads() {
	s := &p.reads
	for i := 0; i < len(s.out); i++ {
		b := &s.out[i]
		if p.now-b.sent < p.cfg.HedgeDelay<<min(b.tries, 6) {
			continue
		}
		p.counts.Hedges++
		if int64(b.tries) > p.cfg.Deadline/(p.cfg.HedgeDelay<<6)+6 {
			for _, token := range b.tokens {
				p.cfg.Complete(token, &wire.Result{Status: wire.StatusUnavailable})
			}
			s.out[i] = s.out[len(s.out)-1]
			s.out = s.out[:len(s.out)-1]
			i--
			continue
		}
		p.dispatchRead(b)
	}
}
