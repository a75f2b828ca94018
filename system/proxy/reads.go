package proxy

import (
	"metronome/system/node"
	"metronome/system/wire"
)

// Reads at a barrier (R26): they are no items. Connections are spread over as many read lanes as
// there are replicas, each served by one replica, so that reads scale with them. A lane's messages
// are answered in the order in which they were sent, and if its replica fails all of them move to
// another one together: so a connection never sees an older state after a newer one.

const (
	maxReadBytes = 32 << 10 // of one message
	maxReadItems = 512      // of one message
	maxReadsOut  = 128      // messages of a lane that are not answered
)

type readLane struct {
	seat  int
	open  readBatch
	out   []readBatch // oldest first
	moved int64       // when everything in out was sent for the last time, or the oldest was answered
	wait  patience
	tries int // since an answer came
}

// readBatch is one message of reads, kept until it is answered: a read can always be repeated.
type readBatch struct {
	id     uint64
	due    int64 // clients are told to give up
	msg    []byte
	tokens []uint64
}

// SubmitRead takes a read to be answered at a barrier. Connections that must not see time run back
// use one pin each. It must not be used while a write of the same connection is not answered: the
// barrier could pass it (R20).
func (p *Proxy) SubmitRead(now int64, pin uint64, it *wire.Item, token uint64) wire.Status {
	p.now = now
	if len(p.lanes) == 0 || p.seats == 0 {
		return wire.StatusUnavailable
	}
	l := &p.reads[pin%uint64(len(p.reads))]
	if len(l.out) >= maxReadsOut {
		p.counts.Busy++
		return wire.StatusBusy
	}
	if len(l.open.tokens) == 0 {
		p.readID++
		l.open.msg = wire.BeginRead(l.open.msg[:0], p.readID)
		l.open.id, l.open.due = p.readID, now+p.cfg.Deadline
	}
	msg, err := wire.AppendItem(l.open.msg, it)
	if err != nil {
		return wire.StatusRefused
	}
	l.open.msg = msg
	l.open.tokens = append(l.open.tokens, token)
	p.counts.Taken++
	if len(msg) >= maxReadBytes || len(l.open.tokens) >= maxReadItems {
		p.sendRead(l)
	}
	return wire.StatusOK
}

// sendReads sends what was gathered.
func (p *Proxy) sendReads() {
	for i := range p.reads {
		p.sendRead(&p.reads[i])
	}
}

func (p *Proxy) sendRead(l *readLane) {
	if len(l.open.tokens) == 0 {
		return
	}
	if p.seats>>l.seat&1 == 0 {
		l.seat = p.nextSeat(l.seat)
	}
	if len(l.out) == 0 {
		l.moved = p.now
		l.wait.await(p.now)
	}
	p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(l.seat), Bytes: l.open.msg})
	l.out = append(l.out, l.open)
	l.open = readBatch{}
}

// nextSeat is the next seat that may be asked.
func (p *Proxy) nextSeat(seat int) int {
	for i := 1; i <= wire.MaxSeats; i++ {
		if s := (seat + i) % wire.MaxSeats; p.seats>>s&1 == 1 {
			return s
		}
	}
	return seat
}

func (p *Proxy) onReadReply(b []byte) bool {
	id, index, results, ok := wire.ReadReadReply(b)
	if !ok {
		return false
	}
	for i := range p.reads {
		l := &p.reads[i]
		// Only the oldest: an answer that overtakes another one, whose message was lost, would let time
		// run back.
		if len(l.out) == 0 || l.out[0].id != id {
			continue
		}
		if index == 0 {
			return true // refused there: the retry goes elsewhere
		}
		batch := l.out[0]
		l.out = append(l.out[:0], l.out[1:]...)
		l.moved, l.tries = p.now, 0
		l.wait.came(p.now, len(l.out) > 0)
		return p.answerReads(&batch, results)
	}
	return true // answered already, or of another instance
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
	return ok
}

func (p *Proxy) endReads(b *readBatch) {
	for _, token := range b.tokens {
		p.cfg.Complete(token, &wire.Result{Status: wire.StatusUnavailable})
	}
}

// retryReads moves lanes whose replica does not answer to another one, under new ids so that late
// answers count for nothing, and gives up what is past its deadline.
func (p *Proxy) retryReads() {
	for i := range p.reads {
		l := &p.reads[i]
		for len(l.out) > 0 && p.now >= l.out[0].due {
			p.endReads(&l.out[0])
			l.out = append(l.out[:0], l.out[1:]...)
		}
		if len(l.out) == 0 || p.now-l.moved < l.wait.ends(p.cfg.HedgeDelay, p.cfg.Deadline, l.tries) {
			continue
		}
		p.counts.Hedges++
		l.tries++
		l.moved, l.seat = p.now, p.nextSeat(l.seat)
		for k := range l.out {
			p.readID++
			l.out[k].id = p.readID
			l.out[k].msg = wire.RenumberRead(append([]byte(nil), l.out[k].msg...), p.readID)
			p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(l.seat), Bytes: l.out[k].msg})
		}
	}
}
