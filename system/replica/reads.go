package replica

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

// Reads at a barrier (R26): all that wait when a round of ReadIndex begins share it, whichever
// replica they came to, so that reads scale with replicas and cost the order nothing.

const (
	maxReads     = 4096 // messages that wait; more are answered Busy
	maxReadItems = 4096 // reads in one message
)

type readState struct {
	waiting []readRequest // for the next barrier
	asked   []readRequest // for the barrier that is asked for
	ctx     uint64        // of the latest; from Config.Nonce on, for a leader may answer an earlier process
	askedAt int64
	at      uint64 // the position to wait for; 0 = not known yet
	items   []wire.Item
	answers []store.Answer
}

type readRequest struct {
	proxy uint32
	id    uint64
	items []byte
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
	if r.orderer == nil || len(r.reads.waiting) >= maxReads {
		r.refuseRead(number, id, items)
		return true
	}
	r.reads.waiting = append(r.reads.waiting, readRequest{number, id, append([]byte(nil), items...)})
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
	case len(s.asked) > 0 && s.at == 0 && r.now-s.askedAt > readRetry*r.cfg.Tick:
	case len(s.asked) > 0 || len(s.waiting) == 0:
		return
	default:
		s.asked, s.waiting = s.waiting, s.asked[:0]
	}
	s.ctx++
	s.at, s.askedAt = 0, r.now
	r.orderer.ReadIndex(s.ctx)
}

// barriers answers reads whose barrier is applied.
func (r *Replica) barriers() {
	s := &r.reads
	if len(s.asked) == 0 {
		r.askBarrier()
		return
	}
	if (s.at == 0 || r.applied < s.at) && !mutate.On(mutate.StaleRead) || r.working {
		return
	}
	for i := range s.asked {
		r.answerRead(&s.asked[i])
		s.asked[i] = readRequest{}
	}
	s.asked, s.at = s.asked[:0], 0
	r.askBarrier()
}

func (r *Replica) answerRead(q *readRequest) {
	s := &r.reads
	s.items = s.items[:0]
	for b := q.items; len(b) > 0 && len(s.items) < maxReadItems; {
		var it wire.Item
		n, ok := wire.DecodeItem(b, &it)
		if !ok {
			r.counts.BadMessages++
			break
		}
		s.items = append(s.items, it)
		b = b[n:]
	}
	s.answers = r.store.Read(s.items, s.answers[:0])
	b := wire.BeginReadReply(nil, q.id, r.store.Index()+1)
	for i := range s.answers {
		b = wire.AppendResult(b, &s.answers[i].Result)
	}
	r.out.message(wire.ProxyPeer(q.proxy), b)
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
