package mencius

// heartbeat tells everybody that this member is there, how far it is, and what it knows to be used. It
// waits for no disk (R16).
func (p *Mencius) heartbeat() {
	p.beat = 0
	if p.out.Idle() {
		p.durable = p.Commit
	} else if p.durable < p.Commit && !p.own.asked {
		p.own.asked = true
		p.hold(p.Self, message{kind: kindDurable})
	}
	p.Others(func(i int) {
		p.send(i, message{kind: kindHeartbeat, ballot: p.Commit, commit: p.durable, end: p.used})
	})
}

// onHeartbeat notes how far a member is. Its ballot is the commit that may not be durable yet.
func (p *Mencius) onHeartbeat(from int, m *message) {
	q := &p.peers[from]
	q.commit, q.ahead = max(q.commit, m.commit), m.ballot
	p.Arrived(from, q.commit)
	p.heed(max(m.end, q.ahead)) // what is decided may lie beyond what is used: it was revoked
}

// heed learns up to where slots are used, and skips the own ones below.
func (p *Mencius) heed(used uint64) {
	p.used = max(p.used, min(used, p.Commit+maxAhead))
	p.skip(p.used)
}

// ask asks for what was lost: whoever is ahead, or else the owner of the slot that all wait for. What
// waits at the gate came; but if that takes long, its items may be in a snapshot only.
func (p *Mencius) ask() {
	n := p.Commit + 1
	waits := p.Wait.Get(n) != nil
	if waits && p.stall%p.ElectionTicks >= 2*p.HeartbeatTicks {
		return
	}
	m := message{kind: kindAsk, commit: p.Commit, end: p.used}
	if to := p.informed(); to >= 0 {
		p.send(to, m)
	} else if to := p.owner(n); to != p.Self && !waits {
		p.send(to, m)
	} else if !waits {
		p.Others(func(i int) { p.repeat(i) })
	}
}

// informed is a member that knows of more that is decided, always the same while it answers; -1 if there
// is none.
func (p *Mencius) informed() int {
	if p.stall >= 2*p.ElectionTicks { // it does not help
		p.source, p.stall = p.source+1, 0
	}
	return p.source.Stay(len(p.Members), func(i int) bool {
		return i != p.Self && p.Alive(i) && p.peers[i].ahead > p.Commit
	})
}

// onAsk tells what is decided behind what the asker has, and what is under way in own slots.
func (p *Mencius) onAsk(from int, m *message) {
	p.heed(m.end)
	if m.commit < p.Log.Base {
		p.SendState(from, &p.out.Ready)
		return
	}
	p.teach(from, p.Log.Batch(m.commit+1, p.Log.Last(), decided, maxMessageSlots))
	p.repeat(from)
}

func (p *Mencius) teach(to int, known []entry) {
	if len(known) > 0 {
		p.send(to, message{kind: kindLearn, ballot: decided, commit: p.Commit, entries: known})
	}
}

// repeat sends a member what is under way in own slots. Skips are decided or not durable yet.
func (p *Mencius) repeat(to int) {
	m := message{kind: kindAccept, ballot: first}
	for n := p.after(p.Commit); n <= p.Log.Last() && len(m.entries) < maxPending; n += uint64(len(p.Members)) {
		if s := p.Log.At(n); s.Ballot == first && len(s.Decision) > 0 {
			m.entries = append(m.entries, entry{Slot: n, Ballot: first, Decision: s.Decision})
		}
	}
	if len(m.entries) > 0 {
		p.send(to, m)
	}
}

// onLearn learns what is decided, and asks on.
func (p *Mencius) onLearn(from int, m *message) {
	p.peers[from].ahead = max(p.peers[from].ahead, m.commit)
	before := p.Commit
	p.learn(m.entries)
	p.deliver()
	if p.Commit > before && p.peers[from].ahead > p.Commit && p.Wait.Get(p.Commit+1) == nil {
		p.send(from, message{kind: kindAsk, commit: p.Commit, end: p.used})
	}
}
