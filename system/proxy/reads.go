package proxy

import (
	"math/bits"
	"slices"

	"metronome/system/node"
	"metronome/system/wire"
)

// Reads at a barrier (R26): they are no items. Connections are spread over as many read lanes as there
// are replicas in the cluster file, each served by one replica, so that reads scale with them. A lane's
// messages are answered in the order in which they were sent, and if its replica fails all of them move to
// another one together: so a connection never sees an older state after a newer one. While messages
// are under way reads wait a moment to be sent together, as items wait in a frame.
//
// A replica answers as many reads of a message as fit in one of its own. The rest is asked for again
// before anything that came later, whose answers would be too early now: so these are sent again too, one
// by one until a message is answered whole. So it is with a message that is answered by nothing: the replica
// has given this proxy as much as one barrier may.

const (
	maxReadBytes = 32 << 10 // of one message
	maxReadItems = 512      // of one message
	maxReadsOut  = 128      // messages of a lane that are not answered
	spareReads   = 64       // batches kept to be used again
)

type readLane struct {
	rank  int // which of the replicas that may be asked
	seat  int // the one that was asked: all of out is there
	open  readBatch
	out   []readBatch // oldest first
	sent  int         // of out: the others follow
	slow  bool        // an answer was too long for one message: one at a time
	moved int64       // when everything in out was sent for the last time, or the oldest was answered
	wait  patience
	tries int // since an answer came
}

// readBatch is one message of reads, kept until it is answered: a read can always be repeated.
type readBatch struct {
	id     uint64
	begun  int64
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
	if p.spread != len(p.reads) && !p.reading() {
		p.reads = newReadLanes(p.spread)
	}
	l := &p.reads[pin%uint64(len(p.reads))]
	if len(l.out) >= maxReadsOut {
		p.counts.Busy++
		return wire.StatusBusy
	}
	if len(l.open.tokens) == 0 {
		p.beginRead(l)
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

// SpreadReads changes the number of read lanes, from the first moment on at which no read is under way: in
// the middle of its reads no connection moves to another replica. Which replicas may be asked follows the
// membership by itself; but those that are more than there are lanes would be asked nothing.
func (p *Proxy) SpreadReads(lanes int) { p.spread = min(max(lanes, 1), wire.MaxSeats) }

// reading reports whether reads are under way.
func (p *Proxy) reading() bool {
	return slices.ContainsFunc(p.reads, func(l readLane) bool { return len(l.out)+len(l.open.tokens) > 0 })
}

func newReadLanes(n int) []readLane {
	lanes := make([]readLane, n)
	for i := range lanes {
		lanes[i].rank = i
	}
	return lanes
}

func (p *Proxy) beginRead(l *readLane) {
	b := &l.open
	if n := len(p.spareReads); cap(b.msg) == 0 && n > 0 {
		*b = p.spareReads[n-1]
		p.spareReads = p.spareReads[:n-1]
	}
	p.readID++
	b.id, b.begun, b.due = p.readID, p.now, p.now+p.cfg.Deadline
	b.msg = wire.BeginRead(b.msg[:0], b.id)
}

// sendReads sends what was gathered, where nothing is under way or it has waited long enough.
func (p *Proxy) sendReads() {
	for i := range p.reads {
		if l := &p.reads[i]; len(l.out) == 0 || p.now-l.open.begun >= p.cfg.FlushDelay {
			p.sendRead(l)
		}
	}
}

// recycleReads keeps the buffers of ended batches for new ones, once nothing points to what they sent.
func (p *Proxy) recycleReads() {
	for i := range p.endedReads {
		b := &p.endedReads[i]
		if len(p.spareReads) < spareReads && cap(b.msg) <= 2*maxReadBytes {
			p.spareReads = append(p.spareReads, readBatch{msg: b.msg[:0], tokens: b.tokens[:0]})
		}
		*b = readBatch{}
	}
	p.endedReads = p.endedReads[:0]
}

func (p *Proxy) sendRead(l *readLane) {
	if len(l.open.tokens) == 0 {
		return
	}
	if len(l.out) == 0 {
		l.seat = p.seatOf(l)
	}
	if len(l.out) == 0 {
		l.moved = p.now
		l.wait.await(p.now)
	}
	l.out = append(l.out, l.open)
	l.open = readBatch{}
	l.push(p)
}

// push sends what may be sent of what waits.
func (l *readLane) push(p *Proxy) {
	for ; l.sent < len(l.out) && (l.sent == 0 || !l.slow); l.sent++ {
		p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(l.seat), Bytes: l.out[l.sent].msg})
	}
}

// renumber makes late answers to what is out count for nothing, and has all of it sent again.
func (l *readLane) renumber(p *Proxy) {
	for k := range l.out {
		p.readID++
		l.out[k].id = p.readID
		l.out[k].msg = wire.RenumberRead(append([]byte(nil), l.out[k].msg...), p.readID)
	}
	l.sent = 0
}

// seatOf is the seat a lane's reads go to: lanes lie evenly on the replicas that may be asked.
func (p *Proxy) seatOf(l *readLane) int {
	n := bits.OnesCount16(p.seats)
	if n == 0 {
		return l.seat
	}
	seats := p.seats
	for range l.rank % n {
		seats &= seats - 1
	}
	return bits.TrailingZeros16(seats)
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
		l.moved, l.tries = p.now, 0
		ok = l.answer(p, results)
		l.wait.came(p.now, len(l.out) > 0)
		l.push(p)
		return ok
	}
	return true // answered already, or of another instance
}

// answer ends the reads of the oldest message that are answered. Those that are not stay the oldest; if
// none is, all end.
func (l *readLane) answer(p *Proxy, results []byte) bool {
	b := &l.out[0]
	if len(results) == 0 {
		l.slow = true
		l.renumber(p)
		return true
	}
	n, ok := p.answerReads(b, results)
	if ok && n > 0 && n < len(b.tokens) && b.drop(n) {
		l.slow = true
		l.renumber(p)
		return true
	}
	l.slow = false
	b.tokens = b.tokens[n:]
	whole := len(b.tokens) == 0
	p.endReads(b)
	l.next(p)
	return whole
}

// drop forgets the first n reads of a message, in memory of its own.
func (b *readBatch) drop(n int) bool {
	id, items, ok := wire.ReadRead(b.msg[1:])
	var it wire.Item
	for range n {
		size, good := wire.DecodeItem(items, &it)
		ok, items = ok && good, items[size:]
	}
	b.msg, b.tokens = append(wire.BeginRead(nil, id), items...), b.tokens[n:]
	return ok
}

// next takes the oldest message, which has come to its end, from those that are out.
func (l *readLane) next(p *Proxy) readBatch {
	batch := l.out[0]
	l.out[0] = readBatch{}
	l.out, l.sent = l.out[1:], max(l.sent-1, 0)
	p.endedReads = append(p.endedReads, batch)
	return batch
}

// answerReads tells clients the results that there are, and returns how many; ok is false if they cannot be
// read.
func (p *Proxy) answerReads(b *readBatch, results []byte) (n int, ok bool) {
	for ; n < len(b.tokens) && len(results) > 0; n++ {
		var r wire.Result
		size, ok := wire.DecodeResult(results, &r)
		if !ok {
			return n, false
		}
		results = results[size:]
		p.cfg.Complete(b.tokens[n], &r)
	}
	return n, true
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
			batch := l.next(p)
			p.endReads(&batch)
			l.push(p)
		}
		if len(l.out) == 0 || p.now-l.moved < l.wait.ends(p.cfg.HedgeDelay, p.cfg.Deadline, l.tries) {
			continue
		}
		p.counts.Hedges++
		l.tries++
		l.rank++
		l.moved, l.seat = p.now, p.seatOf(l)
		l.renumber(p)
		l.push(p)
	}
}
