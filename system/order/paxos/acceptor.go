package paxos

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// Pledge takes up a ballot: to accept nothing of lower ones any more. It is written down, so that what is
// held from now on leaves when the promise is durable.
func (c *Core) Pledge(ballot uint64) {
	c.follow(ballot, 0)
	c.record(nil)
}

// Promise sends a message of the protocol's own that tells what was accepted beyond a slot, when the pledge
// is durable.
func (c *Core) Promise(to int, kind Kind, beyond uint64) {
	m := Message{Kind: kind, Ballot: c.Promised, Commit: c.Commit, Have: beyond,
		Entries: c.Log.Entries(beyond+1, c.Log.Last())}
	if mutate.On(mutate.VoteBeforePersist) && to != c.Self {
		c.Send(to, m)
		return
	}
	c.Hold(to, m)
}

// Refuse tells whoever uses a ballot that is too low which one was promised.
func (c *Core) Refuse(to int) {
	c.Send(to, Message{Kind: Refusal, Ballot: c.Promised, Commit: c.Commit})
}

// follow takes up a ballot, and its leader if it is known that there is one.
func (c *Core) follow(ballot, leader uint64) {
	fresh := ballot > c.Promised
	if fresh {
		c.Promised, c.Told, c.Said = ballot, 0, 0
		c.Wait.Clear() // what a deposed leader sent
		c.Role, c.Leader = Follower, 0
		c.lead = leadership{}
	}
	c.See(ballot)
	if c.Role != Leading {
		c.Role = Follower
	}
	if leader != 0 {
		c.Leader = leader
	}
	c.Elapsed = 0
	c.protocol.Await(fresh)
}

// See notes that there is a ballot.
func (c *Core) See(ballot uint64) { c.Seen = max(c.Seen, ballot) }

// onAccept takes values through the gate, each by itself: a slot that waits for its items holds up no
// other.
func (c *Core) onAccept(from int, m *Message) {
	if m.Ballot < c.Promised && !broken(mutate.PaxosAcceptBelowPromise, mutate.RacsAcceptBelowPromise) {
		c.Refuse(from)
		return
	}
	c.onDecided(from, m)
	c.accept(m.Entries)
	c.acknowledge(from, m.Ballot)
}

// onDecided learns what is decided.
func (c *Core) onDecided(from int, m *Message) {
	if m.Ballot >= c.Promised {
		c.follow(m.Ballot, c.Members[from])
		c.Told = max(c.Told, m.Commit)
	}
}

// accept accepts what is held of values that were offered, and lets the rest wait.
func (c *Core) accept(entries []slots.Entry) {
	var taken []slots.Entry
	for _, e := range entries {
		if e.Slot <= c.Commit || c.Log.Accepted(e.Slot, e.Ballot) {
			continue
		}
		if e.Slot > c.Commit+MaxAhead {
			c.dropped++
			continue
		}
		cut := e.Cut()
		switch c.Judge(cut) {
		case order.Held:
			taken = append(taken, e)
		case order.Missing:
			c.Wait.Put(e, c.WaitMax)
		default:
			c.Wait.Drop(e.Slot)
			c.out.Refuse(c.Leader, cut)
		}
	}
	c.take(taken)
}

// take writes accepted values down. The lemma's first step: nothing gets into the log but through here,
// with the gate's word.
func (c *Core) take(entries []slots.Entry) {
	for _, e := range entries {
		c.Wait.Drop(e.Slot)
		c.Log.Put(e.Slot, slots.Slot{Ballot: e.Ballot, Decision: e.Decision, Held: true})
	}
	if len(entries) > 0 {
		c.record(entries)
	}
}

// acknowledge sends the evidence of holding, once it is durable: what was accepted in a ballot.
func (c *Core) acknowledge(to int, ballot uint64) {
	m := Message{Kind: Accepted, Ballot: ballot, Commit: c.Commit, Match: c.match(ballot)}
	for n := m.Match + 1; n <= c.Log.Last() && len(m.Slots) < MaxAhead; n++ {
		if c.Log.Accepted(n, ballot) {
			m.Slots = append(m.Slots, n)
		}
	}
	if c.recorded < c.Promised {
		c.record(nil) // a heartbeat raised it
	}
	if mutate.On(mutate.ProposeVolatile) && to == c.Self {
		c.dispatch(to, &m)
		return
	}
	c.Hold(to, m)
}

// match is the slot up to which everything is decided, or accepted in a ballot.
func (c *Core) match(ballot uint64) uint64 {
	n := c.Commit
	for c.Log.Accepted(n+1, ballot) {
		n++
	}
	return n
}

// have is the slot up to which everything came: accepted, or waiting at the gate.
func (c *Core) have() uint64 {
	n := c.match(c.Promised)
	for c.Wait.Get(n+1) != nil || c.Log.Accepted(n+1, c.Promised) {
		n++
	}
	return n
}

// onHeartbeat answers at once, whatever the disk does (R16): the answer says what came, and that no
// higher ballot was promised. If the leader knows of less than was accepted here, it is told again.
func (c *Core) onHeartbeat(from int, m *Message) {
	if m.Ballot < c.Promised {
		c.Refuse(from)
		return
	}
	c.onDecided(from, m)
	c.advance()
	c.Send(from, Message{Kind: Alive, Ballot: m.Ballot, Commit: c.Commit, Have: c.have(), End: m.End,
		Read: m.Read})
	if match := c.match(m.Ballot); match != m.Match || c.Log.Last() > match {
		c.acknowledge(from, m.Ballot)
	}
}

// Recheck implements [order.Orderer].
func (c *Core) Recheck() {
	c.Fill()
	if before := len(c.Wait.Wait); before > 0 {
		c.accept(slices.Clone(c.Wait.Wait))
		if to := slices.Index(c.Members, c.Leader); len(c.Wait.Wait) < before && to >= 0 {
			c.acknowledge(to, c.Promised)
		}
	}
	c.protocol.Recover()
	c.advance()
}
