package multipaxos

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes     = 256 << 10 // of entries in one Accept; one larger entry still goes alone
	maxAhead            = 256       // slots beyond what is decided that an acceptor takes
	maxInflight         = 64        // slots sent to a member that have not come
	maxUncommittedBytes = 4 << 20   // beyond it Propose answers order.ErrBusy
	maxReads            = 1024      // that a leader has not answered; further ones are dropped
)

// role is what a replica does besides accepting.
type role uint8

const (
	follower   role = iota
	probing         // asks whether it would win
	preparing       // phase 1: promises come in
	recovering      // phase 1 is over; it lacks items under what was accepted before
	leading
)

// Paxos is an [order.Orderer]: Multi-Paxos behind the gate.
type Paxos struct {
	slots.Replica
	promised uint64 // the highest ballot promised, or followed
	recorded uint64 // of these, what was written down
	told     uint64 // the highest commit heard from the leader of the ballot promised
	seen     uint64 // the highest ballot heard of

	role    role
	leader  uint64 // 0 if none is known
	elapsed int
	timeout int

	campaign campaign
	peers    []peer // by index; the own one counts for nothing
	lead     leadership
	reads    readings

	out     order.Outbox[answer]
	dropped uint64
}

// answer is a message that waits for stable storage. One to oneself is stepped.
type answer struct {
	to int
	m  message
}

var _ order.Orderer = (*Paxos)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Paxos, error) {
	at, err := slots.Begin("multipaxos", &c, 0)
	if err != nil {
		return nil, err
	}
	p := &Paxos{Replica: at}
	if err := p.Redo(p.redo); err != nil {
		return nil, err
	}
	p.Holes = p.Log.Holes()
	p.peers = make([]peer, len(p.Members))
	p.reset()
	p.advance()
	return p, nil
}

func bit(i int) uint32 { return 1 << i }

// nextBallot is higher than every ballot heard of, and this member's.
func (p *Paxos) nextBallot() uint64 {
	return slots.Ballot(slots.Round(max(p.promised, p.seen))+1, p.Self)
}

// reset begins to wait for a leader again.
func (p *Paxos) reset() {
	p.elapsed, p.timeout = 0, p.ElectionTicks+p.Random.Below(p.ElectionTicks)
}

// Tick implements [order.Orderer]. With a hole in what it accepted, a replica does not campaign (R4).
func (p *Paxos) Tick() {
	p.elapsed++
	if p.role == leading {
		p.tickLeader()
		return
	}
	if p.elapsed < p.timeout {
		return
	}
	p.leader = 0
	if p.role = follower; len(p.Holes) > 0 {
		p.reset()
		return
	}
	p.probe()
}

// Step implements [order.Orderer].
func (p *Paxos) Step(from uint64, msg []byte) error {
	i, err := p.Sender(from)
	if err != nil {
		return err
	}
	m, err := decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	if err := p.vouched(i, &m); err != nil {
		return err
	}
	p.peers[i].heard = true
	p.dispatch(i, &m)
	p.advance()
	return nil
}

// vouched refuses a message whose ballot is not its sender's, or not this member's where it answers.
func (p *Paxos) vouched(from int, m *message) error {
	owner := -1
	switch m.kind {
	case kindProbe, kindPrepare, kindAccept, kindHeartbeat, kindDecided, kindTakeOver:
		owner = from
	case kindProbed, kindPromise, kindAccepted, kindAlive:
		owner = p.Self
	}
	if owner >= 0 && (slots.Owner(m.ballot) != owner || slots.Round(m.ballot) == 0) {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], p.Members[from], slots.Name(m.ballot))
	}
	return nil
}

func (p *Paxos) dispatch(from int, m *message) {
	switch m.kind {
	case kindProbe:
		p.onProbe(from, m)
	case kindProbed:
		p.onProbed(from, m)
	case kindPrepare:
		p.onPrepare(from, m)
	case kindPromise:
		p.onPromise(from, m)
	case kindAccept:
		p.onAccept(from, m)
	case kindAccepted:
		p.onAccepted(from, m)
	case kindHeartbeat:
		p.onHeartbeat(from, m)
	case kindAlive:
		p.onAlive(from, m)
	case kindDecided:
		p.onDecided(from, m)
	case kindRefusal:
		p.onRefusal(m)
	case kindTakeOver:
		p.onTakeOver(from, m)
	case kindRead:
		p.onRead(from, m)
	case kindReadAt:
		p.onReadAt(from, m)
	}
}

func (p *Paxos) send(to int, m message) { p.out.Send(p.Members[to], m.encode()) }

// hold sends a message once everything written so far is durable.
func (p *Paxos) hold(to int, m message) {
	p.out.After(answer{to, m}, p.release)
}

func (p *Paxos) release(a answer) {
	if a.to == p.Self {
		p.dispatch(p.Self, &a.m)
		return
	}
	p.send(a.to, a.m)
}

// Ready implements [order.Orderer].
func (p *Paxos) Ready() order.Ready { return p.out.Take() }

// Persisted implements [order.Orderer].
func (p *Paxos) Persisted(seq uint64) {
	for _, a := range p.out.Durable(seq) {
		p.release(a)
	}
	p.advance()
}

// advance learns what is decided, as far as that is known, and hands it out.
func (p *Paxos) advance() {
	for p.role != leading && p.Commit < p.told && p.Log.Accepted(p.Commit+1, p.promised) {
		p.Commit++
	}
	p.deliver()
}

// deliver hands out what is decided, in order, up to the first hole (R4).
func (p *Paxos) deliver() {
	p.Fill()
	p.HandOut(p.Commit, &p.out.Ready)
}

// Applied implements [order.Orderer].
func (p *Paxos) Applied(position uint64) {
	p.Apply(position)
	p.Recheck() // what was applied may have opened or closed lanes
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: the leader's
// acceptance counts like any other (R8).
func (p *Paxos) Propose(decision []byte) error {
	if !p.leads() {
		return order.ErrNotLeader
	}
	if p.lead.successor != 0 || p.lead.uncommitted > maxUncommittedBytes || p.Log.Last()-p.Commit >= maxAhead {
		return order.ErrBusy
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if p.Gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	p.lead.uncommitted += len(decision)
	p.offer([]entry{{Slot: p.Log.Last() + 1, Ballot: p.promised, Decision: decision}})
	p.advance()
	return nil
}

// leads is R7: what earlier ballots may have decided is decided and applied.
func (p *Paxos) leads() bool { return p.role == leading && p.Done >= p.lead.recovered }

// Status implements [order.Orderer].
func (p *Paxos) Status() order.Status {
	s := p.Replica.Status()
	s.Leader, s.Term, s.Leading = p.leader, p.promised, p.leads()
	s.Refused, s.Dropped = p.out.Refusals, s.Dropped+p.dropped
	if p.role == leading {
		p.Match(&s, func(i int) uint64 { return p.peers[i].match })
		s.Match[p.ID] = p.Log.Last()
	}
	return s
}
