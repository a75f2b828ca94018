package racs

import "metronome/system/order/paxos"

// watch is what a member goes by when it suspects the leader, beside its silence (Elapsed).
type watch struct {
	mark  uint64 // what the leader was told of (Said) a window ago
	age   int    // ticks of this window
	slow  bool   // the leader did not decide in a window what it was told
	falls int    // fallbacks that were not followed by calm
	calm  int    // ticks since the last one
}

// maxFalls bounds how often the patience is doubled.
const maxFalls = 6

// fell notes that a fallback begins.
func (w *watch) fell() {
	w.calm = 0
	if w.falls < maxFalls {
		w.falls++
	}
}

// Await implements [paxos.Protocol]. A leader that speaks is asked about no more, unless it is slow.
func (p *Racs) Await(fresh bool) {
	if fresh {
		p.watch.mark, p.watch.slow = 0, false
	}
	if !p.watch.slow {
		p.asked = asking{}
	}
}

// patience is for how many ticks a member does without what a leader owes it. It is short, for the
// fallback is cheap: two heartbeats that do not come. It need not be right, either: it grows with
// fallbacks that follow each other, and each of these makes progress.
func (p *Racs) patience() int {
	short := min(2*p.HeartbeatTicks+1, p.ElectionTicks)
	return short << max(0, p.watch.falls-1)
}

// misses reports whether this member would do with another leader.
func (p *Racs) misses() bool {
	return p.Role != paxos.Leading && (p.Leader == 0 || p.watch.slow || p.Elapsed >= p.patience())
}

// tickFollower judges the leader: by its silence, and by what it decides. What it was told of a window ago
// and has not decided, it is slow with.
func (p *Racs) tickFollower() {
	w := &p.watch
	if w.age++; w.age >= p.patience() {
		w.slow = max(p.Commit, p.Told) < w.mark
		w.mark, w.age = p.Said, 0
		if w.slow {
			p.probe()
		}
	}
	p.suspect()
}

// suspect asks the others when the leader was not heard for long. With a hole in what it accepted, a replica
// does not campaign (R4).
func (p *Racs) suspect() {
	if p.Elapsed >= p.patience() {
		p.Elapsed, p.Leader = 0, 0
		p.probe()
	}
}

// asking is who misses the leader, too, before a view.
type asking struct {
	ballot uint64
	votes  uint32
}

// probe asks whether a majority misses the leader, so that a member that hears badly deposes nobody.
func (p *Racs) probe() {
	if len(p.Holes) > 0 {
		return
	}
	p.asked = asking{p.next(), paxos.Bit(p.Self)}
	p.Others(func(i int) {
		p.Send(i, paxos.Message{Kind: kindProbe, Ballot: p.asked.ballot, Commit: p.Commit})
	})
	p.probed()
}

// onProbe answers whether this member misses the leader, too.
func (p *Racs) onProbe(from int, m *paxos.Message) {
	if m.Ballot <= p.Promised {
		p.Refuse(from)
		return
	}
	p.Send(from, paxos.Message{Kind: kindProbed, Ballot: m.Ballot, Commit: p.Commit, Granted: p.misses()})
}

func (p *Racs) onProbed(from int, m *paxos.Message) {
	if m.Ballot == p.asked.ballot && m.Granted {
		p.asked.votes |= paxos.Bit(from)
		p.probed()
	}
}

func (p *Racs) probed() {
	if p.majority(p.asked.votes) && p.misses() {
		p.enter(p.asked.ballot)
	}
}
