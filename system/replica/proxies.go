package replica

import (
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"

	"metronome/system/order"
	"metronome/system/wire"
)

// onOpen takes a proxy's request for lanes. Every replica answers one that was granted; the leader
// proposes one that was not (R19).
func (r *Replica) onOpen(number uint32, b []byte) bool {
	m, ok := wire.ReadOpen(b)
	if !ok || m.Lanes == 0 || m.Nonce == 0 {
		return false
	}
	if r.orderer == nil {
		return true
	}
	p := r.state.proxy(number)
	if p != nil && (p.nonce == m.Nonce || slices.Contains(p.spent, m.Nonce)) {
		if p.open && p.nonce == m.Nonce {
			r.find(p.first).heard = r.now
			r.tellOpened(p)
		} else {
			r.tellFenced(p, m.Nonce)
		}
		return true
	}
	if r.speaks() && len(r.state.limits) > 0 && (p != nil || !r.awaitsFeatures()) {
		c := order.Command{Kind: order.OpenLanes, Proxy: number, Nonce: m.Nonce, Lanes: m.Lanes}
		if p == nil && r.state.feature >= featureFirst {
			c.Kind, c.Incarnation = order.OpenLanesFrom, r.firstIncarnation(number)
		}
		r.round.want(c)
	}
	return true
}

// firstIncarnation draws where a proxy's incarnations begin. A proxy may outlive its cluster, and be
// there when another one is founded under the same name and key: did both count from 1, its old frames
// would be items of the new one. So two lives of one cluster have one incarnation in common with a
// chance of 1 in 2^31 a proxy.
func (r *Replica) firstIncarnation(number uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], number)
	return leastDrawn + uint32(xxh3.HashSeed(b[:], r.cfg.Nonce)>>33)
}

// leastDrawn is above the incarnations of proxies that began to count from 1.
const leastDrawn = 1 << 16

func (r *Replica) tellOpened(p *proxyRow) {
	m := wire.Opened{Nonce: p.nonce, Incarnation: p.incarnation, FirstLane: uint32(p.first), Lanes: p.lanes,
		Leader: r.leaderSeat(), Seats: r.votingSeats()}
	r.out.message(wire.ProxyPeer(p.number), m.Append(nil))
}

// tellFenced says which incarnation of a proxy is closed, and where (R19).
func (r *Replica) tellFenced(p *proxyRow, asked uint64) {
	if p.closedOf == 0 {
		return
	}
	m := wire.Fenced{Nonce: asked, Incarnation: p.closedOf, Silence: p.silence, Items: p.closed}
	r.out.message(wire.ProxyPeer(p.number), m.Append(nil))
}

// leaderSeat is seat + 1 of the leader, 0 if none is known.
func (r *Replica) leaderSeat() uint8 {
	if r.status.Leader == 0 {
		return 0
	}
	return uint8(SeatOf(r.status.Leader) + 1)
}

// votingSeats is the set of seats whose replicas hold everything that is agreed, in time.
func (r *Replica) votingSeats() (seats uint16) {
	for _, id := range r.members.Voters {
		seats |= 1 << SeatOf(id)
	}
	return seats
}

// watchProxies proposes to close the lanes of proxies that fell silent.
func (r *Replica) watchProxies() {
	if !r.speaks() {
		for _, l := range r.lanes {
			l.heard = max(l.heard, r.now-r.cfg.Silence/2) // a new leader grants everyone half a time-out
		}
		return
	}
	for i := range r.state.proxies {
		p := &r.state.proxies[i]
		if !p.open {
			continue
		}
		heard := int64(0)
		for k := range p.lanes {
			if l := r.find(p.first + order.LaneID(k)); l != nil {
				heard = max(heard, l.heard)
			}
		}
		if r.now-heard > r.cfg.Silence {
			r.round.want(order.Command{Kind: order.CloseProxy, Proxy: p.number, Incarnation: p.incarnation})
		}
	}
}

// repeatTicks is how often, in ticks, a report is repeated that has nothing new: a report may be lost,
// and a proxy whose clients all wait for it would bring about no other. Whoever begins anew after a
// crash of all has what others said before, too.
const repeatTicks = 16

func (r *Replica) repeatReports() {
	if r.ticks%repeatTicks != 0 {
		return
	}
	for _, l := range r.lanes {
		l.dirty = l.dirty || l.open
		r.dirty = r.dirty || l.open
	}
}

// sendReports tells proxies how far their lanes are committed and applied: the leader after every
// round, the others now and then, so that a proxy learns it whoever is left.
func (r *Replica) sendReports() {
	if !r.dirty {
		return
	}
	if r.id != r.status.Leader && r.now < r.round.nextReport {
		r.later(r.round.nextReport)
		return
	}
	var m wire.Report
	r.dirty = false
	for i := range r.state.proxies {
		p := &r.state.proxies[i]
		if !p.open {
			continue
		}
		m.Lanes = m.Lanes[:0]
		for k := range p.lanes {
			l := r.find(p.first + order.LaneID(k))
			if l == nil || !l.dirty {
				continue
			}
			l.dirty = l.applied.Items < l.cut.Items
			r.dirty = r.dirty || l.dirty
			m.Lanes = append(m.Lanes, wire.LaneReport{Index: k, Committed: l.cut.Items, Applied: l.applied.Items})
		}
		if len(m.Lanes) > 0 {
			m.Incarnation, m.Leader, m.Seats, m.Full = p.incarnation, r.leaderSeat(), r.votingSeats(), r.full()
			m.Closed = r.closed()
			r.out.message(wire.ProxyPeer(p.number), m.Append(nil))
		}
	}
	r.round.nextReport = r.now + r.cfg.ReportInterval
}

// replyBytes is when a message of answers is sent on.
const replyBytes = 128 << 10

// reply adds an encoded answer to what is on its way to the lane's proxy.
func (r *Replica) reply(l *laneState, answer []byte) {
	if len(l.reply) == 0 {
		l.reply = wire.BeginReply(l.reply, l.incarnation, l.index)
		r.replying = append(r.replying, l)
	}
	l.reply = append(l.reply, answer...)
	if len(l.reply) >= replyBytes {
		r.out.message(wire.ProxyPeer(l.proxy), l.reply)
		l.reply = wire.BeginReply(nil, l.incarnation, l.index)
	}
}

// replyHeader is the length of a reply without answers.
const replyHeader = 7

func (r *Replica) sendReplies() {
	for i, l := range r.replying {
		if len(l.reply) > replyHeader {
			r.out.message(wire.ProxyPeer(l.proxy), l.reply)
		}
		l.reply = nil
		r.replying[i] = nil
	}
	r.replying = r.replying[:0]
}

// onWant answers in place of another replica: a hedge (R25). Answers to reads are kept only where
// they were asked for; the proxy asks those again as new items.
func (r *Replica) onWant(number uint32, b []byte) bool {
	m, ok := wire.ReadWant(b)
	if !ok {
		return false
	}
	l := r.openLane(number, m.Incarnation, m.Lane)
	if l == nil {
		if p := r.state.proxy(number); p != nil && m.Incarnation == p.closedOf {
			r.tellFenced(p, 0)
		}
		return true
	}
	l.results.find(m.From, m.To, func(answer []byte) {
		r.counts.Hedges++
		r.reply(l, answer)
	})
	return true
}
