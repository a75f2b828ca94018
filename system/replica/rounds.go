package replica

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/wire"
)

// maxRounds is how many proposals may be undecided. Few in flight make each carry more
// (hashicorp/raft cut its own default to 2 for that reason).
const maxRounds = 2

// idleItems is how few items a round carries on a cluster that counts as idle: the next begins at
// once.
const idleItems = 512

// roundState is what a leader knows of its rounds, and a follower of its reports.
type roundState struct {
	term     uint64
	leading  bool
	ledAt    int64           // when this term of leadership began
	commands []order.Command // wanted, not proposed yet
	proposed []order.Command // proposed and not seen applied: not to be proposed again in this term
	base     order.Cut       // decided or proposed so far
	cuts     order.Cut       // follow's own
	merged   order.Cut
	next     int64  // when a round may begin
	items    uint64 // in the latest round
	time     uint64 // log time proposed last
	timeAt   int64
	expired  uint64 // log time at which sessions were last looked through

	stuckAt                 uint64 // committed position when last looked at
	stuckSince, behindSince int64

	joint   order.Joint
	own     []order.Mark
	reports [][]order.Holding
	buf     []byte

	nextReport   int64
	nextHoldings int64
	told         []order.Holding // what the leader was told
	toldAt       int64
	toldLeader   uint64
}

// want adds a command to the next round, once.
func (s *roundState) want(c order.Command) {
	for _, have := range [2][]order.Command{s.commands, s.proposed} {
		for i := range have {
			if same(&have[i], &c) {
				return
			}
		}
	}
	if len(s.commands) < order.MaxCommands {
		s.commands = append(s.commands, c)
	}
}

// applied forgets a command that has had its effect: it may be wanted again.
func (s *roundState) applied(c *order.Command) {
	s.proposed = slices.DeleteFunc(s.proposed, func(have order.Command) bool { return same(&have, c) })
}

func same(a, b *order.Command) bool {
	return a.Kind == b.Kind && a.Proxy == b.Proxy && a.Nonce == b.Nonce && a.Incarnation == b.Incarnation &&
		a.Seat == b.Seat && a.Level == b.Level && a.Before == b.Before
}

// watchLeadership hands leadership over when this replica leads badly (R15): what it proposed is
// not agreed on for too long although a majority answers, or a majority has held for long what it
// lacks itself.
func (r *Replica) watchLeadership() {
	s := &r.round
	if !r.status.Leading || r.status.Leaderless {
		s.stuckSince, s.behindSince = 0, 0
		return
	}
	since(&s.stuckSince, r.now, r.status.Last > r.status.Position && r.status.Position == s.stuckAt)
	s.stuckAt = r.status.Position
	since(&s.behindSince, r.now, r.trails())
	limit := grayTicks * r.cfg.Tick
	if s.stuckSince > 0 && r.now-s.stuckSince > limit || s.behindSince > 0 && r.now-s.behindSince > limit {
		s.stuckSince, s.behindSince = 0, 0
		if to := r.successor(); to != 0 {
			r.orderer.TransferLeader(to)
			r.counts.Handovers++
		}
	}
}

// grayTicks is for how long a leader may lead badly.
const grayTicks = 20

// since notes in t when a condition began to hold, 0 if it does not.
func since(t *int64, now int64, holds bool) {
	switch {
	case !holds:
		*t = 0
	case *t == 0:
		*t = now
	}
}

// trails reports whether a majority holds frames of a lane that stands still here. A leader that is
// merely slower than the others still moves.
func (r *Replica) trails() (trails bool) {
	for _, l := range r.lanes {
		held := r.held(l)
		stands := l.stoodAt == held
		l.stoodAt = held
		ahead := 0
		for _, id := range r.members.Voters {
			if id != r.id && r.holding(id, l.id).Frames > held {
				ahead++
			}
		}
		trails = trails || l.open && stands && ahead > len(r.members.Voters)/2
	}
	return trails
}

// holding is what a voter has reported of a lane.
func (r *Replica) holding(id uint64, lane order.LaneID) order.Holding {
	if p := &r.peers[SeatOf(id)]; p.life == id {
		for _, h := range p.holdings.Lanes() {
			if h.Lane == lane {
				return h
			}
		}
	}
	return order.Holding{}
}

// successor is the voter heard of lately that has the most, 0 if there is none.
func (r *Replica) successor() (best uint64) {
	most := uint64(0)
	for _, id := range r.members.Voters {
		p := &r.peers[SeatOf(id)]
		if id == r.id || p.life != id || !r.heardLately(SeatOf(id)) || r.status.Match[id] < r.status.Position {
			continue
		}
		held := uint64(1)
		for _, h := range p.holdings.Lanes() {
			held += h.Frames
		}
		if held > most {
			best, most = id, held
		}
	}
	return best
}

// maxProposed bounds what is remembered as proposed: older ones were applied long ago.
const maxProposed = 1024

// peerState is what is known of the replica on a seat.
type peerState struct {
	life     uint64
	heard    int64
	moved    int64 // when it last reported frames that it had not reported before
	waited   int64 // since when the leader waits for it; 0 = it does not
	holdings order.Holdings
	expect   []expectation
	hash     hashAt
	odd      bool // its state hash was not ours when they were compared last
	feature  uint32
}

// expectation is a lane of a peer: what it said it holds, and since when it lags behind the leader.
type expectation struct {
	lane   order.LaneID
	frames uint64
	behind int64
}

// propose begins a round if there is something to agree on and it is time (R10). A leader proposes
// only what it holds itself (R8).
func (r *Replica) propose() {
	s := &r.round
	if !r.status.Leading {
		s.leading = false
		return
	}
	if !s.leading || s.term != r.status.Term {
		s.lead(r)
	}
	if r.now < s.next && (s.items > idleItems || r.cfg.ForceInterval) {
		r.later(s.next)
		return
	}
	if r.underWay() >= maxRounds {
		return
	}
	if r.tooFarAhead() {
		r.later(r.now + r.cfg.RoundInterval)
		return
	}
	if r.status.Leaderless {
		s.follow(r)
	}
	d := order.Decision{Cut: r.nextCut(), Commands: s.commands, Time: s.clock(r)}
	if len(d.Cut) == 0 && len(d.Commands) == 0 && !r.expireSessions(&d) {
		return
	}
	s.buf = order.AppendDecision(s.buf[:0], &d)
	if err := r.orderer.Propose(append([]byte(nil), s.buf...)); err != nil {
		return // not the leader any more: whoever is has everything that is needed
	}
	r.counts.Proposals++
	s.proposed = append(s.proposed, s.commands...)
	if n := len(s.proposed); n > maxProposed {
		s.proposed = append(s.proposed[:0], s.proposed[n-maxProposed/2:]...)
	}
	s.commands = s.commands[:0]
	s.items = 0
	for _, m := range d.Cut {
		was, _ := s.base.Find(m.Lane)
		s.items += m.Items - was.Items
	}
	s.base = s.base.Merge(nil, d.Cut)
	s.next = r.now + r.cfg.RoundInterval
}

// A voter that is slow and alive is waited for, a little: the window of proxies follows what is
// committed, so waiting here holds proxies back. Otherwise the faster half of an overloaded cluster
// would run away from the slower, which would then need a snapshot, which would slow it down
// further. One that stands still holds nobody up for longer than slowPatience.
const (
	slowPatience = 100_000_000 // ns without progress after which a voter is left behind
	leadShare    = 8           // how far ahead: this part of a lane's window
)

// tooFarAhead reports whether some voter that still moves lacks more than it should of what was
// proposed.
func (r *Replica) tooFarAhead() (wait bool) {
	for _, id := range r.members.Voters {
		p := &r.peers[SeatOf(id)]
		if id == r.id || p.life != id {
			continue
		}
		if since(&p.waited, r.now, r.lacks(p)); p.waited == 0 {
			continue
		}
		wait = wait || r.now-p.moved < slowPatience && r.now-p.waited < slowPatience
	}
	return wait
}

// lacks reports whether a voter lacks so many frames of some open lane that it is to be waited for.
// One that lacks yet more was left behind before, and catches up by itself.
func (r *Replica) lacks(p *peerState) bool {
	told := p.holdings.Lanes()
	for _, m := range r.round.base {
		for len(told) > 0 && told[0].Lane < m.Lane {
			told = told[1:]
		}
		if len(told) == 0 || told[0].Lane != m.Lane || m.Frames <= told[0].Frames || r.state.lane(m.Lane) == nil {
			continue
		}
		lead, most := m.Frames-told[0].Frames, uint64(r.cfg.Lane.Window)/leadShare
		if lead > most && lead <= 2*most {
			return true
		}
	}
	return false
}

// underWay is how many rounds of this leader are undecided.
func (r *Replica) underWay() uint64 {
	if r.status.Leaderless {
		return uint64(r.status.Pending)
	}
	return r.status.Last - r.status.Position
}

// speaks reports whether this replica proposes what one proposes for all: commands. Cuts everyone that
// leads proposes.
func (r *Replica) speaks() bool { return r.status.Leading && r.status.Leader == r.id }

// follow takes note of what others have taken lanes to, where everyone leads.
func (s *roundState) follow(r *Replica) {
	s.cuts = s.cuts[:0]
	for _, l := range r.lanes {
		if l.open {
			s.cuts = append(s.cuts, l.cut)
		}
	}
	s.merged = s.base.Merge(s.merged[:0], s.cuts)
	s.base, s.merged = s.merged, s.base
}

// wait notes since when frames lie beyond what is proposed, at a mark that no round moves.
func (l *laneState) wait(now int64, at uint64, beyond bool) {
	if at != l.waitsAt {
		l.waits, l.waitsAt = 0, at
	}
	since(&l.waits, now, beyond)
}

// turn reports whether it is for this replica to take a lane further. Where everyone leads, each begins
// rounds for some of the lanes at once, and for those of others if nobody has for a while; a round
// takes all lanes as far as it can, whoever begins it.
func (r *Replica) turn(l *laneState) bool {
	alive, mine := 0, 0 // this replica is a voter: it leads
	for _, id := range r.members.Voters {
		if id == r.id {
			mine = alive
		}
		if id == r.id || r.heardLately(SeatOf(id)) {
			alive++
		}
	}
	distance := (mine - int(l.id)%alive + alive) % alive
	due := l.waits + int64(distance)*turnTicks*r.cfg.Tick
	if r.now < due {
		r.later(due)
	}
	return r.now >= due
}

// turnTicks is after how long a replica begins a round in place of the one before it.
const turnTicks = 2

// lead begins a term of leadership.
func (s *roundState) lead(r *Replica) {
	s.leading, s.term = true, r.status.Term
	s.commands, s.proposed = s.commands[:0], s.proposed[:0]
	s.base = s.base[:0]
	s.time, s.timeAt, s.ledAt = r.state.time, r.now, r.now
	if r.speaks() {
		r.wantLimits()
	}
	for _, l := range r.lanes {
		if l.open {
			s.base = append(s.base, l.cut)
		}
	}
	s.joint.Lookup = func(id order.LaneID, frames uint64) (order.Mark, bool) {
		l := r.find(id)
		if l == nil {
			return order.Mark{}, false
		}
		m, ok := l.whole(frames)
		return m, ok && m.Frames == frames
	}
}

// nextCut is the best cut that a majority is expected to hold, beyond what was proposed already
// (R9).
func (r *Replica) nextCut() order.Cut {
	s := &r.round
	s.own = s.own[:0]
	moved := false
	base := s.base
	for _, l := range r.lanes {
		if !l.open {
			continue
		}
		m, ok := l.whole(r.held(l))
		if !ok {
			continue
		}
		for len(base) > 0 && base[0].Lane < l.id {
			base = base[1:]
		}
		var at uint64
		if len(base) > 0 && base[0].Lane == l.id {
			at = base[0].Frames
		}
		beyond := m.Frames > at
		moved = moved || beyond && !r.status.Leaderless
		if l.wait(r.now, at, beyond); beyond && r.status.Leaderless {
			moved = r.turn(l) || moved
		}
		s.own = append(s.own, m)
	}
	if !moved {
		return nil
	}
	if mutate.On(mutate.ProposeUnheld) {
		return r.highest()
	}
	s.reports = s.reports[:0]
	for _, id := range r.members.Voters {
		if id != r.id {
			s.reports = append(s.reports, r.expected(id))
		}
	}
	return r.quantised(s.joint.Cut(nil, s.own, s.base, s.reports, len(r.members.Voters)/2+1))
}

// highest is a mutation: the highest marks that anybody reported.
func (r *Replica) highest() order.Cut {
	cut := order.Cut(slices.Clone(r.round.own))
	for i := range r.peers {
		for _, h := range r.peers[i].holdings.Lanes() {
			for k := range cut {
				if cut[k].Lane == h.Lane && h.Frames > cut[k].Frames {
					cut[k] = h.Mark
				}
			}
		}
	}
	return cut
}

// expected is what a voter can be expected to hold by the time a proposal reaches it: what we hold,
// but for lanes in which it has lagged behind for too long.
func (r *Replica) expected(id uint64) []order.Holding {
	p := &r.peers[SeatOf(id)]
	out := make([]order.Holding, 0, len(r.round.own))
	told := p.holdings.Lanes()
	if p.life != id {
		told = nil
	}
	for _, m := range r.round.own {
		for len(told) > 0 && told[0].Lane < m.Lane {
			told = told[1:]
		}
		h := order.Holding{Mark: order.Mark{Lane: m.Lane}}
		if len(told) > 0 && told[0].Lane == m.Lane {
			h = told[0]
		}
		e := p.lane(m.Lane)
		switch {
		case h.Frames >= m.Frames || h.Frames > e.frames:
			e.behind, e.frames = 0, h.Frames
		case e.behind == 0:
			e.behind = r.now
		}
		if h.Frames < m.Frames && (e.behind == 0 || r.now-e.behind <= r.cfg.GapAge) || h.Frames > m.Frames {
			h.Mark = m
		}
		out = append(out, h)
	}
	return out
}

func (p *peerState) lane(id order.LaneID) *expectation {
	for i := range p.expect {
		if p.expect[i].lane == id {
			return &p.expect[i]
		}
	}
	p.expect = append(p.expect, expectation{lane: id})
	return &p.expect[len(p.expect)-1]
}

// fullReport is how often a report names every lane, in ticks.
const fullReport = 16

// reportHoldings tells the leader, or all where everyone leads, what is held here, if that changed: it
// rides beside the orderer's own answers (R9).
func (r *Replica) reportHoldings() {
	s := &r.round
	leader := r.status.Leader
	if leader == 0 || leader == r.id && !r.status.Leaderless {
		return
	}
	var now []order.Holding
	for _, l := range r.lanes {
		if !l.open {
			continue
		}
		if m, ok := l.whole(r.held(l)); ok {
			now = append(now, order.Holding{Mark: m, High: max(m.Frames, l.recv.Window().To)})
		}
	}
	report := order.Report{Full: leader != s.toldLeader || r.now-s.toldAt > fullReport*r.cfg.Tick}
	if report.Full {
		report.Lanes = now
		s.toldLeader, s.toldAt = leader, r.now
	} else if report.Lanes = order.AppendChanges(nil, s.told, now); len(report.Lanes) == 0 {
		return
	} else if s.nextHoldings == 0 {
		// Not at once: a leader expects everyone to hold what it holds, and on a quiet cluster the round
		// is over before it would be told.
		s.nextHoldings = r.now + r.cfg.RoundInterval
	}
	if !report.Full && r.now < s.nextHoldings {
		r.later(s.nextHoldings)
		return
	}
	s.told, s.nextHoldings = now, 0
	if !r.status.Leaderless {
		r.sendHoldings(leader, &report)
		return
	}
	for _, id := range r.members.Voters {
		if id != r.id {
			r.sendHoldings(id, &report)
		}
	}
}

// sendHoldings also carries how far this replica has applied, what every member has applied (from
// the leader), and its latest state hash.
func (r *Replica) sendHoldings(to uint64, report *order.Report) {
	w := wire.NewWriter(nil, wire.KindHoldings)
	w.U64(r.id)
	w.U64(r.safe)
	h := r.latestHash()
	w.U64(h.position)
	w.U64(h.hash)
	w.U32(r.cfg.Feature)
	w.B = order.AppendReport(w.B, report)
	r.out.message(wire.ReplicaPeer(SeatOf(to)), w.B)
}

func (r *Replica) onHoldings(seat int, b []byte) bool {
	in := wire.NewReader(b)
	id, safe := in.U64(), in.U64()
	hash, feature := hashAt{in.U64(), in.U64()}, in.U32()
	rest := in.Rest()
	if !in.OK() || SeatOf(id) != seat {
		return false
	}
	if r.refuses(id) {
		r.counts.Unregistered++
		return true
	}
	var report order.Report
	if err := order.DecodeReport(rest, &report); err != nil {
		return false
	}
	p := &r.peers[seat]
	if p.life != id {
		p.holdings.Forget()
		p.expect, p.life, p.odd = nil, id, false
	}
	p.heard, p.feature = r.now, feature
	if held := p.frames(); p.absorb(&report) > held {
		p.moved = r.now
	}
	p.hash = hash
	if id == r.status.Leader {
		r.safe = max(r.safe, min(safe, r.applied))
	}
	r.compareHash(p)
	return true
}

func (p *peerState) absorb(report *order.Report) uint64 {
	p.holdings.Absorb(report)
	return p.frames()
}

// frames is how many frames a peer knows of in all lanes: while it waits for a repair its marks
// stand still, and it is alive all the same.
func (p *peerState) frames() (sum uint64) {
	for _, h := range p.holdings.Lanes() {
		sum += h.High
	}
	return sum
}
