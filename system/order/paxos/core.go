package paxos

import (
	"fmt"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// Bounds of one orderer (I6).
const (
	// MaxAhead is how many slots beyond what is decided an acceptor takes.
	MaxAhead = 256

	maxInflight         = 64      // slots sent to a member that have not come
	maxUncommittedBytes = 4 << 20 // beyond it Propose answers order.ErrBusy
	maxReads            = 1024    // that a leader has not answered; further ones are dropped
)

// Role is what a member does besides accepting.
type Role uint8

// The roles. Who is none of the others' is a Follower, with a leader or without.
const (
	Follower   Role = iota
	Asking          // whether a majority would promise, where a protocol asks that first
	Gathering       // phase 1: promises come in
	Recovering      // phase 1 is over; it may lack items under what was accepted before
	Leading
)

// Protocol is how a leader comes to be: what an algorithm adds to [Core].
type Protocol interface {
	// Handle takes what is not phase 2: a message of the protocol's own kinds, a Refusal, or a TakeOver. from
	// is an index. It may be this member's: what it says to itself is taken when it is durable, too.
	Handle(from int, m *Message)
	// Vouch reports whether the ballot of a message that came is one that there is, and owner's, by index:
	// its sender's, or this member's where it answers. Whose the ballots of the protocol's own kinds are it
	// knows itself; owner is their sender.
	Vouch(m *Message, owner int) bool
	// Await begins to wait for word of a leader: one was heard, or gave up, or a ballot was taken up, fresh
	// for the first time.
	Await(fresh bool)
	// Recover is called when items may have come: whoever is Recovering may be able to lead now.
	Recover()
}

// Core is a member of Paxos with a leader. It implements [order.Orderer] but for Tick. What it exports
// beside that is for its protocol, which reads all fields, and writes Role, Leader and Elapsed.
type Core struct {
	slots.Replica
	Promised uint64   // the highest ballot promised, or followed
	Seen     uint64   // the highest ballot heard of
	Told     uint64   // the highest commit heard from the leader of the ballot promised
	Said     uint64   // everything up to here was accepted in the ballot promised, and its leader was told
	Commits  []uint64 // by index: how far all is decided, as a member's last message says

	Role     Role
	Leader   uint64 // 0 if none is known
	Elapsed  int    // ticks since a leader was heard; of a leader, since it counted who hears it
	Campaign Campaign

	dialect  *Dialect
	protocol Protocol
	recorded uint64 // of ballots promised, what was written down
	peers    []peer // by index; the own one counts for nothing
	lead     leadership
	reads    readings

	out     order.Outbox[answer]
	dropped uint64
}

// answer is a message that waits for stable storage. One to oneself is stepped.
type answer struct {
	to int
	m  Message
}

// Start begins; an error says what is wrong with the configuration, or that the records of a Restart do
// not fit together. A joiner is refused: members are fixed.
func (c *Core) Start(d *Dialect, p Protocol, config *order.Config) (err error) {
	c.dialect, c.protocol = d, p
	if c.Replica, err = slots.Begin(d.Name, config, 0); err != nil {
		return err
	}
	if err := c.Redo(c.redo); err != nil {
		return err
	}
	c.Holes = c.Log.Holes()
	c.peers, c.Commits = make([]peer, len(c.Members)), make([]uint64, len(c.Members))
	for i := range c.Commits {
		c.Commits[i] = c.Commit
	}
	p.Await(true)
	c.advance()
	return nil
}

// Bit is the set of one member, by index.
func Bit(i int) uint32 { return 1 << i }

// Step implements [order.Orderer].
func (c *Core) Step(from uint64, msg []byte) error {
	i, err := c.Sender(from)
	if err != nil {
		return err
	}
	m, err := c.dialect.Decode(msg)
	if err != nil {
		return fmt.Errorf("from %x: %w", from, err)
	}
	if err := c.vouched(i, &m); err != nil {
		return err
	}
	c.peers[i].heard = true
	if m.Kind != Read && m.Kind != ReadAt {
		c.Commits[i] = m.Commit // the last one: a restart may have forgotten some
	}
	c.dispatch(i, &m)
	c.advance()
	return nil
}

// vouched refuses a message whose ballot is not its sender's, or not this member's where it answers.
func (c *Core) vouched(from int, m *Message) error {
	owner := from
	switch m.Kind {
	case Read, ReadAt:
		return nil
	case Accepted, Alive:
		owner = c.Self
	}
	if !c.protocol.Vouch(m, owner) {
		return fmt.Errorf("%w message %s from %x: ballot %s is not its own to use", order.ErrMalformed,
			c.dialect.form(m.Kind).Name, c.Members[from], slots.Name(m.Ballot))
	}
	return nil
}

func (c *Core) dispatch(from int, m *Message) {
	switch m.Kind {
	case Accept:
		c.onAccept(from, m)
	case Accepted:
		c.onAccepted(from, m)
	case Heartbeat:
		c.onHeartbeat(from, m)
	case Alive:
		c.onAlive(from, m)
	case Decided:
		c.onDecided(from, m)
	case Read:
		c.onRead(from, m)
	case ReadAt:
		c.onReadAt(m)
	default:
		c.protocol.Handle(from, m)
	}
}

// Send sends a message at once: it is not evidence, and promises nothing.
func (c *Core) Send(to int, m Message) { c.out.Send(c.Members[to], c.dialect.Encode(&m)) }

// Hold sends a message once everything written so far is durable.
func (c *Core) Hold(to int, m Message) { c.out.After(answer{to, m}, c.release) }

func (c *Core) release(a answer) {
	if a.to == c.Self {
		c.dispatch(c.Self, &a.m)
		return
	}
	if a.m.Kind == Accepted && a.m.Ballot == c.Promised {
		c.Said = max(c.Said, a.m.Match)
	}
	c.Send(a.to, a.m)
}

// Ready implements [order.Orderer].
func (c *Core) Ready() order.Ready { return c.out.Take() }

// Persisted implements [order.Orderer].
func (c *Core) Persisted(seq uint64) {
	for _, a := range c.out.Durable(seq) {
		c.release(a)
	}
	c.advance()
}

// advance learns what is decided, as far as that is known, and hands it out, in order, up to the first
// hole (R4).
func (c *Core) advance() {
	for c.Role != Leading && c.Commit < c.Told && c.Log.Accepted(c.Commit+1, c.Promised) {
		c.Commit++
	}
	c.Fill()
	c.HandOut(c.Commit, &c.out.Ready)
}

// Applied implements [order.Orderer].
func (c *Core) Applied(position uint64) {
	c.Apply(position)
	c.Recheck() // what was applied may have opened or closed lanes
}

// Status implements [order.Orderer].
func (c *Core) Status() order.Status {
	s := c.Replica.Status()
	s.Leader, s.Term, s.Leading = c.Leader, c.Promised, c.leads()
	s.Refused, s.Dropped = c.out.Refusals, s.Dropped+c.dropped
	if c.Role == Leading {
		c.Match(&s, func(i int) uint64 { return c.peers[i].match })
		s.Match[c.ID] = c.Log.Last()
	}
	return s
}

// broken asks for a mutation that each algorithm has of its own: whichever is run against it.
func broken(multipaxos, racs mutate.Mutation) bool { return mutate.On(multipaxos) || mutate.On(racs) }
