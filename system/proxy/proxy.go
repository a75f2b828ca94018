package proxy

import (
	"errors"
	"fmt"
	"math/bits"

	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/wire"
)

// Proxy is a proxy without its surroundings (node.Core). It belongs to one goroutine.
type Proxy struct {
	cfg         Config
	now         int64
	opener      wire.Opener
	incarnation uint32
	nonce       uint64
	lanes       []*laneOut // empty until open
	fenced      error
	nextOpen    int64
	openWait    int64

	leader    uint8                // seat + 1, 0 = not known
	seats     uint16               // replicas that may be asked to answer
	fullAt    [wire.MaxSeats]int64 // when a replica last said that it takes no new writes; 0 = not
	closedAt  [wire.MaxSeats]int64 // the same, that it takes nothing
	isFull    bool                 // a majority did
	isClosed  bool                 // the same
	responder int                  // seat asked to answer; -1 = the leader
	turned    int64                // when responder changed last

	reads      []readLane
	spread     int // read lanes there are to be
	readID     uint64
	spareReads []readBatch
	endedReads []readBatch // since the last Output: what they sent may still be in messages
	messages   []node.Message
	frames     [][]byte // room for a burst
	pacer      *lane.Pacer
	repairs    lane.Repairs
	reports    []wire.LaneReport
	counts     Counters
}

// Counters count what a proxy did.
type Counters struct {
	Taken       uint64
	Busy        uint64
	Hedges      uint64 // times that another replica was asked for answers
	Reissued    uint64 // reads asked again as new items
	Nacks       uint64
	BadFrames   [wire.NumCauses]uint64
	BadKeys     wire.KeyCounts
	BadMessages uint64
	Fenced      uint64
	Refounded   uint64 // times that the cluster turned out to be another one, founded in place of the old
	Incarnation uint32
}

// ErrFenced says that another instance has taken this proxy's number. It is final.
var ErrFenced = errors.New("proxy: another instance with this number was opened and has fenced this one. " +
	"Next: give every proxy a number of its own in the cluster file")

// New makes a proxy without lanes; Tick asks for them.
func New(cfg Config) (*Proxy, error) {
	cfg.Defaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Sender.Answers = true
	cfg.Sender.Keep = cfg.Sender.Window // what a majority has committed, a straggler may still miss
	probe := cfg.Sender
	probe.Cluster, probe.Proxy = cfg.Cluster, cfg.Number
	if _, err := lane.NewSender(probe, cfg.Digest); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	pacer, err := lane.NewPacer(cfg.Pace)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{cfg: cfg, pacer: pacer, nonce: cfg.Nonce, readID: cfg.Nonce,
		reads: newReadLanes(cfg.ReadLanes), spread: cfg.ReadLanes,
		opener:    wire.Opener{Cluster: cfg.Cluster, Digest: cfg.Digest},
		responder: -1, openWait: cfg.OpenRetry, frames: make([][]byte, 0, sendBurst)}
	return p, nil
}

// SetKeys replaces the keys (wire.Digester.SetKeys): what is sealed from now on is under the active one.
func (p *Proxy) SetKeys(keys *wire.Keys) error { return p.cfg.Digest.SetKeys(keys) }

// Open reports whether the proxy has lanes.
func (p *Proxy) Open() bool { return len(p.lanes) > 0 }

// Err is why the proxy stopped for good, or nil.
func (p *Proxy) Err() error { return p.fenced }

// Lanes is how many lanes there are to choose from.
func (p *Proxy) Lanes() int { return p.cfg.Lanes }

// Submit takes an operation for a lane. Any status but wire.StatusOK is the definite end of it;
// otherwise Config.Complete is called once, later. A connection keeps to one lane (R20).
func (p *Proxy) Submit(now int64, index int, it *wire.Item, token uint64) wire.Status {
	p.now = now
	if len(p.lanes) == 0 {
		return wire.StatusUnavailable
	}
	if p.isFull && (p.isClosed || it.Op != wire.OpGet && it.Op != wire.OpDelete) {
		p.counts.Busy++
		return wire.StatusBusy
	}
	l := p.lanes[index%len(p.lanes)]
	if l.stuck(p) {
		return wire.StatusUnavailable
	}
	status := l.take(p, now, it, token)
	if status == wire.StatusBusy {
		p.counts.Busy++
	}
	p.counts.Taken++
	return status
}

// Datagram takes a request for missing frames.
func (p *Proxy) Datagram(now int64, b []byte) {
	p.now = now
	var h wire.Header
	if cause := p.opener.Open(b, &h); cause != wire.OK {
		p.counts.BadFrames[cause]++
		p.counts.BadKeys.Note(cause, b)
		return
	}
	var room [wire.MaxGaps]lane.Gap
	gaps, ok := wire.DecodeGaps(b[wire.HeaderSize:], room[:0])
	if h.Type != wire.TypeNack || !ok {
		p.counts.BadFrames[wire.BadType]++
		return
	}
	if h.Incarnation != p.incarnation || int(h.Lane) >= len(p.lanes) {
		p.counts.BadFrames[wire.BadLane]++
		return
	}
	p.counts.Nacks++
	l := p.lanes[h.Lane]
	l.repair.Nack(now, h.First, int64(h.HighWater), gaps)
}

// Message takes a message from a replica.
func (p *Proxy) Message(now int64, from wire.Peer, b []byte) {
	p.now = now
	if len(b) == 0 || !from.IsReplica() || !p.dispatch(from.Seat(), wire.Kind(b[0]), b[1:]) {
		p.counts.BadMessages++
	}
}

func (p *Proxy) dispatch(from int, kind wire.Kind, b []byte) bool {
	switch kind {
	case wire.KindOpened:
		return p.onOpened(b)
	case wire.KindFenced:
		return p.onFenced(b)
	case wire.KindReport:
		return p.onReport(from, b)
	case wire.KindReply:
		return p.onReply(b)
	case wire.KindReadReply:
		return p.onReadReply(b)
	}
	return false
}

func (p *Proxy) onOpened(b []byte) bool {
	m, ok := wire.ReadOpened(b)
	if !ok {
		return false
	}
	if m.Nonce != p.nonce || p.fenced != nil {
		return true
	}
	if len(p.lanes) > 0 {
		if m.Incarnation != p.incarnation {
			p.beginAnew()
		}
		return true
	}
	p.incarnation, p.leader, p.seats, p.openWait = m.Incarnation, m.Leader, m.Seats, p.cfg.OpenRetry
	p.counts.Incarnation = m.Incarnation
	p.cfg.Digest.SetSalt(p.nonce) // a cluster founded anew may draw an incarnation that there was
	for i := range m.Lanes {
		cfg := p.cfg.Sender
		cfg.Cluster, cfg.Proxy, cfg.Incarnation, cfg.Lane = p.cfg.Cluster, p.cfg.Number, m.Incarnation, i
		s, err := lane.NewSender(cfg, p.cfg.Digest)
		if err != nil {
			p.fenced = fmt.Errorf("proxy: %w", err)
			return true
		}
		repair, err := lane.NewRepairer(p.cfg.Repair, cfg.Window, s, p.pacer.Repairs())
		if err != nil {
			p.fenced = fmt.Errorf("proxy: %w", err)
			return true
		}
		s.SetResponder(p.responder)
		p.lanes = append(p.lanes, &laneOut{index: i, sender: s, repair: repair,
			heart: lane.NewHeart(0, longestBeat), entries: make([]entry, p.cfg.Pending),
			mask: uint64(p.cfg.Pending - 1)})
	}
	return true
}

// beginAnew ends this life of the proxy: the replicas know its instance under another incarnation, and
// a cluster grants an instance one only. So they were founded anew, under the same name and key, without
// this life. What it sent to the cluster that was is not sent to the one that is.
func (p *Proxy) beginAnew() {
	p.counts.Refounded++
	for _, l := range p.lanes {
		l.fence(p, 0, false)
	}
	p.lanes = nil
	p.nonce++
	p.nextOpen = p.now
}

func (p *Proxy) onFenced(b []byte) bool {
	m, ok := wire.ReadFenced(b)
	if !ok {
		return false
	}
	if len(p.lanes) > 0 && m.Nonce == p.nonce && m.Incarnation < p.incarnation {
		p.beginAnew() // opened and closed already, in a cluster that does not know this incarnation
		return true
	}
	if len(p.lanes) == 0 && m.Nonce == p.nonce {
		p.nonce++ // its lanes were opened and closed for silence before it heard of them
		return true
	}
	if m.Incarnation < p.incarnation || len(p.lanes) == 0 {
		return true
	}
	p.counts.Fenced++
	// Otherwise a later one is closed already, and where this one ended is not known.
	own := m.Incarnation == p.incarnation
	for i, l := range p.lanes {
		if own && i < len(m.Items) {
			l.fence(p, m.Items[i], true)
		} else {
			l.fence(p, 0, false)
		}
	}
	p.lanes = nil
	if !m.Silence || !own {
		p.fenced = ErrFenced
		return true
	}
	// Closed for silence: this instance may have been stopped for a while. It opens anew, not at once.
	p.nonce++
	p.openWait = min(2*p.openWait, 20*p.cfg.OpenRetry)
	p.nextOpen = p.now + p.openWait
	return true
}

func (p *Proxy) onReport(from int, b []byte) bool {
	m, ok := wire.ReadReport(b, p.reports)
	p.reports = m.Lanes
	if !ok {
		return false
	}
	if m.Incarnation != p.incarnation {
		return true
	}
	p.leader, p.seats = m.Leader, m.Seats
	p.noteFull(from, m.Full, m.Closed)
	for _, lr := range m.Lanes {
		if int(lr.Index) < len(p.lanes) {
			p.lanes[lr.Index].commit(p, lr.Committed)
		}
	}
	return true
}

// fullFor is for how long a replica's word counts that it is full. It repeats it several times in
// that time; one that is gone does not count.
const fullFor = 2_000_000_000

func (p *Proxy) noteFull(seat int, full, closed bool) {
	p.fullAt[seat], p.closedAt[seat] = 0, 0
	if full {
		p.fullAt[seat] = p.now
	}
	if closed {
		p.closedAt[seat] = p.now
	}
	p.judgeFull()
}

func (p *Proxy) judgeFull() { p.isFull, p.isClosed = p.most(&p.fullAt), p.most(&p.closedAt) }

// most reports whether a majority of the voters said so lately: the others can go on without the rest.
func (p *Proxy) most(at *[wire.MaxSeats]int64) bool {
	n := 0
	for seat, said := range at {
		if said > 0 && p.now-said < fullFor && p.seats>>seat&1 == 1 {
			n++
		}
	}
	return n > bits.OnesCount16(p.seats)/2
}

func (p *Proxy) onReply(b []byte) bool {
	incarnation, index, rest, ok := wire.ReadReply(b)
	if !ok || incarnation != p.incarnation || int(index) >= len(p.lanes) {
		return ok
	}
	l := p.lanes[index]
	for ok && len(rest) > 0 {
		var r wire.Result
		var number uint64
		if number, _, rest, ok = wire.NextAnswer(rest, &r); ok {
			l.answer(p, number, &r)
		}
	}
	l.advance(p)
	return ok
}

// Tick lets time pass.
func (p *Proxy) Tick(now int64) {
	p.now = now
	p.judgeFull()
	if p.fenced == nil && now >= p.nextOpen {
		p.askForLanes()
	}
	for _, l := range p.lanes {
		l.expire(p)
		p.hedge(l)
	}
	p.retryReads()
}

// aliveEvery is how many OpenRetry lie between signs of life.
const aliveEvery = 10

// askForLanes asks until lanes are open; then the same request now and then says that this instance
// lives, which an idle lane's heartbeats do not while nothing was ever sent, and finds out whether
// it is fenced.
func (p *Proxy) askForLanes() {
	p.nextOpen = p.now + p.openWait
	if len(p.lanes) > 0 {
		p.nextOpen = p.now + aliveEvery*p.cfg.OpenRetry
	}
	m := wire.Open{Nonce: p.nonce, Lanes: uint16(p.cfg.Lanes)}
	p.toAll(m.Append(nil))
}

func (p *Proxy) toAll(b []byte) {
	for seat := range p.cfg.Seats {
		p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(seat), Bytes: b})
	}
}

// hedge asks another replica for what one owes for too long, and lets that one answer from now on
// (R25): a replica that stopped costs one delay, not one for each answer.
func (p *Proxy) hedge(l *laneOut) {
	if l.wait.last == 0 || p.now-l.wait.last < l.wait.ends(p.cfg.HedgeDelay, p.cfg.Deadline, l.hedges) {
		return
	}
	l.hedges++
	p.counts.Hedges++
	p.turnTo()
	want := wire.Want{Incarnation: p.incarnation, Lane: l.index, From: l.answered, To: l.committed}
	p.toAll(want.Append(nil))
	before := l.sender.Items()
	l.reissue(p)
	p.counts.Reissued += l.sender.Items() - before
	l.advance(p)
}

// turnTo asks another seat from now on. Each try goes to the next, for the first may be as dead as the
// one before; lanes that wait at the same time turn together, or they would turn back.
func (p *Proxy) turnTo() {
	if p.now-p.turned < p.cfg.HedgeDelay {
		return
	}
	p.turned, p.responder = p.now, p.otherSeat()
	for _, l := range p.lanes {
		l.sender.SetResponder(p.responder)
	}
}

// otherSeat is a seat to ask that is not the one asked now.
func (p *Proxy) otherSeat() int {
	now := p.responder
	if now < 0 {
		now = int(p.leader) - 1
	}
	for i := 1; i <= wire.MaxSeats; i++ {
		if seat := (now + i + wire.MaxSeats) % wire.MaxSeats; p.seats>>seat&1 == 1 && seat != now {
			return seat
		}
	}
	return -1
}

// longestBeat is how long an idle lane is silent between heartbeats, in the end: ten of them have
// told by then.
const longestBeat = 1_000_000_000 // ns

// sendBurst bounds the new frames of one Output.
const sendBurst = 256

// Output appends what is to be sent.
func (p *Proxy) Output(out *node.Output) {
	p.repairs.Reset()
	for _, l := range p.lanes {
		p.flush(l)
		p.send(l, out)
		l.repair.Due(p.now, &p.repairs)
		p.tellGone(l)
	}
	out.Multicast = append(out.Multicast, p.repairs.Multicast...)
	for _, u := range p.repairs.Unicast {
		to := wire.ReplicaPeer(int(u.Asker & 0xff))
		out.Unicast = append(out.Unicast, node.Datagram{To: to, Bytes: u.Frame})
	}
	p.sendReads()
	out.Messages = append(out.Messages, p.messages...)
	clear(p.messages)
	p.messages = p.messages[:0]
	p.recycleReads()
}

// send multicasts a lane's new frames at the pace that is allowed, or a heartbeat.
func (p *Proxy) send(l *laneOut, out *node.Output) {
	if n := p.pacer.Allow(p.now, min(sendBurst, l.sender.Pending())); n > 0 {
		frames := l.sender.Next(p.frames[0:0:n])
		p.pacer.Sent(p.now, frames)
		l.heart.Sent(p.now)
		out.Multicast = append(out.Multicast, frames...)
		return
	}
	if l.heart.Due(p.now) {
		if b := l.sender.Heartbeat(); b != nil {
			out.Multicast = append(out.Multicast, b)
		}
	}
}

// flush closes a frame that is not full when nothing is under way, or when it has waited long
// enough.
func (p *Proxy) flush(l *laneOut) {
	if l.opened == 0 {
		return
	}
	if l.committed == l.flushed || p.now-l.opened >= p.cfg.FlushDelay {
		l.sender.Flush()
		l.opened, l.flushed = 0, l.sender.Items()
	}
}

// tellGone answers those who miss frames that are kept no longer.
func (p *Proxy) tellGone(l *laneOut) {
	for _, g := range p.repairs.Gone {
		w := wire.NewWriter(nil, wire.KindGone)
		w.U32(p.incarnation)
		w.U16(l.index)
		w.U64(g.Below)
		p.messages = append(p.messages, node.Message{To: wire.ReplicaPeer(int(g.Asker & 0xff)), Bytes: w.B})
	}
	p.repairs.Gone = p.repairs.Gone[:0]
}

// Next is when Tick and Output want to be called at the latest, if nothing arrives before.
func (p *Proxy) Next() int64 {
	if p.fenced != nil {
		return lane.Never
	}
	next := p.nextOpen
	for _, l := range p.lanes {
		next = min(next, l.heart.Next(), l.repair.Next())
		if l.opened != 0 {
			next = min(next, l.opened+p.cfg.FlushDelay)
		}
		if l.sender.Pending() > 0 {
			next = min(next, p.pacer.Next(p.now))
		}
		if l.wait.last != 0 {
			next = min(next, l.wait.last+l.wait.ends(p.cfg.HedgeDelay, p.cfg.Deadline, l.hedges))
		}
		if l.answered < l.sender.Items() {
			next = min(next, p.now+p.cfg.HedgeDelay) // deadlines
		}
	}
	for i := range p.reads {
		if l := &p.reads[i]; len(l.out) > 0 {
			next = min(next, l.moved+l.wait.ends(p.cfg.HedgeDelay, p.cfg.Deadline, l.tries))
			if len(l.open.tokens) > 0 {
				next = min(next, l.open.begun+p.cfg.FlushDelay)
			}
		}
	}
	return next
}

// View is a proxy at a glance, for metrics and operators.
type View struct {
	Open        bool
	Incarnation uint32
	Leader      int // seat, -1 = not known
	Seats       uint16
	Responder   int // seat asked to answer, -1 = the leader
	Full        bool
	Counters    Counters
	Lanes       []LaneView
	Reads       int    // messages of reads that are not answered
	Keys        uint16 // places of the oldest keys (wire.KeyPlaces) of frames that are not done, a bit each
}

// LaneView is one lane.
type LaneView struct {
	Items, Committed, Answered uint64
	Window                     lane.Gap
	Repairs                    lane.RepairCounters
}

// View looks at the proxy.
func (p *Proxy) View() View {
	v := View{Open: p.Open(), Incarnation: p.incarnation, Leader: int(p.leader) - 1, Seats: p.seats,
		Responder: p.responder, Full: p.isFull, Counters: p.counts}
	for i := range p.reads {
		v.Reads += len(p.reads[i].out)
	}
	for _, l := range p.lanes {
		v.Lanes = append(v.Lanes, LaneView{Items: l.sender.Items(), Committed: l.committed, Answered: l.answered,
			Window: l.sender.Window(), Repairs: l.repair.Counters()})
		if f := l.sender.Frame(l.sender.Tail()); f != nil {
			v.Keys |= 1 << wire.KeyPlace(f)
		}
	}
	return v
}
