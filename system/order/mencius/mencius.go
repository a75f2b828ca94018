package mencius

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes = 256 << 10 // of entries in one message; one larger entry still goes alone
	maxMessageSlots = 4096      // entries in one message
	maxAhead        = 1 << 16   // slots beyond what is decided that anything is known of
	maxPending      = 16        // own proposals that are not decided yet
	maxPendingBytes = 4 << 20
	maxReads        = 1024 // waiting; further ones are dropped, and asked again
	advance         = 32   // own slots by which an owner's are reserved, and a suspect's revoked, ahead
)

const (
	resting   = 1 // the term of a replica that may not propose
	termOfAll = 1 // of every position: a decision's ballot means nothing to others
)

// Mencius is an [order.Orderer]: slots whose owners rotate, behind the gate.
type Mencius struct {
	slots.Leaderless
	durable uint64 // of what is decided, what is durable with its values

	used   uint64 // the highest slot known to be used, by anybody
	ballot uint64 // the highest heard of
	own    owner
	revoke revocation
	peers  []peer // by index; the own one counts for nothing

	beat    int // ticks since the last heartbeat
	stall   int // ticks since something was decided, while something is not
	timeout int
	source  slots.Source // whom this replica asks for what it missed

	out order.Outbox[answer]
}

// peer is another member, as it said.
type peer struct {
	commit uint64 // durably decided there
	ahead  uint64 // decided there
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
	at, err := slots.BeginLeaderless("mencius", &c, termOfAll)
	if err != nil {
		return nil, err
	}
	p := &Mencius{Leaderless: at}
	if err := p.Redo(p.redo); err != nil {
		return nil, err
	}
	p.peers = make([]peer, len(p.Members))
	p.resume()
	p.progressed()
	p.deliver()
	return p, nil
}

func bit(i int) uint32 { return 1 << i }

// owner is the index of the member that a slot belongs to.
func (p *Mencius) owner(slot uint64) int { return int(slot % uint64(len(p.Members))) }

func (p *Mencius) see(ballot uint64) {
	if ballot < decided {
		p.ballot = max(p.ballot, ballot)
	}
}

// progressed begins to wait for a decision again.
func (p *Mencius) progressed() {
	p.stall, p.timeout = 0, p.ElectionTicks+p.Random.Below(p.ElectionTicks)
}

// leads reports whether this member may propose: a majority is there, it has no holes (R4), and it knows
// which slots are its own to use.
func (p *Mencius) leads() bool { return len(p.Holes) == 0 && p.own.durable > 0 && p.Speaker() >= 0 }

// Tick implements [order.Orderer].
func (p *Mencius) Tick() {
	p.Age()
	p.reserve()
	if p.beat++; p.beat >= p.HeartbeatTicks {
		p.heartbeat()
	}
	if p.stall++; p.used <= p.Commit {
		p.stall = 0
	} else if p.stall%(2*p.HeartbeatTicks) == 0 {
		p.ask()
	}
	p.tickRevocation()
}

// Step implements [order.Orderer].
func (p *Mencius) Step(from uint64, msg []byte) error {
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
	p.Hear(i)
	p.dispatch(i, &m)
	p.deliver()
	return nil
}

// vouched refuses a message whose ballot is not its sender's, or not this member's where it answers.
func (p *Mencius) vouched(from int, m *message) error {
	ours := true
	mine := func(who int) bool {
		if m.ballot != first {
			return slots.Owner(m.ballot) == who && slots.Round(m.ballot) > 0 && m.ballot < decided
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
		ours = mine(p.Self)
	}
	if !ours {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], p.Members[from], name(m.ballot))
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

func (p *Mencius) send(to int, m message) { p.out.Send(p.Members[to], m.encode()) }

// hold sends a message once everything written so far is durable.
func (p *Mencius) hold(to int, m message) {
	p.out.After(answer{to, p.Commit, m}, p.release)
}

func (p *Mencius) release(a answer) {
	p.durable = max(p.durable, a.commit)
	if a.to == p.Self {
		p.dispatch(p.Self, &a.m)
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
	for p.Log.Accepted(p.Commit+1, decided) {
		p.Commit++
		p.progressed()
	}
	p.Fill()
	n := p.Handed
	p.HandOut(p.Commit, &p.out.Ready)
	for n++; n <= p.Handed; n++ {
		p.own.came(p, n)
	}
}

// Applied implements [order.Orderer].
func (p *Mencius) Applied(position uint64) {
	p.Apply(position)
	p.Recheck() // what was applied may have opened or closed lanes
}

// Status implements [order.Orderer]. Every member leads, in a term of its own, which ends when one of its
// proposals was lost: what it proposed may have to be proposed again.
func (p *Mencius) Status() order.Status {
	s := p.Leaderless.Status(p.leads())
	if s.Term = resting; s.Leading {
		s.Term = slots.Ballot(p.own.lost+1, p.Self)
	}
	s.Refused, s.Pending = p.out.Refusals, p.own.rounds()
	p.Match(&s, func(i int) uint64 { return p.peers[i].commit })
	s.Match[p.ID] = p.durable
	return s
}
