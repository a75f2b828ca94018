package rabia

import (
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes  = 256 << 10 // of entries in one Learn; one larger entry still goes alone
	maxMessageSlots  = 4096
	maxPending       = 16  // own proposals that are not decided yet
	maxPool          = 128 // values that anybody wants
	maxPoolBytes     = 4 << 20
	maxApplyingBytes = 1 << 20 // handed out and not applied; then nothing more is handed out
	maxReads         = 1024    // waiting; further ones are dropped, and asked again
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
	id      uint64
	self    int // index in members
	members []uint64
	quorum  int // the paper's n-f: a majority
	accepts int // proposals that make a value the majority's: as many, or more
	gate    order.Gate
	random  slots.Random
	common  uint64 // the coin's seed, the same everywhere

	electionTicks, beatTicks int
	volatile                 bool
	waitMax                  int

	log      slots.Log
	commit   uint64 // every slot up to here is decided
	judged   uint64 // and held here
	written  uint64 // and that is in a record
	durable  uint64 // and durable
	handed   uint64 // handed out
	applied  uint64
	applying int    // bytes handed out and not applied
	waiting  int    // bytes decided and not held
	holeEnd  uint64 // slots up to here were held before a restart
	refused  uint64 // the last decided slot that was refused for a mismatch

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
	beat   int  // ticks since the last one
	stall  int  // ticks for which this replica was behind
	source int  // whom it asks
	asked  bool // since the last beat
	marked bool // a write of durable is under way

	offered uint64 // position of the captured state
	out     order.Outbox[answer]
}

// peer is a member, as it said.
type peer struct {
	proposal []byte // in the present slot
	steps    []step
	early    *message // in a later slot
	ahead    uint64   // decided there
	match    uint64   // decided, held and durable there
	heard    bool     // in this process
	silent   int      // ticks since
	snapshot uint64   // of this position, on its way; 0 if none is
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
	start, err := slots.Begin("rabia", &c)
	if err != nil {
		return nil, err
	}
	r := &Rabia{id: c.ID, self: start.Self, members: start.Members, gate: c.Gate, random: slots.NewRandom(&c),
		accepts: start.Accepts, quorum: len(start.Members)/2 + 1, waitMax: start.WaitMax, volatile: c.Volatile,
		electionTicks: c.ElectionTicks, beatTicks: c.HeartbeatTicks}
	if err := r.begin(&start); err != nil {
		return nil, err
	}
	for _, id := range r.members {
		r.common = mix(r.common ^ id)
	}
	r.read.number = uint64(r.random.Below(1 << 60)) // answers to an earlier life must not fit
	r.peers = make([]peer, len(r.members))
	r.handed, r.applied = r.log.Base, r.log.Base
	r.resume()
	r.progress()
	return r, nil
}

// mix is the finalizer of splitmix64 (Steele et al., OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (r *Rabia) alive(i int) bool {
	return i == r.self || r.peers[i].heard && r.peers[i].silent < r.electionTicks
}

// speaker is the index of the first member that is alive, -1 while no majority is.
func (r *Rabia) speaker() int {
	who, n := -1, 0
	for i := range r.members {
		if r.alive(i) {
			if n++; who < 0 {
				who = i
			}
		}
	}
	if n < r.quorum {
		return -1
	}
	return who
}

// leads reports whether this member may propose: a majority is there, and it has no holes (R4).
func (r *Rabia) leads() bool { return r.holes() == 0 && r.speaker() >= 0 }

// Tick implements [order.Orderer].
func (r *Rabia) Tick() {
	for i := range r.peers {
		r.peers[i].silent++
	}
	r.pause = max(0, r.pause-1)
	r.age++
	r.pool.grow(4 * r.electionTicks)
	if r.beat++; r.beat >= r.beatTicks {
		r.speak()
	}
	r.progress()
}

// Step implements [order.Orderer].
func (r *Rabia) Step(from uint64, msg []byte) error {
	i := slices.Index(r.members, from)
	if i < 0 || i == r.self {
		return fmt.Errorf("%w message from %x: it is no other member", order.ErrMalformed, from)
	}
	m, err := decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	r.peers[i].heard, r.peers[i].silent = true, 0
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
		if p.match >= p.snapshot {
			p.snapshot = 0
		}
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

func (r *Rabia) send(to int, m message) { r.out.Send(r.members[to], m.encode()) }

// others sends to each other member.
func (r *Rabia) others(m message) {
	for i := range r.members {
		if i != r.self {
			r.send(i, m)
		}
	}
}

// hold sends a message once everything written so far is durable.
func (r *Rabia) hold(to int, m message) {
	a := answer{to, r.judged, m}
	if r.out.Idle() {
		r.release(a)
		return
	}
	r.out.Hold(a)
}

func (r *Rabia) release(a answer) {
	r.durable = max(r.durable, a.held)
	if a.to == all {
		r.others(a.m)
	}
	r.dispatch(r.self, &a.m)
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
	for r.handed < r.judged && r.applying < maxApplyingBytes {
		r.handed++
		s := r.log.At(r.handed)
		r.applying += len(s.Decision)
		r.out.Ready.Committed = append(r.out.Ready.Committed,
			order.Committed{Position: r.handed, Term: term, Decision: s.Decision})
	}
}

// judge asks the gate for what is decided, in order, up to the first that is not held: nothing behind that
// can be applied anyway. And it asks for what was proposed before a restart (R4).
func (r *Rabia) judge() {
	for r.judged < r.commit && r.holds(r.judged+1) {
		r.judged, r.stall = r.judged+1, 0
	}
	if !r.unjudged {
		return
	}
	if cut, _ := order.CutOf(r.mine.proposal); slots.Judge(r.gate, cut) == order.Held {
		r.unjudged = false
		r.peers[r.self].proposal, r.peers[r.self].steps = r.mine.proposal, r.mine.said()
	}
}

// holds reports whether a decided slot is held here. One of another history is reported once (R14).
func (r *Rabia) holds(n uint64) bool {
	s := r.log.At(n)
	if s.Held {
		return true
	}
	cut, _ := order.CutOf(s.Decision) // checked when it was decoded
	switch slots.Judge(r.gate, cut) {
	case order.Held:
		s.Held = true
		r.waiting -= len(s.Decision)
	case order.Mismatch:
		if r.refused < n {
			r.refused = n
			r.out.Refuse(r.id, cut)
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

// Applied implements [order.Orderer]. A position that was not handed out yet is not believed.
func (r *Rabia) Applied(position uint64) {
	for r.applied < min(position, r.handed) {
		r.applied++
		if s := r.log.At(r.applied); s != nil {
			r.applying -= len(s.Decision)
		}
	}
	r.progress() // what was applied may have opened or closed lanes
}

// ProposeConf implements [order.Orderer]: members are fixed.
func (r *Rabia) ProposeConf(order.ConfChange) error {
	return fmt.Errorf("%w: %w", order.ErrMembership, order.ErrStatic)
}

// TransferLeader implements [order.Orderer]: nobody leads, there is nothing to hand over.
func (r *Rabia) TransferLeader(uint64) {}

// Unreachable implements [order.Orderer]. Nothing follows: everything is repeated until it is known.
func (r *Rabia) Unreachable(uint64) {}

// Status implements [order.Orderer]. Every member leads, in a term of its own.
func (r *Rabia) Status() order.Status {
	s := order.Status{ID: r.id, Term: resting, Leaderless: true, Leading: r.leads(), Position: r.commit,
		Applied: r.applied, Last: r.commit, Waiting: int(r.commit - r.judged), Holes: r.holes(),
		Members: order.Members{Voters: slices.Clone(r.members)}, Refused: r.out.Refusals,
		Dropped: r.pool.dropped, Pending: r.pool.own(), Nothings: r.nothings, Same: r.pool.same,
		Quantum: quantum,
		Match:   make(map[uint64]uint64, len(r.members)), SnapshotPending: map[uint64]bool{}}
	if who := r.speaker(); who >= 0 && (who != r.self || s.Leading) {
		s.Leader = r.members[who]
	}
	if s.Leading {
		s.Term = (r.lost+1)<<8 | uint64(r.self)
	}
	if r.mine.proposal != nil || len(r.mine.steps) > 0 || len(r.pool.wanted) > 0 {
		s.Last++
	}
	for i, id := range r.members {
		s.Match[id] = r.peers[i].match
		if r.peers[i].snapshot != 0 {
			s.SnapshotPending[id] = true
		}
	}
	s.Match[r.id] = r.durable
	return s
}
