package multipaxos

import (
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes     = 256 << 10 // of entries in one Accept; one larger entry still goes alone
	maxAhead            = 256       // slots beyond what is decided that an acceptor takes
	maxInflight         = 64        // slots sent to a member that have not come
	maxUncommittedBytes = 4 << 20   // beyond it Propose answers order.ErrBusy
	maxApplyingBytes    = 1 << 20   // handed out and not applied; then nothing more is handed out
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
	id      uint64
	self    int // index in members
	members []uint64
	accepts int // quorum of phase 2: a majority, or more
	gate    order.Gate
	random  slots.Random

	electionTicks, heartbeatTicks int
	volatile                      bool
	waitMax                       int

	log      slots.Log
	promised uint64 // the highest ballot promised, or followed
	recorded uint64 // of these, what was written down
	commit   uint64 // every slot up to here is decided
	told     uint64 // the highest commit heard from the leader of the ballot promised
	handed   uint64 // handed out
	applied  uint64
	applying int // bytes handed out and not applied

	role    role
	leader  uint64 // 0 if none is known
	elapsed int
	timeout int
	seen    uint64 // the highest ballot heard of

	wait  slots.Queue // at the gate
	holes []uint64    // slots accepted before a restart and not judged since, ascending

	offered  uint64 // position of the captured state
	campaign campaign
	peers    []peer // by index; the own one counts for nothing
	lead     leadership
	reads    readings

	out     order.Outbox[answer]
	dropped uint64
}

// answer is a message that waits for stable storage. One to oneself is stepped.
type answer struct {
	to uint64
	m  message
}

var _ order.Orderer = (*Paxos)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Paxos, error) {
	at, err := slots.Begin("multipaxos", &c)
	if err != nil {
		return nil, err
	}
	p := &Paxos{id: c.ID, gate: c.Gate, electionTicks: c.ElectionTicks, heartbeatTicks: c.HeartbeatTicks,
		volatile: c.Volatile, waitMax: at.WaitMax, random: slots.NewRandom(&c), members: at.Members,
		self: at.Self, accepts: at.Accepts}
	if err := p.begin(&at); err != nil {
		return nil, err
	}
	p.handed, p.applied = p.log.Base, p.log.Base
	p.peers = make([]peer, len(p.members))
	p.reset()
	p.advance()
	return p, nil
}

// promises is the quorum of phase 1, as small as can be: any two of the two kinds meet (Howard et al.,
// "Flexible Paxos", OPODIS 2016).
func (p *Paxos) promises() int { return len(p.members) - p.accepts + 1 }

func (p *Paxos) bit(i int) uint32 { return 1 << i }

// owner is the index of the member that a ballot belongs to.
func (p *Paxos) owner(ballot uint64) int { return int(ballot & 0xff) }

// nextBallot is higher than every ballot heard of, and this member's.
func (p *Paxos) nextBallot() uint64 {
	return (max(p.promised, p.seen)>>8+1)<<8 | uint64(p.self)
}

// reset begins to wait for a leader again.
func (p *Paxos) reset() {
	p.elapsed, p.timeout = 0, p.electionTicks+p.random.Below(p.electionTicks)
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
	if p.role = follower; len(p.holes) > 0 {
		p.reset()
		return
	}
	p.probe()
}

// Step implements [order.Orderer].
func (p *Paxos) Step(from uint64, msg []byte) error {
	i := slices.Index(p.members, from)
	if i < 0 || i == p.self {
		return fmt.Errorf("%w message from %x: it is no other member", order.ErrMalformed, from)
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
		owner = p.self
	}
	if owner >= 0 && (p.owner(m.ballot) != owner || m.ballot>>8 == 0) {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], p.members[from], name(m.ballot))
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

func (p *Paxos) send(to int, m message) { p.out.Send(p.members[to], m.encode()) }

// others does something for each other member.
func (p *Paxos) others(do func(i int)) {
	for i := range p.members {
		if i != p.self {
			do(i)
		}
	}
}

// hold sends a message once everything written so far is durable.
func (p *Paxos) hold(to int, m message) {
	if p.out.Idle() {
		p.release(answer{p.members[to], m})
		return
	}
	p.out.Hold(answer{p.members[to], m})
}

func (p *Paxos) release(a answer) {
	if a.to == p.id {
		p.dispatch(p.self, &a.m)
		return
	}
	p.out.Send(a.to, a.m.encode())
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
	for p.role != leading && p.commit < p.told && p.log.Accepted(p.commit+1, p.promised) {
		p.commit++
	}
	p.deliver()
}

// deliver hands out what is decided, in order, up to the first hole (R4).
func (p *Paxos) deliver() {
	p.holes = p.log.Fill(p.holes, p.applied, p.gate)
	for p.handed < p.commit && p.applying < maxApplyingBytes {
		n := p.handed + 1
		s := p.log.At(n)
		if !s.Held {
			return
		}
		p.handed = n
		p.applying += len(s.Decision)
		p.out.Ready.Committed = append(p.out.Ready.Committed,
			order.Committed{Position: n, Term: s.Ballot, Decision: s.Decision})
	}
}

// Applied implements [order.Orderer]. A position that was not handed out yet is not believed.
func (p *Paxos) Applied(position uint64) {
	for p.applied < min(position, p.handed) {
		p.applied++
		if s := p.log.At(p.applied); s != nil {
			p.applying -= len(s.Decision)
		}
	}
	p.Recheck() // what was applied may have opened or closed lanes
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: the leader's
// acceptance counts like any other (R8).
func (p *Paxos) Propose(decision []byte) error {
	if !p.leads() {
		return order.ErrNotLeader
	}
	if p.lead.successor != 0 || p.lead.uncommitted > maxUncommittedBytes || p.log.Last()-p.commit >= maxAhead {
		return order.ErrBusy
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if p.gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	p.lead.uncommitted += len(decision)
	p.offer([]entry{{Slot: p.log.Last() + 1, Ballot: p.promised, Decision: decision}})
	p.advance()
	return nil
}

// leads is R7: what earlier ballots may have decided is decided and applied.
func (p *Paxos) leads() bool { return p.role == leading && p.applied >= p.lead.recovered }

// ProposeConf implements [order.Orderer]: members are fixed.
func (p *Paxos) ProposeConf(order.ConfChange) error {
	return fmt.Errorf("%w: %w", order.ErrMembership, order.ErrStatic)
}

// Unreachable implements [order.Orderer]. Nothing follows: what was lost shows in the answer to the
// next heartbeat.
func (p *Paxos) Unreachable(uint64) {}

// Status implements [order.Orderer].
func (p *Paxos) Status() order.Status {
	s := order.Status{ID: p.id, Leader: p.leader, Term: p.promised, Leading: p.leads(), Position: p.commit,
		Applied: p.applied, Last: p.log.Last(), Waiting: len(p.wait.Wait), Holes: len(p.holes),
		Members: order.Members{Voters: slices.Clone(p.members)}, Refused: p.out.Refusals,
		Dropped: p.dropped + p.wait.Dropped}
	if p.role == leading {
		s.Match, s.SnapshotPending = make(map[uint64]uint64, len(p.members)), map[uint64]bool{}
		for i, id := range p.members {
			s.Match[id] = p.peers[i].match
			if p.peers[i].snapshot != 0 {
				s.SnapshotPending[id] = true
			}
		}
		s.Match[p.id] = p.log.Last()
	}
	return s
}
