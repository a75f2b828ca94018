package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"metronome/harness/history"
	"metronome/system/node"
	"metronome/system/wire"
)

// toy is a replicated store that is right as long as seat 0 lives: it alone orders, tells the
// others, and answers. The simulator is tried out on it, and on its broken variants, so that a
// finding about the real store is one, and silence is one too.
type toy struct {
	broken  string // what is wrong with it; empty = nothing
	answers map[laneItem]history.Answer
	reads   map[uint64]history.Answer
	opens   map[uint64]byte // lanes opened before an index
	lanes   uint32          // given out
	opened  uint32          // decided, as the simulator follows
	decided uint32          // decided, as the primary follows
}

func newToy(broken string) *toy {
	return &toy{broken: broken, opens: map[uint64]byte{}, answers: map[laneItem]history.Answer{},
		reads: map[uint64]history.Answer{}}
}

// Decision of the toy: an opening of one lane for a proxy number made of lane, or one item's mark.
func (t *toy) Decision(b []byte) (Decision, error) {
	le := binary.LittleEndian
	m := Mark{le.Uint32(b), le.Uint64(b[4:])}
	d := Decision{}
	if m.Lane != 0 {
		d.Cut = []Mark{m}
	}
	for range b[12] {
		t.opened++
		d.Opens = append(d.Opens, Opening{Proxy: t.opened, Nonce: 1, Lanes: 1})
	}
	return d, nil
}

func (t *toy) Limits() history.Limits { return history.Limits{Window: 64} }

type toyReplica struct {
	toy   *toy
	c     ReplicaConfig
	o     Observer
	store *history.Store
	old   *history.Store // the state one item ago
	log   []toyEntry
	next  map[uint32]uint64
	acked []uint64
	told  int // answered up to here
	out   node.Output
	retry int64
	hash  uint64
}

type toyEntry struct {
	lane   uint32
	number uint64
	item   []byte
	from   wire.Peer
}

func (t *toy) Replica(c ReplicaConfig, o Observer) Replica {
	return &toyReplica{toy: t, c: c, o: o, store: history.NewStore(t.Limits()),
		old: history.NewStore(t.Limits()), next: map[uint32]uint64{}, acked: make([]uint64, c.Seats)}
}

func (r *toyReplica) primary() bool { return r.c.Seat == 0 }

func (r *toyReplica) Datagram(int64, []byte) {}

func (r *toyReplica) Message(now int64, from wire.Peer, b []byte) {
	rd := wire.NewReader(b[1:])
	switch b[0] {
	case 'P':
		r.order(from, toyEntry{rd.U32(), rd.U64(), bytes.Clone(rd.Rest()), from})
	case 'B':
		r.read(from, rd.U64(), rd.Rest())
	case 'R':
		if index, e := rd.U64(), (toyEntry{rd.U32(), rd.U64(), nil, 0}); index == uint64(len(r.log))+1 {
			e.item = bytes.Clone(rd.Rest())
			r.apply(e)
		}
		w := wire.NewWriter(nil, 'K')
		w.U64(uint64(len(r.log)))
		r.send(from, w.B)
	case 'K':
		r.acked[from.Seat()] = max(r.acked[from.Seat()], rd.U64())
		r.answer()
	}
}

func (r *toyReplica) order(from wire.Peer, e toyEntry) {
	switch next := r.next[e.lane]; {
	case e.number == next || r.toy.broken == "executes twice" && e.number < next && e.number%5 == 0:
		r.next[e.lane] = max(next, e.number+1)
		r.apply(e)
	case e.number < next:
		for _, old := range r.log[:r.told] {
			if old.lane == e.lane && old.number == e.number {
				r.tell(from, old)
			}
		}
	}
}

func toyDecision(lane uint32, items uint64, opens byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, lane)
	return append(binary.LittleEndian.AppendUint64(b, items), opens)
}

func (r *toyReplica) apply(e toyEntry) {
	index := uint64(len(r.log)) + 1
	r.log = append(r.log, e)
	if r.toy.broken == "follower differs" && r.c.Seat == 1 && index == 20 {
		e.item = append(bytes.Clone(e.item), 0)
	}
	if r.primary() {
		r.toy.opens[index] = byte(r.toy.lanes - r.toy.decided)
		r.toy.decided = r.toy.lanes
	}
	r.o.OnCommit(2*index-1, toyDecision(0, 0, r.toy.opens[index]))
	r.o.OnCommit(2*index, toyDecision(e.lane, e.number+1, 0))
	r.o.OnApply(index, 1, e.lane, e.number, e.item)
	var it wire.Item
	wire.DecodeItem(e.item, &it)
	c, _ := CallOf(&it)
	rec := &history.Record{Index: index, Call: c}
	if r.toy.broken == "drops a write" && index == 25 {
		rec.Call = history.Call{Op: wire.OpCount}
	}
	a := r.store.Execute(rec)
	if index > 1 {
		prev := r.log[index-2]
		wire.DecodeItem(prev.item, &it)
		c, _ = CallOf(&it)
		r.old.Execute(&history.Record{Index: index - 1, Call: c})
	}
	if c := &rec.Call; c.Scan.ByHash && len(a.Entries) > c.Scan.Limit {
		a.Entries, a.More = a.Entries[:c.Scan.Limit], true
	}
	if r.primary() {
		r.toy.answers[laneItem{e.lane, e.number}] = a
	}
	r.hash = xxh3.HashSeed(e.item, r.hash)
}

// answer tells clients of what a majority has.
func (r *toyReplica) answer() {
	for r.told < len(r.log) {
		have := 1
		for seat := 1; seat < r.c.Seats; seat++ {
			if r.acked[seat] > uint64(r.told) {
				have++
			}
		}
		if 2*have <= r.c.Seats {
			return
		}
		r.tell(r.log[r.told].from, r.log[r.told])
		r.told++
	}
}

func (r *toyReplica) tell(to wire.Peer, e toyEntry) {
	w := wire.NewWriter(nil, 'A')
	w.U32(e.lane)
	w.U64(e.number)
	r.send(to, w.B)
}

func (r *toyReplica) read(from wire.Peer, ticket uint64, item []byte) {
	var it wire.Item
	wire.DecodeItem(item, &it)
	c, _ := CallOf(&it)
	from2 := r.store
	if r.toy.broken == "reads old state" {
		from2 = r.old
	}
	r.toy.reads[ticket] = from2.Execute(&history.Record{Call: c})
	w := wire.NewWriter(nil, 'b')
	w.U64(ticket)
	r.send(from, w.B)
}

func (r *toyReplica) send(to wire.Peer, b []byte) {
	r.out.Messages = append(r.out.Messages, node.Message{To: to, Bytes: b})
}

func (r *toyReplica) Tick(now int64) {
	if !r.primary() || now < r.retry {
		return
	}
	r.retry = now + 2*milli
	for seat := 1; seat < r.c.Seats; seat++ {
		for i := r.acked[seat]; i < min(uint64(len(r.log)), r.acked[seat]+8); i++ {
			w := wire.NewWriter(nil, 'R')
			w.U64(i + 1)
			w.U32(r.log[i].lane)
			w.U64(r.log[i].number)
			r.send(wire.ReplicaPeer(seat), append(w.B, r.log[i].item...))
		}
	}
}

func (r *toyReplica) Output(out *node.Output) {
	out.Messages = append(out.Messages, r.out.Messages...)
	r.out.Messages = nil
}

func (r *toyReplica) Inspect(v *View) {
	v.ID, v.Term, v.Leading = 1<<8|uint64(r.c.Seat), 1, r.primary()
	for seat := range r.c.Seats {
		v.Voters = append(v.Voters, 1<<8|uint64(seat))
	}
	v.Index, v.Hash = uint64(len(r.log)), r.hash
	limit := int64(10_000)
	if r.toy.broken == "has no bound" {
		limit = 30
	}
	v.Bounds = append(v.Bounds, Bound{"log", int64(len(r.log)), limit})
}

func (r *toyReplica) Holds([]byte) bool {
	return r.primary() || r.toy.broken != "orders what one holds"
}

func (r *toyReplica) Err() error { return nil }

type toyProxy struct {
	toy      *toy
	o        ProxyObserver
	c        ProxyConfig
	lanes    [2]uint32
	next     [2]uint64
	order    []toyWait
	answered []toyAnswer
	retry    int64
	out      node.Output
}

type toyWait struct {
	laneItem
	ticket uint64
	msg    []byte
}

type toyAnswer struct {
	ticket uint64
	a      history.Answer
}

func (t *toy) Proxy(c ProxyConfig, o ProxyObserver) Proxy {
	t.lanes += 2
	return &toyProxy{toy: t, o: o, c: c, lanes: [2]uint32{t.lanes - 1, t.lanes}}
}

func (p *toyProxy) Submit(_ int64, connection, ticket uint64, c *history.Call, barrier bool) {
	it, err := ItemOf(c)
	b, err2 := wire.AppendItem(nil, &it)
	if err != nil || err2 != nil {
		panic("the generator made no item")
	}
	if barrier {
		w := wire.NewWriter(nil, 'B')
		w.U64(ticket)
		p.add(toyWait{laneItem{0, ticket}, ticket, append(w.B, b...)})
		return
	}
	lane := connection % 2
	if p.toy.broken == "sprays a pipeline" {
		lane = ticket % 2
	}
	w := wire.NewWriter(nil, 'P')
	w.U32(p.lanes[lane])
	w.U64(p.next[lane])
	p.o.OnItem(ticket, p.lanes[lane], 1, 0, p.next[lane])
	p.add(toyWait{laneItem{p.lanes[lane], p.next[lane]}, ticket, append(w.B, b...)})
	p.next[lane]++
}

func (p *toyProxy) add(w toyWait) {
	p.order = append(p.order, w)
	if p.toy.broken == "acknowledges early" && w.ticket%16 == 0 && w.msg[0] == 'P' {
		p.answered = append(p.answered, toyAnswer{w.ticket, history.Answer{Blind: true}})
	}
	if p.toy.broken != "sprays a pipeline" || w.ticket%2 == 0 {
		p.send(w.msg)
	}
}

func (p *toyProxy) send(b []byte) {
	p.out.Messages = append(p.out.Messages, node.Message{To: wire.ReplicaPeer(0), Bytes: b})
}

func (p *toyProxy) Datagram(int64, []byte) {}

func (p *toyProxy) Message(_ int64, _ wire.Peer, b []byte) {
	rd := wire.NewReader(b[1:])
	var key laneItem
	var a history.Answer
	if b[0] == 'A' {
		key = laneItem{rd.U32(), rd.U64()}
		a = p.toy.answers[key]
	} else {
		key.number = rd.U64()
		a = p.toy.reads[key.number]
	}
	for i, w := range p.order {
		if w.laneItem == key {
			p.order = append(p.order[:i:i], p.order[i+1:]...)
			p.answered = append(p.answered, toyAnswer{w.ticket, a})
			return
		}
	}
}

func (p *toyProxy) Tick(now int64) {
	if now < p.retry {
		return
	}
	p.retry = now + 3*milli
	for _, w := range p.order {
		p.send(w.msg)
	}
}

func (p *toyProxy) Output(out *node.Output) {
	out.Messages = append(out.Messages, p.out.Messages...)
	p.out.Messages = nil
}

func (p *toyProxy) Answers(visit func(uint64, history.Outcome, history.Answer)) {
	answered := p.answered
	p.answered = nil
	for _, a := range answered {
		visit(a.ticket, history.Answered, a.a)
	}
}

func (p *toyProxy) Fenced() bool { return false }
func (p *toyProxy) Idle() bool   { return true }
