package consensus

import (
	"slices"

	"metronome/system/order"
)

// process is a replica: an orderer, a disk, and what it holds of the lanes.
type process struct {
	w     *world
	o     order.Orderer
	id    uint64
	index int

	up, paused bool
	held       []event // while it is paused: of ticks, one
	lag, tail  int64   // everything is handled so much later, in order
	busy       int64   // until when it works on what came
	backlog    []event // what came while it was busy
	woken      bool    // a wake is on its way

	shelves  []shelf
	syncing  bool
	writing  []uint64 // numbers of Ready.Persist on the way to the disk
	waiting  []uint64 // numbers for the next sync
	unsynced bool     // frames wait for it

	position uint64
	cut      []uint64 // decided frames by lane
	rounds   proposer
}

// shelf is what a replica has of a lane, in frames.
type shelf struct {
	whole, syncing, held uint64          // without a gap; of these on the way to the disk; durable
	apart                map[uint64]bool // beyond the first gap
}

func newProcess(w *world, index int) *process {
	return &process{w: w, index: index, id: idOf(index), up: true, shelves: make([]shelf, w.point.lanes),
		position: 1, cut: make([]uint64, w.point.lanes), rounds: newProposer(&w.point)}
}

// Holds implements [order.Gate].
func (p *process) Holds(c order.Cut) order.Verdict {
	for _, m := range c {
		switch {
		case int(m.Lane) >= len(p.shelves):
			return order.Missing
		case m != markAt(int(m.Lane), m.Frames):
			return order.Mismatch
		case p.shelves[m.Lane].held < m.Frames:
			return order.Missing
		}
	}
	return order.Held
}

func (p *process) handle(e *event) {
	switch e.kind {
	case evTick:
		p.o.Tick()
		p.w.queue.push(event{at: p.w.now + p.w.tick, kind: evTick, to: p.index})
	case evMessage:
		p.busy = max(p.busy, p.w.now) + p.w.cpu
		p.rounds.heard[e.from] = p.w.now
		_ = p.o.Step(idOf(e.from), e.b) // why it was dropped does not matter here
	case evFrame:
		p.receive(e.lane, e.n)
		if p.w.now < p.busy || len(p.backlog) > 0 {
			p.wake(max(p.busy, p.w.now))
			return
		}
	case evSync:
		p.synced()
	case evWake:
		p.woken = false
		p.o.Recheck()
	}
	p.pump()
}

// queue keeps what comes to a busy process until its turn.
func (p *process) queue(e event) {
	if p.backlog = append(p.backlog, e); len(p.backlog) == 1 {
		p.w.queue.push(event{at: p.busy, kind: evTurn, to: p.index, late: true})
	}
}

// turn handles the first of what waits.
func (p *process) turn() {
	e := p.backlog[0]
	p.handle(&e)
	if p.backlog = p.backlog[1:]; len(p.backlog) > 0 {
		p.w.queue.push(event{at: max(p.busy, p.w.now), kind: evTurn, to: p.index, late: true})
	}
}

// wake has the process look again at a time.
func (p *process) wake(at int64) {
	if !p.woken {
		p.woken = true
		p.w.queue.push(event{at: at, kind: evWake, to: p.index})
	}
}

func (p *process) receive(lane int, n uint64) {
	s := &p.shelves[lane]
	if n != s.whole+1 {
		if s.apart == nil {
			s.apart = map[uint64]bool{}
		}
		s.apart[n] = true
		return
	}
	for s.whole = n; s.apart[s.whole+1]; s.whole++ {
		delete(s.apart, s.whole+1)
	}
	if p.w.fsync > 0 {
		p.unsynced = true
		return
	}
	if s.held = s.whole; p.w.now >= p.busy {
		p.o.Recheck()
	}
}

// pump does what the orderer wants done, and begins rounds, until there is nothing to do.
func (p *process) pump() {
	for range 1000 {
		began := p.propose()
		rd := p.o.Ready()
		for _, m := range rd.Messages {
			p.busy = max(p.busy, p.w.now) + p.w.cpu
			p.w.send(p.index, int(m.To)-1, p.busy, m.Data)
		}
		if rd.Persist != nil {
			p.persist(rd.Persist)
		}
		for _, c := range rd.Committed {
			p.apply(c)
		}
		if len(rd.Committed) > 0 {
			p.o.Applied(p.position)
		}
		for _, s := range rd.Snapshots {
			p.w.fail("replica %d wants to send a snapshot to %d, and nothing was compacted", p.id, s.To)
		}
		if p.w.err != nil || !began && rd.Persist == nil && len(rd.Committed) == 0 {
			p.sync()
			return
		}
	}
	p.w.fail("replica %d never comes to rest", p.id)
}

// persist hands records to the disk; in memory they are where they are to be.
func (p *process) persist(r *order.Persist) {
	if p.w.fsync == 0 {
		p.o.Persisted(r.Seq)
		return
	}
	p.waiting = append(p.waiting, r.Seq)
}

// sync begins to make durable what waits for it. One is on its way at a time.
func (p *process) sync() {
	if p.w.fsync == 0 || p.syncing || len(p.waiting) == 0 && !p.unsynced {
		return
	}
	p.syncing, p.unsynced = true, false
	p.writing, p.waiting = p.waiting, p.writing[:0]
	for i := range p.shelves {
		p.shelves[i].syncing = p.shelves[i].whole
	}
	p.w.seen.fsyncs++
	p.w.queue.push(event{at: p.w.now + p.w.fsync, kind: evSync, to: p.index})
}

func (p *process) synced() {
	p.syncing = false
	for _, seq := range p.writing {
		p.o.Persisted(seq)
	}
	p.writing = p.writing[:0]
	for i := range p.shelves {
		p.shelves[i].held = p.shelves[i].syncing
	}
	p.o.Recheck()
}

// hold keeps what comes to a stopped process: of ticks one, as a timer does.
func (p *process) hold(e event) {
	if e.kind == evTick && slices.ContainsFunc(p.held, func(h event) bool { return h.kind == evTick }) {
		return
	}
	p.held = append(p.held, e)
}

// resume lets a stopped process go on, with everything that waited for it.
func (p *process) resume() {
	p.paused = false
	for _, e := range p.held {
		e.at = p.w.now
		p.w.queue.push(e)
	}
	p.held = nil
}
