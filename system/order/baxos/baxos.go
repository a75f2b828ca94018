package baxos

import (
	"bytes"
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes  = 256 << 10 // of entries in one Learn; one larger entry still goes alone
	maxAhead         = 256       // slots beyond what is decided that an acceptor takes
	maxQueueBytes    = 4 << 20   // proposals that are not decided; beyond it Propose answers order.ErrBusy
	maxQueue         = 64        // and their number
	maxApplyingBytes = 1 << 20   // handed out and not applied; then nothing more is handed out
	maxReads         = 1024      // that are not answered; further ones are dropped
)

// Baxos is an [order.Orderer]: Paxos without a leader, behind the gate.
type Baxos struct {
	id      uint64
	self    int // index in members
	members []uint64
	accepts int // quorum of phase 2: a majority, or more
	gate    order.Gate
	random  slots.Random

	electionTicks, beatTicks int
	volatile                 bool
	waitMax                  int

	log      slots.Log
	round    uint64 // the highest promised, or used
	began    uint64 // that of when this process began
	seen     uint64 // the highest heard of
	pledged  uint64 // rounds up to here are reserved, once what was written is durable
	reserved uint64 // and are
	commit   uint64 // every slot up to here is decided
	handed   uint64 // handed out
	applied  uint64
	applying int    // bytes handed out and not applied
	durable  uint64 // every slot up to here is decided, held and durable
	marking  bool

	wait  slots.Queue // at the gate
	holes []uint64    // slots accepted before a restart and not judged since, ascending

	queue   []proposal // wanted here, in order
	queued  int        // bytes of it
	reads   []uint64   // that wait for a slot of their own
	attempt attempt
	own     ownership
	pause   int  // ticks of back-off left
	armed   bool // the back-off before the next attempt was drawn
	retries int
	orphan  bool // what was accepted here nobody brings to an end
	idle    int  // ticks for which nothing was decided

	peers   []peer // by index
	beat    int    // ticks since the last one
	asked   int    // whom this member asked what was decided, -1 nobody
	shunned int    // whom it asked before in vain, -1 nobody
	offered uint64 // position of the captured state

	out     order.Outbox[answer]
	dropped uint64
}

// proposal is a decision wanted here. cut is what of it no decision covers yet; only says that it is
// nothing but a cut.
type proposal struct {
	decision []byte
	cut      order.Cut
	only     bool
}

// peer is another member as this one sees it.
type peer struct {
	silent   int    // ticks
	match    uint64 // decided, held and durable there
	snapshot uint64 // of this position, on its way; 0 if none is
}

// answer is a message that waits for stable storage. One to oneself is stepped.
type answer struct {
	to int
	m  message
}

var _ order.Orderer = (*Baxos)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Baxos, error) {
	at, err := slots.Begin("baxos", &c)
	if err != nil {
		return nil, err
	}
	b := &Baxos{id: c.ID, gate: c.Gate, electionTicks: c.ElectionTicks, beatTicks: c.HeartbeatTicks,
		volatile: c.Volatile, waitMax: at.WaitMax, random: slots.NewRandom(&c), members: at.Members,
		self: at.Self, accepts: at.Accepts, asked: -1, shunned: -1}
	if err := b.begin(&at); err != nil {
		return nil, err
	}
	b.handed, b.applied = b.log.Base, b.log.Base
	b.peers = make([]peer, len(b.members))
	for i := range b.peers {
		b.peers[i].silent = b.electionTicks
	}
	b.advance()
	return b, nil
}

// promises is the quorum of phase 1: any two of the two kinds meet (Howard et al., 2016).
func (b *Baxos) promises() int { return len(b.members) - b.accepts + 1 }

func owner(ballot uint64) int { return int(ballot & 0xff) }

// draw is a back-off in ticks: the wider, the more attempts were refused.
func (b *Baxos) draw() int {
	return 1 + b.random.Below(min(b.beatTicks<<min(b.retries, 8), 2*b.electionTicks))
}

// Tick implements [order.Orderer].
func (b *Baxos) Tick() {
	for i := range b.peers {
		b.peers[i].silent = min(b.peers[i].silent+1, b.electionTicks)
	}
	if b.beat++; b.beat >= b.beatTicks {
		b.speak()
	}
	b.pause = max(0, b.pause-1)
	if b.idle++; b.idle >= b.electionTicks && b.accepted() > b.commit {
		b.orphan = true
	}
	b.insist()
	b.try()
}

// speak tells the others how far this member is: it is alive, and who lacks what is decided asks.
func (b *Baxos) speak() {
	b.beat = 0
	b.reconsider()
	b.others(func(i int) { b.send(i, message{kind: kindBeat, match: b.durable}) })
	if !b.marking && b.durable < b.commit && len(b.holes) == 0 {
		b.marking = true
		b.hold(b.self, message{kind: kindMark, slot: b.commit})
	}
}

// Step implements [order.Orderer].
func (b *Baxos) Step(from uint64, msg []byte) error {
	i := slices.Index(b.members, from)
	if i < 0 || i == b.self {
		return fmt.Errorf("%w message from %x: it is no other member", order.ErrMalformed, from)
	}
	m, err := decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	whose := owner(m.ballot)
	if whose != i && (m.kind == kindPrepare || m.kind == kindAccept) ||
		whose != b.self && (m.kind == kindPromise || m.kind == kindAccepted) {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], from, name(m.ballot))
	}
	b.dispatch(i, &m)
	b.hear(i, &m)
	b.advance()
	b.try()
	return nil
}

func (b *Baxos) dispatch(from int, m *message) {
	switch m.kind {
	case kindPrepare:
		b.onPrepare(from, m)
	case kindPromise:
		b.onPromise(from, m)
	case kindAccept:
		b.onAccept(from, m)
	case kindAccepted:
		b.onAccepted(from, m)
	case kindRefusal:
		b.onRefusal(m)
	case kindBeat:
		b.peers[from].match = max(b.peers[from].match, m.match)
	case kindAsk:
		b.onAsk(from, m)
	case kindLearn:
		b.onLearn(from, m)
	case kindReserved:
		b.reserved = m.slot
	case kindMark:
		b.durable, b.marking = max(b.durable, m.slot), false
	}
}

func (b *Baxos) send(to int, m message) {
	m.commit, m.with = b.commit, b.log.TermAt(b.commit)
	b.out.Send(b.members[to], m.encode())
}

// others does something for each other member.
func (b *Baxos) others(do func(i int)) {
	for i := range b.members {
		if i != b.self {
			do(i)
		}
	}
}

// hold sends a message once everything written so far is durable.
func (b *Baxos) hold(to int, m message) {
	if b.out.Idle() {
		b.release(answer{to, m})
		return
	}
	b.out.Hold(answer{to, m})
}

func (b *Baxos) release(a answer) {
	if a.to == b.self {
		b.dispatch(b.self, &a.m)
		return
	}
	b.send(a.to, a.m)
}

// Ready implements [order.Orderer].
func (b *Baxos) Ready() order.Ready { return b.out.Take() }

// Persisted implements [order.Orderer].
func (b *Baxos) Persisted(seq uint64) {
	for _, a := range b.out.Durable(seq) {
		b.release(a)
	}
	b.advance()
	b.try()
}

// advance learns how far all is decided, and hands it out.
func (b *Baxos) advance() {
	for s := b.log.At(b.commit + 1); s != nil && s.Decided; s = b.log.At(b.commit + 1) {
		b.commit++
		b.settle(s.Decision)
	}
	b.deliver()
}

// settle takes what was decided out of what is wanted here: itself, and cuts that it covers.
func (b *Baxos) settle(decision []byte) {
	b.idle, b.orphan, b.asked, b.shunned = 0, false, -1, -1
	if b.attempt.phase != resting && b.attempt.slot <= b.commit {
		b.attempt = attempt{}
	}
	same := slices.IndexFunc(b.queue, func(p proposal) bool { return bytes.Equal(p.decision, decision) })
	if same >= 0 {
		b.unwant(same)
	}
	if len(b.queue) == 0 || len(decision) == 0 {
		return
	}
	cut, _ := order.CutOf(decision)
	for i := len(b.queue) - 1; i >= 0; i-- {
		p := &b.queue[i]
		if p.cut = uncovered(p.cut, cut); p.only && len(p.cut) == 0 {
			b.unwant(i)
		}
	}
}

func uncovered(c, by order.Cut) order.Cut {
	return slices.DeleteFunc(c, func(m order.Mark) bool {
		decided, ok := by.Find(m.Lane)
		return ok && decided.Frames >= m.Frames
	})
}

func (b *Baxos) unwant(i int) {
	b.queued -= len(b.queue[i].decision)
	b.queue = slices.Delete(b.queue, i, i+1)
}

// deliver hands out what is decided, in order, up to the first hole (R4).
func (b *Baxos) deliver() {
	b.holes = b.log.Fill(b.holes, b.applied, b.gate)
	for b.handed < b.commit && b.applying < maxApplyingBytes {
		n := b.handed + 1
		s := b.log.At(n)
		if !s.Held {
			return
		}
		b.handed = n
		b.applying += len(s.Decision)
		b.out.Ready.Committed = append(b.out.Ready.Committed,
			order.Committed{Position: n, Term: s.Ballot, Decision: s.Decision})
	}
}

// Applied implements [order.Orderer]. A position that was not handed out yet is not believed.
func (b *Baxos) Applied(position uint64) {
	for b.applied < min(position, b.handed) {
		b.applied++
		if s := b.log.At(b.applied); s != nil {
			b.applying -= len(s.Decision)
		}
	}
	b.Recheck() // what was applied may have opened or closed lanes
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first (R8). A proposal
// that loses a slot to another is tried again in the next, until it is decided, or others' decisions
// cover it.
func (b *Baxos) Propose(decision []byte) error {
	if !b.leads() {
		return order.ErrNotLeader
	}
	if b.queued > maxQueueBytes || len(b.queue) >= maxQueue {
		return order.ErrBusy
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if b.gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	b.queued += len(decision)
	b.queue = append(b.queue, proposal{decision, d.Cut, len(d.Cut) > 0 && len(d.Commands) == 0})
	b.try()
	b.advance()
	return nil
}

// ReadIndex implements [order.Orderer]: a read gets a slot that is decided by this member, with what it
// proposes next, or with nothing.
func (b *Baxos) ReadIndex(ctx uint64) {
	if len(b.reads) < maxReads {
		b.reads = append(b.reads, ctx)
		b.try()
	}
}

// ProposeConf implements [order.Orderer]: members are fixed.
func (b *Baxos) ProposeConf(order.ConfChange) error {
	return fmt.Errorf("%w: %w", order.ErrMembership, order.ErrStatic)
}

// TransferLeader implements [order.Orderer]. There is none.
func (b *Baxos) TransferLeader(uint64) {}

// Unreachable implements [order.Orderer]. What was lost is sent again.
func (b *Baxos) Unreachable(uint64) {}

// accepted is the highest slot that was accepted here, or is decided.
func (b *Baxos) accepted() uint64 {
	for n := b.log.Last(); n > b.commit; n-- {
		if b.log.At(n).Ballot != 0 {
			return n
		}
	}
	return b.commit
}

// speaker is the index of the first member that is alive, -1 while no majority is.
func (b *Baxos) speaker() int {
	first, alive := -1, 0
	for i := range b.members {
		if i != b.self && b.peers[i].silent >= b.electionTicks {
			continue
		}
		if alive++; first < 0 {
			first = i
		}
	}
	if alive <= len(b.members)/2 {
		return -1
	}
	return first
}

// leads reports whether this member may propose: a majority is there, and it has no holes (R4).
func (b *Baxos) leads() bool { return len(b.holes) == 0 && b.speaker() >= 0 }

// Status implements [order.Orderer]. Everybody leads, each in a term of its own for the life of a process:
// what it proposes is tried again until it is decided. Who does not lead is in the round that it promised.
func (b *Baxos) Status() order.Status {
	s := order.Status{ID: b.id, Term: b.round << 8, Leaderless: true, Leading: b.leads(), Position: b.commit,
		Applied: b.applied, Last: b.accepted(), Pending: len(b.queue), Waiting: len(b.wait.Wait),
		Holes: len(b.holes), Members: order.Members{Voters: slices.Clone(b.members)},
		Match: make(map[uint64]uint64, len(b.members)), SnapshotPending: map[uint64]bool{},
		Refused: b.out.Refusals, Dropped: b.dropped + b.wait.Dropped}
	if who := b.speaker(); who >= 0 && (who != b.self || s.Leading) {
		s.Leader = b.members[who]
	}
	if s.Leading {
		s.Term = (b.began+1)<<8 | uint64(b.self)
	}
	for i, id := range b.members {
		s.Match[id] = b.peers[i].match
		if b.peers[i].snapshot != 0 {
			s.SnapshotPending[id] = true
		}
	}
	s.Match[b.id] = b.durable
	return s
}
