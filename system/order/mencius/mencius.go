package mencius

import (
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes  = 256 << 10 // of entries in one message; one larger entry still goes alone
	maxMessageSlots  = 4096      // entries in one message
	maxAhead         = 1 << 16   // slots beyond what is decided that anything is known of
	maxPending       = 16        // own proposals that are not decided yet
	maxPendingBytes  = 4 << 20
	maxApplyingBytes = 1 << 20 // handed out and not applied; then nothing more is handed out
	maxReads         = 1024    // waiting; further ones are dropped, and asked again
	advance          = 32      // own slots by which an owner's are reserved, and a suspect's revoked, ahead
)

// resting is the term of a replica that may not propose.
const resting = 1

// Mencius is an [order.Orderer]: slots whose owners rotate, behind the gate.
type Mencius struct {
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
	wait     slots.Queue
	commit   uint64 // every slot up to here is decided, and held when it got in
	durable  uint64 // of that, what is durable with its values
	handed   uint64 // handed out
	applied  uint64
	applying int      // bytes handed out and not applied
	holes    []uint64 // slots accepted before a restart and not judged since, ascending

	used   uint64 // the highest slot known to be used, by anybody
	ballot uint64 // the highest heard of
	own    owner
	revoke revocation
	peers  []peer // by index; the own one counts for nothing

	beat    int // ticks since the last heartbeat
	stall   int // ticks since something was decided, while something is not
	timeout int
	source  int // whom this replica asks for what it missed

	offered uint64 // position of the captured state
	out     order.Outbox[answer]
}

// peer is another member, as it said.
type peer struct {
	commit   uint64 // durably decided there
	ahead    uint64 // decided there
	heard    bool   // in this process
	silent   int    // ticks since
	snapshot uint64 // of this position, on its way; 0 if none is
}

// answer is a message that waits for stable storage, and how far all was decided when it was written.
// One to oneself is stepped.
type answer struct {
	to     int
	commit uint64
	m      message
}

var _ order.Orderer = (*Mencius)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records of a
// Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Mencius, error) {
	at, err := slots.Begin("mencius", &c)
	if err != nil {
		return nil, err
	}
	p := &Mencius{id: c.ID, gate: c.Gate, electionTicks: c.ElectionTicks, heartbeatTicks: c.HeartbeatTicks,
		volatile: c.Volatile, waitMax: at.WaitMax, random: slots.NewRandom(&c), members: at.Members,
		self: at.Self, accepts: at.Accepts}
	if err := p.begin(&at); err != nil {
		return nil, err
	}
	p.handed, p.applied = p.log.Base, p.log.Base
	p.peers = make([]peer, len(p.members))
	p.resume()
	p.progressed()
	p.deliver()
	return p, nil
}

// promises is the quorum of phase 1, as small as can be: any two of the two kinds meet (Howard et al.,
// "Flexible Paxos", OPODIS 2016).
func (p *Mencius) promises() int { return len(p.members) - p.accepts + 1 }

func bit(i int) uint32 { return 1 << i }

// owner is the index of the member that a slot belongs to.
func (p *Mencius) owner(slot uint64) int { return int(slot % uint64(len(p.members))) }

func (p *Mencius) see(ballot uint64) {
	if ballot < decided {
		p.ballot = max(p.ballot, ballot)
	}
}

// progressed begins to wait for a decision again.
func (p *Mencius) progressed() {
	p.stall, p.timeout = 0, p.electionTicks+p.random.Below(p.electionTicks)
}

// alive reports whether a member was heard within an election timeout.
func (p *Mencius) alive(i int) bool {
	return i == p.self || p.peers[i].heard && p.peers[i].silent < p.electionTicks
}

// speaker is the index of the first member that is alive, -1 while no majority is.
func (p *Mencius) speaker() int {
	who, n := -1, 0
	for i := range p.members {
		if p.alive(i) {
			if n++; who < 0 {
				who = i
			}
		}
	}
	if 2*n <= len(p.members) {
		return -1
	}
	return who
}

// leads reports whether this member may propose: a majority is there, it has no holes (R4), and it knows
// which slots are its own to use.
func (p *Mencius) leads() bool { return len(p.holes) == 0 && p.own.durable > 0 && p.speaker() >= 0 }

// Tick implements [order.Orderer].
func (p *Mencius) Tick() {
	for i := range p.peers {
		p.peers[i].silent++
	}
	p.reserve()
	if p.beat++; p.beat >= p.heartbeatTicks {
		p.heartbeat()
	}
	if p.stall++; p.used <= p.commit {
		p.stall = 0
	} else if p.stall%(2*p.heartbeatTicks) == 0 {
		p.ask()
	}
	p.tickRevocation()
}

// Step implements [order.Orderer].
func (p *Mencius) Step(from uint64, msg []byte) error {
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
	p.peers[i].heard, p.peers[i].silent = true, 0
	p.dispatch(i, &m)
	p.deliver()
	return nil
}

// vouched refuses a message whose ballot is not its sender's, or not this member's where it answers.
func (p *Mencius) vouched(from int, m *message) error {
	ours := true
	mine := func(who int) bool {
		if m.ballot != first {
			return int(m.ballot&0xff) == who && m.ballot>>8 > 0 && m.ballot < decided
		}
		for i := range m.entries {
			if p.owner(m.entries[i].Slot) != who {
				return false
			}
		}
		for _, n := range m.slots {
			if p.owner(n) != who {
				return false
			}
		}
		return true
	}
	switch m.kind {
	case kindAccept, kindDecided:
		ours = mine(from)
	case kindPrepare:
		ours = m.ballot != first && mine(from)
	case kindAccepted, kindPromise:
		ours = mine(p.self)
	}
	if !ours {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], p.members[from], name(m.ballot))
	}
	return nil
}

func (p *Mencius) dispatch(from int, m *message) {
	switch m.kind {
	case kindAccept:
		p.onAccept(from, m)
	case kindAccepted:
		p.onAccepted(from, m)
	case kindDecided:
		p.onDecided(m)
	case kindHeartbeat:
		p.onHeartbeat(from, m)
	case kindAsk:
		p.onAsk(from, m)
	case kindLearn:
		p.onLearn(from, m)
	case kindPrepare:
		p.onPrepare(from, m)
	case kindPromise:
		p.onPromise(from, m)
	case kindRefusal:
		p.onRefusal(m)
	case kindDurable:
		p.own.durable, p.own.asked = max(p.own.durable, m.end), false
	}
}

func (p *Mencius) send(to int, m message) { p.out.Send(p.members[to], m.encode()) }

// others does something for each other member.
func (p *Mencius) others(do func(i int)) {
	for i := range p.members {
		if i != p.self {
			do(i)
		}
	}
}

// hold sends a message once everything written so far is durable.
func (p *Mencius) hold(to int, m message) {
	a := answer{to, p.commit, m}
	if p.out.Idle() {
		p.release(a)
		return
	}
	p.out.Hold(a)
}

func (p *Mencius) release(a answer) {
	p.durable = max(p.durable, a.commit)
	if a.to == p.self {
		p.dispatch(p.self, &a.m)
		return
	}
	p.send(a.to, a.m)
}

// Ready implements [order.Orderer].
func (p *Mencius) Ready() order.Ready { return p.out.Take() }

// Persisted implements [order.Orderer].
func (p *Mencius) Persisted(seq uint64) {
	for _, a := range p.out.Durable(seq) {
		p.release(a)
	}
	p.deliver()
}

// deliver moves the commit, and hands out what is decided, in order, up to the first hole (R4).
func (p *Mencius) deliver() {
	for p.log.Accepted(p.commit+1, decided) {
		p.commit++
		p.progressed()
	}
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
			order.Committed{Position: n, Term: termOfAll, Decision: s.Decision})
		p.own.came(p, n)
	}
}

// termOfAll is the term of every position: a decision's ballot means nothing to others.
const termOfAll = 1

// Applied implements [order.Orderer]. A position that was not handed out yet is not believed.
func (p *Mencius) Applied(position uint64) {
	for p.applied < min(position, p.handed) {
		p.applied++
		if s := p.log.At(p.applied); s != nil {
			p.applying -= len(s.Decision)
		}
	}
	p.Recheck() // what was applied may have opened or closed lanes
}

// ProposeConf implements [order.Orderer]: members are fixed.
func (p *Mencius) ProposeConf(order.ConfChange) error {
	return fmt.Errorf("%w: %w", order.ErrMembership, order.ErrStatic)
}

// TransferLeader implements [order.Orderer]: nobody leads, there is nothing to hand over.
func (p *Mencius) TransferLeader(uint64) {}

// Unreachable implements [order.Orderer]. Nothing follows: who misses something asks for it.
func (p *Mencius) Unreachable(uint64) {}

// Status implements [order.Orderer]. Every member leads, in a term of its own, which ends when one of its
// proposals was lost: what it proposed may have to be proposed again.
func (p *Mencius) Status() order.Status {
	s := order.Status{ID: p.id, Term: resting, Leaderless: true, Leading: p.leads(), Position: p.commit,
		Applied: p.applied, Last: p.log.Last(), Waiting: len(p.wait.Wait), Holes: len(p.holes),
		Members: order.Members{Voters: slices.Clone(p.members)}, Refused: p.out.Refusals,
		Dropped: p.wait.Dropped, Pending: p.own.rounds(),
		Match: make(map[uint64]uint64, len(p.members)), SnapshotPending: map[uint64]bool{}}
	if who := p.speaker(); who >= 0 && (who != p.self || s.Leading) {
		s.Leader = p.members[who]
	}
	if s.Leading {
		s.Term = (p.own.lost+1)<<8 | uint64(p.self)
	}
	for i, id := range p.members {
		s.Match[id] = p.peers[i].commit
		if p.peers[i].snapshot != 0 {
			s.SnapshotPending[id] = true
		}
	}
	s.Match[p.id] = p.durable
	return s
}
