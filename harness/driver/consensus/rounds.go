package consensus

import (
	"bytes"

	"metronome/system/order"
)

// proposer is what a leader knows of its rounds.
type proposer struct {
	term  uint64
	base  []uint64 // decided or proposed, by lane
	since []int64  // where everyone leads: for how long a lane waits for a round, 0 if it does not
	heard []int64  // likewise: when another replica was heard last
}

func newProposer(p *point) proposer {
	return proposer{base: make([]uint64, p.lanes), since: make([]int64, p.lanes), heard: make([]int64, p.n)}
}

// propose begins a round if this replica leads, fewer than allowed are under way and a lane has moved, and
// reports whether it did.
func (p *process) propose() bool {
	if !p.moved(p.cut) {
		return false // looking at an orderer costs more than most of what it does
	}
	s := p.o.Status()
	if !s.Leading {
		p.rounds.term = 0
		return false
	}
	if s.Term != p.rounds.term {
		p.rounds.term = s.Term
		copy(p.rounds.base, p.cut)
	}
	underWay := s.Last - s.Position
	if s.Leaderless {
		underWay = uint64(s.Pending)
	}
	if underWay >= uint64(p.w.rounds) || !p.moved(p.rounds.base) || s.Leaderless && !p.begins() {
		return false
	}
	var cut order.Cut
	for lane := range p.shelves {
		if held := p.shelves[lane].held; held > max(p.rounds.base[lane], p.cut[lane]) {
			cut = append(cut, markAt(lane, held))
		}
	}
	if len(cut) == 0 {
		return false
	}
	time := day + uint64(p.w.now/p.w.tick)
	if err := p.o.Propose(order.AppendDecision(nil, &order.Decision{Cut: cut, Time: time})); err != nil {
		return false // there will be another event, and another try
	}
	for _, m := range cut {
		p.rounds.base[m.Lane] = m.Frames
	}
	p.w.seen.begin(cut, p.index, p.w.now, underWay+1)
	return true
}

// day is log time in ticks, as it is after a day: its size counts in every message.
const day = 86400 * 50

// turnTicks is after how long a replica begins a round in place of the one before it, where everyone leads.
const turnTicks = 2

// begins reports whether it is for this replica to begin a round, where everyone leads: each does at once for
// some of the lanes, and for those of others if nobody has for a while, as in system/replica. A tick looks
// again.
func (p *process) begins() (begins bool) {
	alive, mine := 0, 0
	for i, at := range p.rounds.heard {
		if i == p.index {
			mine = alive
		}
		if i == p.index || p.w.now-at < electionTicks*p.w.tick {
			alive++
		}
	}
	r := &p.rounds
	for lane := range p.shelves {
		if p.shelves[lane].held <= max(r.base[lane], p.cut[lane]) {
			r.since[lane] = 0
			continue
		}
		if r.since[lane] == 0 {
			r.since[lane] = p.w.now
		}
		distance := (mine - lane%alive + alive) % alive
		begins = begins || p.w.now >= r.since[lane]+int64(distance)*turnTicks*p.w.tick
	}
	return begins
}

// moved reports whether more is held of some lane than a vector of frames says.
func (p *process) moved(beyond []uint64) bool {
	for lane := range p.shelves {
		if p.shelves[lane].held > beyond[lane] {
			return true
		}
	}
	return false
}

// agreement is what the replicas agreed on so far, as whoever applied it first saw it.
type agreement struct {
	decided map[uint64]string // by position
	cut     []uint64
}

// apply takes a decision, and checks it.
func (p *process) apply(c order.Committed) {
	w := p.w
	if c.Position != p.position+1 {
		w.fail("replica %d is handed position %d after %d", p.id, c.Position, p.position)
		return
	}
	p.position = c.Position
	first, known := w.agree.decided[c.Position]
	if known && first != string(c.Decision) {
		w.fail("I2: replica %d has another decision at position %d than the first that had one", p.id, c.Position)
		return
	}
	if c.Decision == nil {
		w.agree.decided[c.Position] = ""
		return
	}
	d, err := order.DecodeDecision(c.Decision)
	if err != nil {
		w.fail("replica %d is handed position %d: %w", p.id, c.Position, err)
		return
	}
	for _, m := range d.Cut {
		p.cut[m.Lane] = max(p.cut[m.Lane], m.Frames)
		p.rounds.since[m.Lane] = 0 // what waits now began to while somebody took the lane on
	}
	at := max(w.now, p.busy)
	w.seen.applied(d.Cut, p.index, at)
	if !known {
		w.agree.decided[c.Position] = string(bytes.Clone(c.Decision))
		w.decide(&d, at)
	}
}

// decide notes what is decided for the first time, and checks that a majority holds it (I1).
func (w *world) decide(d *order.Decision, at int64) {
	holding := 0
	for _, p := range w.procs {
		if p.Holds(d.Cut) == order.Held {
			holding++
		}
	}
	if 2*holding <= w.n {
		w.fail("I1: a decision is handed out, and %d of %d replicas hold what is under it", holding, w.n)
		return
	}
	var waits []int64
	for _, m := range d.Cut {
		for n := w.agree.cut[m.Lane]; n < m.Frames; n++ {
			waits = append(waits, at-w.lanes[m.Lane].born[n])
		}
		w.agree.cut[m.Lane] = max(w.agree.cut[m.Lane], m.Frames)
	}
	w.seen.decided(at, waits)
}
