package multipaxos

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// campaign is what a proposer gathers before it leads.
type campaign struct {
	ballot uint64
	votes  uint32
	commit uint64  // decided here when it began
	found  []entry // found[i] is what was accepted with the highest ballot at commit+1+i; ballot 0: nothing
}

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

// probe asks whether a majority would promise, so that a member that others do not miss raises no
// ballot (as Raft's PreVote: Ongaro 2014, 9.6).
func (p *Paxos) probe() {
	p.reset()
	p.role = probing
	p.campaign = campaign{ballot: p.nextBallot(), votes: bit(p.Self)}
	p.Others(func(i int) {
		p.send(i, message{kind: kindProbe, ballot: p.campaign.ballot, commit: p.Commit})
	})
	p.probed()
}

func (p *Paxos) onProbed(from int, m *message) {
	if p.role == probing && m.ballot == p.campaign.ballot && m.granted {
		p.campaign.votes |= bit(from)
		p.probed()
	}
}

func (p *Paxos) probed() {
	if slots.Quorum(p.campaign.votes, p.Promises()) {
		p.prepare()
	}
}

// prepare begins phase 1. Nobody hears of the ballot before it is durable here: after a restart it
// must not be used a second time.
func (p *Paxos) prepare() {
	ballot := p.nextBallot()
	p.follow(ballot, 0)
	p.role = preparing
	p.campaign = campaign{ballot: ballot, commit: p.Commit}
	clear(p.peers) // what they accepted in an older ballot says nothing of this one
	p.ForgetTransfers()
	p.record(nil)
	ask := message{kind: kindPrepare, ballot: ballot, commit: p.Commit}
	p.Others(func(i int) { p.hold(i, ask) })
	p.promise(p.Self, &ask)
}

// onPromise gathers what was accepted. Of each slot the value of the highest ballot counts: the
// lemma of Paxos.
func (p *Paxos) onPromise(from int, m *message) {
	c := &p.campaign
	if p.role != preparing || m.ballot != c.ballot {
		return
	}
	c.votes |= bit(from)
	p.peers[from].match = m.commit
	for _, e := range m.entries {
		if !mutate.On(mutate.PaxosForgetAccepted) || from == p.Self {
			c.find(e)
		}
	}
	if slots.Quorum(c.votes, p.Promises()) {
		p.role = recovering
		p.recover()
	}
}

// maxFound bounds the slots beyond what is decided that promises tell of: no acceptor is that far
// ahead.
const maxFound = 1 << 16

// find takes note of a value that somebody accepted.
func (c *campaign) find(e entry) {
	if e.Slot <= c.commit || e.Slot > c.commit+maxFound {
		return
	}
	for c.commit+uint64(len(c.found)) < e.Slot {
		c.found = append(c.found, entry{Slot: c.commit + uint64(len(c.found)) + 1})
	}
	f := &c.found[e.Slot-c.commit-1]
	better := e.Ballot > f.Ballot
	if mutate.On(mutate.PaxosLowestBallot) {
		better = f.Ballot == 0 || e.Ballot < f.Ballot
	}
	if better {
		*f = e
	}
}

// recover ends phase 1: a leader proposes what may have been decided again, and nothing where nothing
// was accepted. Like every proposal it is one of what the proposer holds (R8): it gets the items from
// whoever accepted before it binds its ballot to the value. If that member is gone before, the next
// campaign need not find the value any more.
func (p *Paxos) recover() {
	if p.role != recovering {
		return
	}
	c := &p.campaign
	held := true
	for i := range c.found {
		cut, _ := order.CutOf(c.found[i].Decision)
		// Every one is asked: the gate fetches what is missing.
		held = p.Judge(cut) == order.Held && held
	}
	if !held && !mutate.On(mutate.PaxosRecoverUnheld) {
		return
	}
	p.role, p.leader, p.elapsed = leading, p.ID, 0
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
func (p *Paxos) offer(entries []entry) {
	p.take(entries)
	p.Others(func(i int) { p.feed(i) })
	p.acknowledge(p.Self, p.promised)
}

// feed sends a member what it has not got, as far as the window allows.
func (p *Paxos) feed(i int) (sent bool) {
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
func (p *Paxos) onAccepted(from int, m *message) {
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
func (p *Paxos) decide(from int) {
	before := p.Commit
	needed := p.Accepts
	if mutate.On(mutate.PaxosMinority) {
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
func (p *Paxos) onAlive(from int, m *message) {
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
func (p *Paxos) tickLeader() {
	if p.lead.beat++; p.lead.beat >= p.HeartbeatTicks {
		p.heartbeat()
	}
	if p.lead.successor != 0 {
		if p.lead.patience--; p.lead.patience <= 0 {
			p.lead.successor = 0
		}
	}
	if p.elapsed < p.ElectionTicks {
		return
	}
	p.elapsed = 0
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

func (p *Paxos) heartbeat() {
	p.lead.beat = 0
	p.Others(func(i int) {
		q := &p.peers[i]
		p.send(i, message{kind: kindHeartbeat, ballot: p.promised, commit: p.Commit, match: q.match,
			end: q.next - 1, read: p.reads.round})
	})
}

func (p *Paxos) stepDown() {
	p.role, p.leader = follower, 0
	p.lead.stop()
	p.reset()
}

// onRefusal gives up a ballot that somebody will not accept in any more.
func (p *Paxos) onRefusal(m *message) {
	p.see(m.ballot)
	if m.ballot > p.promised && p.role >= preparing {
		p.stepDown()
	}
}

// TransferLeader implements [order.Orderer].
func (p *Paxos) TransferLeader(to uint64) {
	i := slices.Index(p.Members, to)
	if p.role != leading || i < 0 || i == p.Self || p.peers[i].match < p.Commit {
		return
	}
	p.lead.successor, p.lead.patience = to, p.ElectionTicks
	p.send(i, message{kind: kindTakeOver, ballot: p.promised, commit: p.Commit})
}

// onTakeOver campaigns at once: the leader asked for it.
func (p *Paxos) onTakeOver(from int, m *message) {
	if m.ballot == p.promised && p.leader == p.Members[from] && len(p.Holes) == 0 {
		p.prepare()
	}
}
