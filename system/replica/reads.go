package replica

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/wire"
)

// Reads at a barrier (R26): all that wait when a round of ReadIndex begins share it, whichever
// replica they came to, so that reads scale with replicas and cost the order nothing.

const (
	maxReads    = 4096      // messages that wait; more are answered Busy
	readsAtOnce = 128 << 10 // bytes of messages that the store is handed together
	keptReads   = 1 << 20   // bytes that are kept of a buffer for messages
	keptReplies = 64        // buffers for answers that are kept
	keptReply   = 256 << 10 // bytes of each, at most
	// fullReply is when an answer ends: the largest single result of the store still fits in a message
	// with it. The proxy asks again for the rest.
	fullReply = 2 << 20
	// largestResult is more than a single result of the store has, by its defaults.
	largestResult = 5 << 20
)

type readState struct {
	waiting readQueue // for the next barrier
	asked   readQueue // for the barrier that is asked for
	ctx     uint64    // of the latest; from Config.Nonce on, for a leader may answer an earlier process
	askedAt int64
	at      uint64 // the position to wait for; 0 = not known yet

	given    []given // answers of the barrier that is being answered
	payloads [][]byte
	replies  [][]byte // buffers of answers
	used     int      // of replies, since the last Output
}

// given is how many bytes of answers a proxy has had of one barrier: together at most Config.ReadBytes, and
// the result that passes that. A message that comes to nothing then is answered with no result: the proxy
// asks again, message by message (readLane.answer). Else one barrier could make gigabytes of answers in one
// step, most of which the proxy's stream has no room for.
type given struct {
	proxy uint32
	bytes int
}

// givenTo is what a proxy has had of this barrier.
func (s *readState) givenTo(proxy uint32) *given {
	for i := range s.given {
		if s.given[i].proxy == proxy {
			return &s.given[i]
		}
	}
	s.given = append(s.given, given{proxy: proxy})
	return &s.given[len(s.given)-1]
}

// most is what the proxy that has had most has had.
func (s *readState) most() (bytes int) {
	for i := range s.given {
		bytes = max(bytes, s.given[i].bytes)
	}
	return bytes
}

// readQueue is messages of reads, their items in one buffer.
type readQueue struct {
	list  []readRequest
	items []byte
}

type readRequest struct {
	proxy    uint32
	id       uint64
	from, to int // in items
}

func (q *readQueue) add(proxy uint32, id uint64, items []byte) {
	from := len(q.items)
	q.items = append(q.items, items...)
	q.list = append(q.list, readRequest{proxy, id, from, len(q.items)})
}

func (q *readQueue) reset() {
	if q.list, q.items = q.list[:0], q.items[:0]; cap(q.items) > keptReads {
		q.items = nil
	}
}

func (s *readState) arrived(read order.Read) {
	if read.Ctx == s.ctx {
		s.at = max(read.Position, 1)
	}
}

func (r *Replica) onRead(number uint32, b []byte) bool {
	id, items, ok := wire.ReadRead(b)
	if !ok || len(items) == 0 {
		return false
	}
	if r.orderer == nil || len(r.reads.waiting.list) >= maxReads {
		r.refuseRead(number, id, items)
		return true
	}
	r.reads.waiting.add(number, id, items)
	r.askBarrier()
	return true
}

// readRetry is how many ticks a barrier may take before it is asked for again: the leader may be
// gone.
const readRetry = 8

// askBarrier begins a round of ReadIndex if reads wait and none is under way.
func (r *Replica) askBarrier() {
	s := &r.reads
	switch {
	case len(s.asked.list) > 0 && s.at == 0 && r.now-s.askedAt > readRetry*r.cfg.Tick:
	case len(s.asked.list) > 0 || len(s.waiting.list) == 0:
		return
	default:
		s.asked, s.waiting = s.waiting, s.asked
	}
	s.ctx++
	s.at, s.askedAt = 0, r.now
	r.orderer.ReadIndex(s.ctx)
}

// barriers answers reads whose barrier is applied.
func (r *Replica) barriers() {
	s := &r.reads
	if len(s.asked.list) == 0 {
		r.askBarrier()
		return
	}
	if (s.at == 0 || r.applied < s.at) && !mutate.On(mutate.StaleRead) || r.working {
		return
	}
	s.given = s.given[:0]
	for list := s.asked.list; len(list) > 0; {
		n, bytes := 0, 0
		for ; n < len(list) && bytes < readsAtOnce; n++ {
			bytes += list[n].to - list[n].from
		}
		r.answerReads(list[:n])
		list = list[n:]
	}
	s.asked.reset()
	s.at = 0
	r.askBarrier()
}

// answerReads answers messages of reads at the present state, each in a message of its own, from its first
// item on as far as one message goes, and what the proxy may have of one barrier.
func (r *Replica) answerReads(list []readRequest) {
	s := &r.reads
	s.payloads = s.payloads[:0]
	for i := range list {
		items := s.asked.items[list[i].from:list[i].to]
		if s.givenTo(list[i].proxy).bytes >= r.cfg.ReadBytes {
			items = nil
		}
		s.payloads = append(s.payloads, items)
	}
	answers := r.store.Read(s.payloads)
	for i := range list {
		n := 0
		for n < len(answers) && answers[n].Span == i {
			n++
		}
		had, buf := s.givenTo(list[i].proxy), s.reply()
		b := wire.BeginReadReply((*buf)[:0], list[i].id, r.store.Index()+1)
		if n == 0 && len(s.payloads[i]) > 0 {
			r.counts.BadMessages++
			b = wire.AppendResult(b, &wire.Result{Status: wire.StatusMalformed})
		} else if had.bytes >= r.cfg.ReadBytes {
			r.counts.PutOff++
		}
		for k := 0; k < n && len(b) < fullReply && had.bytes < r.cfg.ReadBytes; k++ {
			was := len(b)
			b = wire.AppendResult(b, &answers[k].Result)
			had.bytes += len(b) - was
		}
		*buf, answers = b, answers[n:]
		r.out.message(wire.ProxyPeer(list[i].proxy), b)
	}
}

// reply is a buffer that nobody needs any more.
func (s *readState) reply() *[]byte {
	if s.used == len(s.replies) {
		s.replies = append(s.replies, nil)
	}
	s.used++
	return &s.replies[s.used-1]
}

// sent is when buffers were handed to Output, whose slices are valid until the next call: from then on
// they can be used again. What one burst needed is not kept for ever.
func (s *readState) sent() {
	if len(s.replies) > keptReplies {
		clear(s.replies[keptReplies:])
		s.replies = s.replies[:keptReplies]
	}
	for i := range s.replies[:min(s.used, len(s.replies))] {
		if cap(s.replies[i]) > keptReply {
			s.replies[i] = nil
		}
	}
	s.used = 0
}

func (r *Replica) refuseRead(number uint32, id uint64, items []byte) {
	b := wire.BeginReadReply(nil, id, 0)
	var it wire.Item
	for len(items) > 0 {
		n, ok := wire.DecodeItem(items, &it)
		if !ok {
			break
		}
		items = items[n:]
		b = wire.AppendResult(b, &wire.Result{Status: wire.StatusUnavailable})
	}
	r.out.message(wire.ProxyPeer(number), b)
}
