package paxos

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// leadership is what only a leader has.
type leadership struct {
	recovered   uint64 // what earlier ballots may have decided lies up to here
	uncommitted int    // bytes
	beat        int    // ticks since the last heartbeat
	successor   uint64 // who is to take over, 0 if nobody
	patience    int    // ticks left for that
}

// peer is another member as the leader sees it.
type peer struct {
	match     uint64 // accepted up to here
	have      uint64 // came up to here, accepted or not
	next      uint64 // to be sent
	confirmed uint64 // the latest read confirmation
	heard     bool   // since the quorum was last counted
	stands    slots.Standstill
}

// leads is R7: what earlier ballots may have decided is decided and applied.
func (c *Core) leads() bool { return c.Role == Leading && c.Done >= c.lead.recovered }

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: the leader's
// acceptance counts like any other (R8).
func (c *Core) Propose(decision []byte) error {
	if !c.leads() {
		return order.ErrNotLeader
	}
	if c.lead.successor != 0 || c.lead.uncommitted > maxUncommittedBytes || c.Log.Last()-c.Commit >= MaxAhead {
		return order.ErrBusy
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if c.Gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	c.lead.uncommitted += len(decision)
	c.offer([]slots.Entry{{Slot: c.Log.Last() + 1, Ballot: c.Promised, Decision: decision}})
	c.advance()
	return nil
}

// offer proposes values in the leader's ballot, and accepts them here.
func (c *Core) offer(entries []slots.Entry) {
	c.take(entries)
	c.Others(func(i int) { c.feed(i) })
	c.acknowledge(c.Self, c.Promised)
}

// feed sends a member what it has not got, as far as the window allows.
func (c *Core) feed(i int) (sent bool) {
	p := &c.peers[i]
	end := min(c.Log.Last(), p.have+maxInflight)
	for !c.Sending(i) && p.next <= end {
		if p.next <= c.Log.Base {
			c.SendState(i, &c.out.Ready)
			break
		}
		entries := c.Log.Batch(p.next, end, 0, MaxAhead)
		p.next += uint64(len(entries))
		c.Send(i, Message{Kind: Accept, Ballot: c.Promised, Commit: c.Commit, Entries: entries})
		sent = true
	}
	return sent
}

// onAccepted counts acceptances. A slot is decided when a quorum accepted it in this ballot.
func (c *Core) onAccepted(from int, m *Message) {
	if c.Role != Leading || m.Ballot != c.Promised {
		return
	}
	p := &c.peers[from]
	p.match = max(p.match, min(m.Match, c.Log.Last()))
	p.have = max(p.have, p.match)
	p.next = max(p.next, p.match+1)
	for n := c.Commit + 1; n <= p.match; n++ {
		c.Log.At(n).Votes |= Bit(from)
	}
	for _, n := range m.Slots {
		if s := c.Log.At(n); s != nil && n > c.Commit {
			s.Votes |= Bit(from)
		}
	}
	c.decide(from)
}

// decide moves the commit, and tells everybody.
func (c *Core) decide(from int) {
	before := c.Commit
	needed := c.Accepts
	if broken(mutate.PaxosMinority, mutate.RacsMinority) {
		needed--
	}
	for s := c.Log.At(c.Commit + 1); s != nil && slots.Quorum(s.Votes, needed); s = c.Log.At(c.Commit + 1) {
		c.Commit++
		c.lead.uncommitted -= len(s.Decision)
	}
	if c.Commit == before {
		if from != c.Self {
			c.feed(from)
		}
		return
	}
	c.Others(func(i int) {
		if !c.feed(i) {
			c.Send(i, Message{Kind: Decided, Ballot: c.Promised, Commit: c.Commit})
		}
	})
}

// onAlive sends again what did not come, and a snapshot to whom nothing else would help.
func (c *Core) onAlive(from int, m *Message) {
	if c.Role != Leading || m.Ballot != c.Promised {
		return
	}
	p := &c.peers[from]
	if p.have = max(m.Have, p.match); p.stands.Look(p.match, c.Log.Base, &c.Replica) {
		p.have = p.match
	}
	if p.have < m.End {
		p.next = min(p.next, p.have+1)
	}
	c.Arrived(from, p.have)
	p.confirmed = max(p.confirmed, m.Read)
	c.confirm()
	c.feed(from)
}

// TickLeader speaks, and steps down if no majority answers for an election timeout.
func (c *Core) TickLeader() {
	if c.lead.beat++; c.lead.beat >= c.HeartbeatTicks {
		c.heartbeat()
	}
	if c.lead.successor != 0 {
		if c.lead.patience--; c.lead.patience <= 0 {
			c.lead.successor = 0
		}
	}
	if c.Elapsed < c.ElectionTicks {
		return
	}
	c.Elapsed = 0
	heard := 1
	c.Others(func(i int) {
		if c.peers[i].heard {
			heard++
		}
		c.peers[i].heard = false
	})
	if heard <= len(c.Members)/2 {
		c.StepDown()
	}
}

func (c *Core) heartbeat() {
	c.lead.beat = 0
	c.Others(func(i int) {
		p := &c.peers[i]
		c.Send(i, Message{Kind: Heartbeat, Ballot: c.Promised, Commit: c.Commit, Match: p.match, End: p.next - 1,
			Read: c.reads.round})
	})
}

// StepDown ends a campaign or a leadership.
func (c *Core) StepDown() {
	c.Role, c.Leader, c.Elapsed = Follower, 0, 0
	c.lead = leadership{}
	c.protocol.Await(false)
}

// TransferLeader implements [order.Orderer].
func (c *Core) TransferLeader(to uint64) {
	i := slices.Index(c.Members, to)
	if c.Role != Leading || i < 0 || i == c.Self || c.peers[i].match < c.Commit {
		return
	}
	c.lead.successor, c.lead.patience = to, c.ElectionTicks
	c.Send(i, Message{Kind: TakeOver, Ballot: c.Promised, Commit: c.Commit})
}
