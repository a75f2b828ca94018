package racs

import (
	"fmt"

	"metronome/internal/mutate"
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
	gathering       // in the fallback: promises come in
	recovering      // it knows what may have been decided, and may lack items under that
	leading
)

// Racs is an [order.Orderer]: a leader per view, drawn by a coin, behind the gate.
type Racs struct {
	slots.Replica
	common   uint64 // the coin's seed, the same everywhere
	promised uint64 // the highest ballot promised, or followed
	recorded uint64 // of these, what was written down
	told     uint64 // the highest commit heard from the leader of the ballot promised
	seen     uint64 // the highest ballot heard of

	role   role
	leader uint64 // 0 if none is known
	watch  watch
	asked  asking

	campaign campaign
	commits  []uint64 // by index: how far all is decided, as its messages say
	peers    []peer   // by index; the own one counts for nothing
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

var _ order.Orderer = (*Racs)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Racs, error) {
	at, err := slots.Begin("racs", &c, 0)
	if err != nil {
		return nil, err
	}
	p := &Racs{Replica: at}
	for _, id := range p.Members {
		p.common = slots.Mix(p.common ^ id)
	}
	if err := p.Redo(p.redo); err != nil {
		return nil, err
	}
	p.Holes = p.Log.Holes()
	p.peers, p.commits = make([]peer, len(p.Members)), make([]uint64, len(p.Members))
	for i := range p.commits {
		p.commits[i] = p.Commit
	}
	p.advance()
	return p, nil
}

func bit(i int) uint32 { return 1 << i }

// majority is for what has nothing to do with values: whom to follow.
func (p *Racs) majority(set uint32) bool { return slots.Quorum(set, len(p.Members)/2+1) }

// ballot is the one of a view: the coin draws whose it is, the same for all, for it is a hash of the
// members and the view. It draws without putting back: in any len(Members) views from a multiple of
// that, each member once.
func (p *Racs) ballot(view uint64) uint64 {
	var left [32]uint8 // slots allows no more members
	n := uint64(len(p.Members))
	for i := range n {
		left[i] = uint8(i)
	}
	at, turn := slots.Mix(p.common)^view/n, view%n
	for i := uint64(0); ; i++ {
		at = slots.Mix(at)
		drawn := i + at%(n-i)
		if left[i], left[drawn] = left[drawn], left[i]; i == turn {
			return slots.Ballot(view, int(left[i]))
		}
	}
}

// next is the ballot of the view after all those heard of.
func (p *Racs) next() uint64 { return p.ballot(slots.Round(max(p.promised, p.seen)) + 1) }

// drawn reports whether a ballot is this member's.
func (p *Racs) drawn(ballot uint64) bool {
	return slots.Owner(ballot) == p.Self || mutate.On(mutate.RacsEveryoneDrawn)
}

// Tick implements [order.Orderer].
func (p *Racs) Tick() {
	p.watch.elapsed++
	if p.watch.calm++; p.watch.calm >= p.ElectionTicks && p.leader != 0 {
		p.watch.falls = 0
	}
	switch p.role {
	case leading:
		p.tickLeader()
	case follower:
		p.tickFollower()
	default:
		p.tickFallback()
	}
}

// Step implements [order.Orderer].
func (p *Racs) Step(from uint64, msg []byte) error {
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
	if m.kind != kindRead && m.kind != kindReadAt {
		p.commits[i] = m.commit // the last one: a restart may have forgotten some
	}
	p.dispatch(i, &m)
	p.advance()
	return nil
}

// vouched refuses a message whose ballot the coin did not draw, or is not its sender's, or not this
// member's where it answers.
func (p *Racs) vouched(from int, m *message) error {
	owner := slots.Owner(m.ballot)
	switch m.kind {
	case kindRead, kindReadAt:
		return nil
	case kindRefusal:
		if m.ballot == 0 {
			return nil
		}
	case kindAccept, kindHeartbeat, kindDecided, kindTakeOver:
		owner = from
	case kindAccepted, kindAlive:
		owner = p.Self
	}
	view, own := slots.Round(m.ballot), slots.Owner(m.ballot) == owner || mutate.On(mutate.RacsEveryoneDrawn)
	if view == 0 || p.ballot(view) != m.ballot || !own {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			kindNames[m.kind], p.Members[from], slots.Name(m.ballot))
	}
	return nil
}

func (p *Racs) dispatch(from int, m *message) {
	switch m.kind {
	case kindProbe:
		p.onProbe(from, m)
	case kindProbed:
		p.onProbed(from, m)
	case kindPromise:
		p.onPromise(from, m)
	case kindPropose:
		p.onPropose(from, m)
	case kindVote:
		p.onVote(from, m)
	case kindComplete:
		p.onComplete(from, m)
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

func (p *Racs) send(to int, m message) { p.out.Send(p.Members[to], m.encode()) }

// hold sends a message once everything written so far is durable.
func (p *Racs) hold(to int, m message) {
	p.out.After(answer{to, m}, p.release)
}

func (p *Racs) release(a answer) {
	if a.to == p.Self {
		p.dispatch(p.Self, &a.m)
		return
	}
	if a.m.kind == kindAccepted && a.m.ballot == p.promised {
		p.watch.said = max(p.watch.said, a.m.match)
	}
	p.send(a.to, a.m)
}

// Ready implements [order.Orderer].
func (p *Racs) Ready() order.Ready { return p.out.Take() }

// Persisted implements [order.Orderer].
func (p *Racs) Persisted(seq uint64) {
	for _, a := range p.out.Durable(seq) {
		p.release(a)
	}
	p.advance()
}

// advance learns what is decided, as far as that is known, and hands it out.
func (p *Racs) advance() {
	for p.role != leading && p.Commit < p.told && p.Log.Accepted(p.Commit+1, p.promised) {
		p.Commit++
	}
	p.deliver()
}

// deliver hands out what is decided, in order, up to the first hole (R4).
func (p *Racs) deliver() {
	p.Fill()
	p.HandOut(p.Commit, &p.out.Ready)
}

// Applied implements [order.Orderer].
func (p *Racs) Applied(position uint64) {
	p.Apply(position)
	p.Recheck() // what was applied may have opened or closed lanes
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: the leader's
// acceptance counts like any other (R8).
func (p *Racs) Propose(decision []byte) error {
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
func (p *Racs) leads() bool { return p.role == leading && p.Done >= p.lead.recovered }

// Status implements [order.Orderer].
func (p *Racs) Status() order.Status {
	s := p.Replica.Status()
	s.Leader, s.Term, s.Leading = p.leader, p.promised, p.leads()
	s.Refused, s.Dropped = p.out.Refusals, s.Dropped+p.dropped
	if p.role == leading {
		p.Match(&s, func(i int) uint64 { return p.peers[i].match })
		s.Match[p.ID] = p.Log.Last()
	}
	return s
}
