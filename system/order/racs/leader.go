package racs

import (
	"slices"

	"metronome/internal/mutate"
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

func (l *leadership) stop() { *l = leadership{} }

// peer is another member as the leader sees it.
type peer struct {
	match     uint64 // accepted up to here
	have      uint64 // came up to here, accepted or not
	next      uint64 // to be sent
	confirmed uint64 // the latest read confirmation
	heard     bool   // since the quorum was last counted
	stands    slots.Standstill
}

// begin leads: everything that may have been decided is proposed again in this ballot.
func (p *Racs) begin() {
	c := &p.campaign
	p.role, p.leader, p.watch.elapsed = leading, p.ID, 0
	p.lead = leadership{recovered: c.commit + uint64(len(c.found))}
	p.reads = readings{}
	p.ForgetTransfers()
	for i := range p.peers {
		q := &p.peers[i]
		*q = peer{match: q.match, have: c.commit, next: c.commit + 1, heard: true}
	}
	for i := range c.found {
		c.found[i].Ballot = p.promised
		p.lead.uncommitted += len(c.found[i].Decision)
	}
	p.heartbeat()
	if len(c.found) > 0 {
		p.offer(c.found)
	}
	p.campaign = campaign{}
}

// offer proposes values in the leader's ballot, and accepts them here.
func (p *Racs) offer(entries []entry) {
	p.take(entries)
	p.Others(func(i int) { p.feed(i) })
	p.acknowledge(p.Self, p.promised)
}

// feed sends a member what it has not got, as far as the window allows.
func (p *Racs) feed(i int) (sent bool) {
	q := &p.peers[i]
	for !p.Sending(i) && q.next <= min(p.Log.Last(), q.have+maxInflight) {
		if q.next <= p.Log.Base {
			p.SendState(i, &p.out.Ready)
			break
		}
		m := message{kind: kindAccept, ballot: p.promised, commit: p.Commit}
		for size := 0; q.next <= min(p.Log.Last(), q.have+maxInflight); q.next++ {
			s := p.Log.At(q.next)
			if size += len(s.Decision) + slots.EntryBytes; len(m.entries) > 0 && size > maxMessageBytes {
				break
			}
			m.entries = append(m.entries, entry{Slot: q.next, Ballot: p.promised, Decision: s.Decision})
		}
		p.send(i, m)
		sent = true
	}
	return sent
}

// onAccepted counts acceptances. A slot is decided when a quorum accepted it in this ballot.
func (p *Racs) onAccepted(from int, m *message) {
	if p.role != leading || m.ballot != p.promised {
		return
	}
	q := &p.peers[from]
	q.match = max(q.match, min(m.match, p.Log.Last()))
	q.have = max(q.have, q.match)
	q.next = max(q.next, q.match+1)
	for n := p.Commit + 1; n <= q.match; n++ {
		p.Log.At(n).Votes |= bit(from)
	}
	for _, n := range m.slots {
		if s := p.Log.At(n); s != nil && n > p.Commit {
			s.Votes |= bit(from)
		}
	}
	p.decide(from)
}

// decide moves the commit, and tells everybody.
func (p *Racs) decide(from int) {
	before := p.Commit
	needed := p.Accepts
	if mutate.On(mutate.RacsMinority) {
		needed--
	}
	for s := p.Log.At(p.Commit + 1); s != nil && slots.Quorum(s.Votes, needed); s = p.Log.At(p.Commit + 1) {
		p.Commit++
		p.lead.uncommitted -= len(s.Decision)
	}
	if p.Commit == before {
		if from != p.Self {
			p.feed(from)
		}
		return
	}
	p.Others(func(i int) {
		if !p.feed(i) {
			p.send(i, message{kind: kindDecided, ballot: p.promised, commit: p.Commit})
		}
	})
}

// onAlive sends again what did not come, and a snapshot to whom nothing else would help.
func (p *Racs) onAlive(from int, m *message) {
	if p.role != leading || m.ballot != p.promised {
		return
	}
	q := &p.peers[from]
	if q.have = max(m.have, q.match); q.stands.Look(q.match, p.Log.Base, &p.Replica) {
		q.have = q.match
	}
	if q.have < m.end {
		q.next = min(q.next, q.have+1)
	}
	p.Arrived(from, q.have)
	q.confirmed = max(q.confirmed, m.read)
	p.confirm()
	p.feed(from)
}

// tickLeader speaks, and steps down if no majority answers for an election timeout.
func (p *Racs) tickLeader() {
	if p.lead.beat++; p.lead.beat >= p.HeartbeatTicks {
		p.heartbeat()
	}
	if p.lead.successor != 0 {
		if p.lead.patience--; p.lead.patience <= 0 {
			p.lead.successor = 0
		}
	}
	if p.watch.elapsed < p.ElectionTicks {
		return
	}
	p.watch.elapsed = 0
	heard := 1
	p.Others(func(i int) {
		if p.peers[i].heard {
			heard++
		}
		p.peers[i].heard = false
	})
	if heard <= len(p.Members)/2 {
		p.stepDown()
	}
}

func (p *Racs) heartbeat() {
	p.lead.beat = 0
	p.Others(func(i int) {
		q := &p.peers[i]
		p.send(i, message{kind: kindHeartbeat, ballot: p.promised, commit: p.Commit, match: q.match,
			end: q.next - 1, read: p.reads.round})
	})
}

// stepDown ends a leadership that nobody answers. It is not begun again: the next view's leader is drawn.
func (p *Racs) stepDown() {
	p.role, p.leader = follower, 0
	p.lead.stop()
	p.watch.elapsed = 0
}

// onRefusal learns of a higher ballot. Who misses a leader, or is one that somebody has left, goes there.
func (p *Racs) onRefusal(m *message) {
	p.see(m.ballot)
	if m.ballot > p.promised && (p.role != follower || p.misses()) {
		p.enter(m.ballot)
	}
}

// TransferLeader implements [order.Orderer].
func (p *Racs) TransferLeader(to uint64) {
	i := slices.Index(p.Members, to)
	if p.role != leading || i < 0 || i == p.Self || p.peers[i].match < p.Commit {
		return
	}
	p.lead.successor, p.lead.patience = to, p.ElectionTicks
	p.send(i, message{kind: kindTakeOver, ballot: p.promised, commit: p.Commit})
}

// onTakeOver enters the next view that the coin gives to this member: the leader asked for it.
func (p *Racs) onTakeOver(from int, m *message) {
	if m.ballot != p.promised || p.leader != p.Members[from] || len(p.Holes) > 0 {
		return
	}
	for view := slots.Round(m.ballot) + 1; ; view++ {
		if b := p.ballot(view); p.drawn(b) && b > p.seen {
			p.enter(b)
			return
		}
	}
}
