package paxos

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// Campaign is phase 1 as a member sees it that may lead: what promises tell.
type Campaign struct {
	Commit uint64 // decided here when it began; promises tell what was accepted beyond

	votes uint32        // whose promise came
	found []slots.Entry // found[i] has the highest ballot of Commit+1+i that was told; ballot 0: none was
}

// maxFound bounds the slots beyond what is decided that promises tell of: no acceptor is that far
// ahead.
const maxFound = 1 << 16

// Gather begins a campaign in the ballot promised.
func (c *Core) Gather() {
	c.Role = Gathering
	c.Campaign = Campaign{Commit: c.Commit}
	clear(c.peers) // what they accepted in an older ballot says nothing of this one
	c.ForgetTransfers()
}

// Count takes a promise in the ballot of the campaign: of each slot the value of the highest ballot counts,
// the lemma of Paxos. It must tell everything that was accepted beyond Campaign.Commit.
func (c *Core) Count(from int, m *Message) {
	c.Campaign.votes |= Bit(from)
	c.peers[from].match = min(m.Commit, c.Campaign.Commit)
	for _, e := range m.Entries {
		if !broken(mutate.PaxosForgetAccepted, mutate.RacsForgetAccepted) || from == c.Self {
			c.Campaign.find(e)
		}
	}
}

// find takes note of a value that somebody accepted.
func (c *Campaign) find(e slots.Entry) {
	if e.Slot <= c.Commit || e.Slot > c.Commit+maxFound {
		return
	}
	for next := c.Commit + uint64(len(c.found)) + 1; next <= e.Slot; next++ {
		c.found = append(c.found, slots.Entry{Slot: next})
	}
	f := &c.found[e.Slot-c.Commit-1]
	better := e.Ballot > f.Ballot
	if broken(mutate.PaxosLowestBallot, mutate.RacsLowestBallot) {
		better = f.Ballot == 0 || e.Ballot < f.Ballot
	}
	if better {
		*f = e
	}
}

// Elected ends phase 1 when a quorum's promises came, and reports whether it did. This member's own is among
// them: nobody leads in a ballot before it is durable with its owner.
func (c *Core) Elected() bool {
	if votes := c.Campaign.votes; c.Role != Gathering || votes&Bit(c.Self) == 0 ||
		!slots.Quorum(votes, c.Promises()) {
		return false
	}
	c.Role = Recovering
	return true
}

// HoldsFound reports whether this member holds the items of what promises told of, and of what it would
// have to propose again therefore (R8).
func (c *Core) HoldsFound() bool {
	held := true
	for i := range c.Campaign.found {
		// Every one is asked: the gate fetches what is missing.
		held = c.Judge(c.Campaign.found[i].Cut()) == order.Held && held
	}
	return held || broken(mutate.PaxosRecoverUnheld, mutate.RacsRecoverUnheld)
}

// Lead ends a campaign whose member is Recovering and HoldsFound: everything that may have been decided is
// proposed again in its ballot, and nothing where nothing was accepted.
func (c *Core) Lead() {
	found := c.Campaign.found
	c.Role, c.Leader, c.Elapsed = Leading, c.ID, 0
	c.lead = leadership{recovered: c.Campaign.Commit + uint64(len(found))}
	c.reads = readings{}
	c.ForgetTransfers()
	for i := range c.peers {
		p := &c.peers[i]
		*p = peer{match: p.match, have: c.Campaign.Commit, next: c.Campaign.Commit + 1, heard: true}
	}
	for i := range found {
		found[i].Ballot = c.Promised
		c.lead.uncommitted += len(found[i].Decision)
	}
	c.heartbeat()
	if len(found) > 0 {
		c.offer(found)
	}
	c.Campaign = Campaign{}
}
