package rabia

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageSlots = 4096 // entries in one Learn
	maxPending      = 16   // own proposals that are not decided yet
	maxPool         = 128  // values that anybody wants
	maxPoolBytes    = 4 << 20
	maxReads        = 1024 // waiting; further ones are dropped, and asked again
)

const (
	resting = 1 // the term of a replica that may not propose
	term    = 1 // of every position: a decision's phase means nothing to others
)

// What makes cuts of several members the same: frames, and ticks of log time, are rounded down to multiples.
const (
	quantum     = 4
	timeQuantum = 8
)

// Rabia is an [order.Orderer]: randomised binary agreement on each slot, behind the gate.
type Rabia struct {
	slots.Leaderless        // Accepts: proposals that make a value the majority's, as many as quorum, or more
	quorum           int    // the paper's n-f: a majority
	common           uint64 // the coin's seed, the same everywhere

	judged  uint64 // every slot up to here is decided, and held here
	written uint64 // and that is in a record
	durable uint64 // and durable
	waiting int    // bytes decided and not held
	holeEnd uint64 // slots up to here were held before a restart
	refused uint64 // the last decided slot that was refused for a mismatch

	mine     agreement // in the slot after commit, durable or about to be
	unjudged bool      // mine.proposal was made before a restart
	age      int       // ticks since something was proposed in it
	pool     pool
	lost     uint64 // how often it is not known what became of own proposals: each begins a new term
	nothings uint64 // slots that decided nothing
	row      int    // of those, the latest in a row
	pause    int    // ticks for which this member proposes nothing first

	peers  []peer // by index; the own one is what this member said durably
	read   reading
	beat   int          // ticks since the last one
	stall  int          // ticks for which this replica was behind
	source slots.Source // whom it asks
	asked  bool         // since the last beat
	marked bool         // a write of durable is under way

	out order.Outbox[answer]
}

// peer is a member, as it said.
type peer struct {
	proposal []byte // in the present slot
	steps    []step
	early    *message // in a later slot
	ahead    uint64   // decided there
	match    uint64   // decided, held and durable there
}

// answer is a message that waits for stable storage, and how far all was held when it was written. One to
// oneself is stepped.
type answer struct {
	to   int // all: everybody
	held uint64
	m    message
}

// all stands for every member, oneself included.
const all = -1

var _ order.Orderer = (*Rabia)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records of a
// Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Rabia, error) {
	start, err := slots.BeginLeaderless("rabia", &c, term)
	if err != nil {
		return nil, err
	}
	r := &Rabia{Leaderless: start, quorum: len(start.Members)/2 + 1}
	if err := r.Redo(r.redo); err != nil {
		return nil, err
	}
	for _, id := range r.Members {
		r.common = slots.Mix(r.common ^ id)
	}
	r.read.number = uint64(r.Random.Below(1 << 60)) // answers to an earlier life must not fit
	r.peers = make([]peer, len(r.Members))
	r.resume()
	r.progress()
	return r, nil
}

// leads reports whether this member may propose: a majority is there, and it has no holes (R4).
func (r *Rabia) leads() bool { return r.holes() == 0 && r.Speaker() >= 0 }

// Tick implements [order.Orderer].
func (r *Rabia) Tick() {
	r.Age()
	r.pause = max(0, r.pause-1)
	r.age++
	r.pool.grow(4 * r.ElectionTicks)
	if r.beat++; r.beat >= r.HeartbeatTicks {
		r.speak()
	}
	r.progress()
}

// Step implements [order.Orderer].
func (r *Rabia) Step(from uint64, msg []byte) error {
	i, err := r.Sender(from)
	if err != nil {
		return err
	}
	m, err := decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	r.Hear(i)
	r.dispatch(i, &m)
	r.progress()
	return nil
}

func (r *Rabia) dispatch(from int, m *message) {
	switch m.kind {
	case kindSay:
		r.onSay(from, m)
	case kindRequest:
		r.onRequest(m)
	case kindBeat:
		p := &r.peers[from]
		p.ahead, p.match = m.slot, max(p.match, m.number)
		r.Arrived(from, p.match)
	case kindAsk:
		r.onAsk(from, m.slot)
	case kindLearn:
		r.onLearn(from, m)
	case kindRead:
		r.send(from, message{kind: kindVoted, slot: r.voted(), number: m.number})
	case kindVoted:
		r.onVoted(from, m)
	case kindDurable:
		r.marked = false
	}
}

func (r *Rabia) send(to int, m message) { r.out.Send(r.Members[to], m.encode()) }

// others sends to each other member.
func (r *Rabia) others(m message) { r.Others(func(i int) { r.send(i, m) }) }

// hold sends a message once everything written so far is durable.
func (r *Rabia) hold(to int, m message) {
	r.out.After(answer{to, r.judged, m}, r.release)
}

func (r *Rabia) release(a answer) {
	r.durable = max(r.durable, a.held)
	if a.to == all {
		r.others(a.m)
	}
	r.dispatch(r.Self, &a.m)
}

// Ready implements [order.Orderer].
func (r *Rabia) Ready() order.Ready { return r.out.Take() }

// Persisted implements [order.Orderer].
func (r *Rabia) Persisted(seq uint64) {
	for _, a := range r.out.Durable(seq) {
		r.release(a)
	}
	r.progress()
}

// Recheck implements [order.Orderer].
func (r *Rabia) Recheck() { r.progress() }

// progress goes on with the slots as far as it can, and hands out what is decided and held, in order.
func (r *Rabia) progress() {
	r.judge()
	for r.agree() {
		r.judge()
	}
	if r.judged > r.written { // the items are written before what is applied may be forgotten
		r.record(nil)
	}
	r.HandOut(r.judged, &r.out.Ready)
}

// judge asks the gate for what is decided, in order, up to the first that is not held: nothing behind that
// can be applied anyway. And it asks for what was proposed before a restart (R4).
func (r *Rabia) judge() {
	for r.judged < r.Commit && r.holds(r.judged+1) {
		r.judged, r.stall = r.judged+1, 0
	}
	if !r.unjudged {
		return
	}
	if cut, _ := order.CutOf(r.mine.proposal); r.Judge(cut) == order.Held {
		r.unjudged = false
		r.peers[r.Self].proposal, r.peers[r.Self].steps = r.mine.proposal, r.mine.said()
	}
}

// holds reports whether a decided slot is held here. One of another history is reported once (R14).
func (r *Rabia) holds(n uint64) bool {
	s := r.Log.At(n)
	if s.Held {
		return true
	}
	cut, _ := order.CutOf(s.Decision) // checked when it was decoded
	switch r.Judge(cut) {
	case order.Held:
		s.Held = true
		r.waiting -= len(s.Decision)
	case order.Mismatch:
		if r.refused < n {
			r.refused = n
			r.out.Refuse(r.ID, cut)
		}
	}
	return s.Held
}

// holes is how much of what was written before a restart is not judged yet.
func (r *Rabia) holes() (n int) {
	if r.judged < r.holeEnd {
		n = int(r.holeEnd - r.judged)
	}
	if r.unjudged {
		n++
	}
	return n
}

// Applied implements [order.Orderer].
func (r *Rabia) Applied(position uint64) {
	r.Apply(position)
	r.progress() // what was applied may have opened or closed lanes
}

// Status implements [order.Orderer]. Every member leads, in a term of its own.
func (r *Rabia) Status() order.Status {
	s := r.Leaderless.Status(r.leads())
	if s.Term = resting; s.Leading {
		s.Term = slots.Ballot(r.lost+1, r.Self)
	}
	if s.Last = r.Commit; r.mine.proposal != nil || len(r.mine.steps) > 0 || len(r.pool.wanted) > 0 {
		s.Last++
	}
	s.Waiting, s.Holes, s.Pending = int(r.Commit-r.judged), r.holes(), r.pool.own()
	s.Refused, s.Dropped = r.out.Refusals, r.pool.dropped
	s.Quantum, s.Same, s.Nothings = quantum, r.pool.same, r.nothings
	r.Match(&s, func(i int) uint64 { return r.peers[i].match })
	s.Match[r.ID] = r.durable
	return s
}
