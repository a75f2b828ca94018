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
	maxAhead      = 256     // slots beyond what is decided that an acceptor takes, and entries of one Learn
	maxQueueBytes = 4 << 20 // proposals that are not decided; beyond it Propose answers order.ErrBusy
	maxQueue      = 64      // and their number
	maxReads      = 1024    // that are not answered; further ones are dropped
)

// Baxos is an [order.Orderer]: Paxos without a leader, behind the gate.
type Baxos struct {
	slots.Leaderless

	round    uint64 // the highest promised, or used
	began    uint64 // that of when this process began
	seen     uint64 // the highest heard of
	pledged  uint64 // rounds up to here are reserved, once what was written is durable
	reserved uint64 // and are
	durable  uint64 // every slot up to here is decided, held and durable
	marking  bool

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

	match   []uint64 // by index: decided, held and durable there
	beat    int      // ticks since the last one
	asked   int      // whom this member asked what was decided, -1 nobody
	shunned int      // whom it asked before in vain, -1 nobody

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

// answer is a message that waits for stable storage. One to oneself is stepped.
type answer struct {
	to int
	m  message
}

var _ order.Orderer = (*Baxos)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Baxos, error) {
	at, err := slots.BeginLeaderless("baxos", &c, 0)
	if err != nil {
		return nil, err
	}
	b := &Baxos{Leaderless: at, match: make([]uint64, len(at.Members)), asked: -1, shunned: -1}
	if err := b.Redo(b.redo); err != nil {
		return nil, err
	}
	b.resume()
	b.advance()
	return b, nil
}

// draw is a back-off in ticks: the wider, the more attempts were refused.
func (b *Baxos) draw() int {
	return 1 + b.Random.Below(min(b.HeartbeatTicks<<min(b.retries, 8), 2*b.ElectionTicks))
}

// Tick implements [order.Orderer].
func (b *Baxos) Tick() {
	b.Age()
	if b.beat++; b.beat >= b.HeartbeatTicks {
		b.speak()
	}
	b.pause = max(0, b.pause-1)
	if b.idle++; b.idle >= b.ElectionTicks && b.accepted() > b.Commit {
		b.orphan = true
	}
	b.insist()
	b.try()
}

// speak tells the others how far this member is: it is alive, and who lacks what is decided asks.
func (b *Baxos) speak() {
	b.beat = 0
	b.reconsider()
	b.Others(func(i int) { b.send(i, message{kind: kindBeat, match: b.durable}) })
	if !b.marking && b.durable < b.Commit && len(b.Holes) == 0 {
		b.marking = true
		b.hold(b.Self, message{kind: kindMark, slot: b.Commit})
	}
}

// Step implements [order.Orderer].
func (b *Baxos) Step(from uint64, msg []byte) error {
	i, err := b.Sender(from)
	if err != nil {
		return err
	}
	m, err := decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	whose := slots.Owner(m.ballot)
	if whose != i && (m.kind == kindPrepare || m.kind == kindAccept) ||
		whose != b.Self && (m.kind == kindPromise || m.kind == kindAccepted) {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], from, slots.Name(m.ballot))
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
		b.match[from] = max(b.match[from], m.match)
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
	m.commit, m.with = b.Commit, b.Log.TermAt(b.Commit)
	b.out.Send(b.Members[to], m.encode())
}

// hold sends a message once everything written so far is durable.
func (b *Baxos) hold(to int, m message) {
	b.out.After(answer{to, m}, b.release)
}

func (b *Baxos) release(a answer) {
	if a.to == b.Self {
		b.dispatch(b.Self, &a.m)
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
	for s := b.Log.At(b.Commit + 1); s != nil && s.Decided; s = b.Log.At(b.Commit + 1) {
		b.Commit++
		b.settle(s.Decision)
	}
	b.deliver()
}

// settle takes what was decided out of what is wanted here: itself, and cuts that it covers.
func (b *Baxos) settle(decision []byte) {
	b.idle, b.orphan, b.asked, b.shunned = 0, false, -1, -1
	if b.attempt.phase != resting && b.attempt.slot <= b.Commit {
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
	b.Fill()
	b.HandOut(b.Commit, &b.out.Ready)
}

// Applied implements [order.Orderer].
func (b *Baxos) Applied(position uint64) {
	b.Apply(position)
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
	if b.Gate.Holds(d.Cut) != order.Held {
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

// accepted is the highest slot that was accepted here, or is decided.
func (b *Baxos) accepted() uint64 {
	for n := b.Log.Last(); n > b.Commit; n-- {
		if b.Log.At(n).Ballot != 0 {
			return n
		}
	}
	return b.Commit
}

// leads reports whether this member may propose: a majority is there, and it has no holes (R4).
func (b *Baxos) leads() bool { return len(b.Holes) == 0 && b.Speaker() >= 0 }

// Status implements [order.Orderer]. Everybody leads, each in a term of its own for the life of a process:
// what it proposes is tried again until it is decided. Who does not lead is in the round that it promised.
func (b *Baxos) Status() order.Status {
	s := b.Leaderless.Status(b.leads())
	if s.Term = slots.Ballot(b.round, 0); s.Leading {
		s.Term = slots.Ballot(b.began+1, b.Self)
	}
	s.Last, s.Pending = b.accepted(), len(b.queue)
	s.Refused, s.Dropped = b.out.Refusals, s.Dropped+b.dropped
	b.Match(&s, func(i int) uint64 { return b.match[i] })
	s.Match[b.ID] = b.durable
	return s
}
