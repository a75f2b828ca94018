package sim

import (
	"encoding/binary"
	"math/rand/v2"

	"metronome/system/wire"
)

// network moves bytes between slots. Datagrams may be lost, doubled, overtaken, delayed and
// damaged. Streams are in order and whole, until they break.
type network struct {
	rng   *rand.Rand
	slots int
	links []link // from × slots + to
	conns []conn // the lower slot × slots + the higher
	// Which slot a replica's stream to a proxy's number leads to: whoever spoke last under it.
	routes []map[wire.Peer]int32

	storm     float64 // probability of loss until stormEnds
	stormEnds int64
}

// link is one direction between two slots.
type link struct {
	extra   int64 // this direction's own delay
	blocked bool
	clogged int64 // nothing arrives before
	bad     bool  // in a burst of loss
	tail    int64 // the stream's last arrival
	held    []event
}

// conn is the stream between two slots.
type conn struct {
	epoch uint32
	until int64 // not connected again before
	drop  bool  // a partition between them breaks it, instead of holding what is sent
}

func newNetwork(rng *rand.Rand, p *params, slots int) network {
	n := network{rng: rng, slots: slots, links: make([]link, slots*slots), conns: make([]conn, slots*slots),
		routes: make([]map[wire.Peer]int32, slots)}
	for i := range n.links {
		n.links[i].extra = int64(float64(p.delay) * p.asymmetry * rng.Float64())
	}
	for i := range n.routes {
		n.routes[i] = map[wire.Peer]int32{}
	}
	return n
}

func (n *network) link(from, to int32) *link { return &n.links[int(from)*n.slots+int(to)] }

func (n *network) conn(a, b int32) *conn {
	return &n.conns[int(min(a, b))*n.slots+int(max(a, b))]
}

// delay draws a one-way delay: mostly near the base, sometimes far beyond.
func (n *network) delay(p *params, l *link) int64 {
	d := p.delay/2 + int64(float64(p.delay)*n.rng.ExpFloat64()*p.jitter) + l.extra
	return min(d, 50*p.delay)
}

func (n *network) chance(probability float64) bool {
	return probability > 0 && n.rng.Float64() < probability
}

// multicast sends a datagram to every replica, each copy with a fate of its own.
func (n *network) multicast(w *world, from *process, b []byte) {
	b = append([]byte(nil), b...)
	for _, p := range w.procs {
		if p.peer.IsReplica() && p != from {
			n.datagram(w, from, p, b)
		}
	}
}

func (n *network) unicast(w *world, from *process, to wire.Peer, b []byte) {
	if p := n.resolve(w, from, to); p != nil {
		n.datagram(w, from, p, append([]byte(nil), b...))
	}
}

// resolve finds the process behind a name, as seen from another.
func (n *network) resolve(w *world, from *process, to wire.Peer) *process {
	if slot, ok := n.routes[from.slot][to]; ok && w.procs[slot].up && w.procs[slot].peer == to {
		return w.procs[slot]
	}
	for _, p := range w.procs {
		if p.peer == to && p.up && p != from {
			return p
		}
	}
	return nil
}

// datagram sends one copy. b is shared between copies and never written.
func (n *network) datagram(w *world, from, to *process, b []byte) {
	l, p := n.link(from.slot, to.slot), &w.params
	if l.bad = n.nextBurst(p, l.bad); !to.up || l.blocked || l.bad || n.lost(w) {
		return
	}
	if to.deaf(b) {
		w.cover.Add("frame lost in a dead receive queue")
		return
	}
	if n.chance(p.corrupt) {
		b = n.damage(b)
		w.cover.Add("datagram damaged")
	}
	if n.chance(p.altered) && to.slot == 0 {
		b = n.forge(w, b)
	}
	copies := 1
	if n.chance(p.duplicate) {
		copies = 2
		w.cover.Add("datagram doubled")
	}
	for range copies {
		at := w.now + n.delay(p, l)
		if n.chance(p.reorder) {
			at += n.rng.Int64N(20*p.delay + 1)
		}
		w.queue.push(event{at: max(at, l.clogged), kind: evDatagram, to: to.slot, from: from.slot, gen: to.gen,
			b: b})
	}
}

func (n *network) lost(w *world) bool {
	return n.chance(w.params.loss) || w.now < n.stormEnds && n.chance(n.storm)
}

// nextBurst is Gilbert's and Elliott's two-state loss: in the bad state everything is lost.
func (n *network) nextBurst(p *params, bad bool) bool {
	if bad {
		return !n.chance(p.burstEnd)
	}
	return n.chance(p.burst)
}

func (n *network) forge(w *world, b []byte) []byte {
	if f, ok := w.system.(Forger); ok {
		if forged := f.Forge(b); forged != nil {
			w.cover.Add("frame altered in one replica's memory")
			return forged
		}
	}
	return b
}

func (n *network) damage(b []byte) []byte {
	b = append([]byte(nil), b...)
	switch n.rng.IntN(8) {
	case 0:
		return b[:n.rng.IntN(len(b)+1)]
	case 1:
		return append(b, byte(n.rng.Uint32()))
	}
	for range 1 + n.rng.IntN(3) {
		if len(b) > 0 {
			b[n.rng.IntN(len(b))] ^= 1 << n.rng.IntN(8)
		}
	}
	return b
}

// deaf reports whether the process' receive queue for a frame's 5-tuple is dead.
func (p *process) deaf(b []byte) bool {
	if p.deadOf == 0 || len(b) < wire.HeaderSize || binary.LittleEndian.Uint16(b) != wire.Magic {
		return false
	}
	repair := b[5]&wire.FlagRepair != 0
	lane := int(binary.LittleEndian.Uint16(b[6:])) + int(binary.LittleEndian.Uint32(b[12:]))
	return lane%p.deadOf == p.deadLane && (p.deadAll || !repair)
}

// heldMessages is how much a stream across a partition takes before it breaks.
const heldMessages = 2000

// message sends on a stream.
func (n *network) message(w *world, from *process, to wire.Peer, b []byte) {
	target := n.resolve(w, from, to)
	if target == nil {
		return
	}
	if from.peer.IsProxy() {
		n.routes[target.slot][from.peer] = from.slot
	}
	c, l := n.conn(from.slot, target.slot), n.link(from.slot, target.slot)
	if w.now < c.until {
		return
	}
	e := event{kind: evMessage, to: target.slot, from: from.slot, gen: target.gen, conn: c.epoch,
		b: append([]byte(nil), b...)}
	switch {
	case l.blocked && (c.drop || len(l.held) >= heldMessages):
		n.breakConn(w, from.slot, target.slot)
	case l.blocked:
		l.held = append(l.held, e)
	default:
		n.sendMessage(w, l, e)
	}
}

func (n *network) sendMessage(w *world, l *link, e event) {
	p := &w.params
	at := w.now + n.delay(p, l)
	if n.lost(w) {
		at += 10 * p.delay // retransmitted
	}
	l.tail = max(at, l.clogged, l.tail)
	e.at = l.tail
	w.queue.push(e)
}

// breakConn breaks the stream between two slots: everything in flight is lost, and both ends learn
// it.
func (n *network) breakConn(w *world, a, b int32) {
	c := n.conn(a, b)
	c.epoch++
	c.until = w.now + w.params.reconnect
	n.link(a, b).held, n.link(b, a).held = nil, nil
	n.tell(w, w.procs[a], w.procs[b])
	n.tell(w, w.procs[b], w.procs[a])
}

func (n *network) tell(w *world, p, other *process) {
	d, ok := p.core.(Disconnecter)
	if !ok || !p.up {
		return
	}
	gen := p.gen
	var deliver func()
	deliver = func() {
		switch {
		case !p.up || p.gen != gen:
		case p.paused:
			p.held = append(p.held, event{kind: evCall, do: deliver})
		default:
			d.Disconnected(p.clock(w.now), other.peer)
			w.flush(p)
		}
	}
	w.after(0, deliver)
}

// block cuts or heals one direction.
func (n *network) block(w *world, from, to int32, blocked bool) {
	l := n.link(from, to)
	if l.blocked == blocked {
		return
	}
	l.blocked = blocked
	if blocked {
		n.conn(from, to).drop = n.rng.IntN(2) == 0
		return
	}
	held := l.held
	l.held = nil
	for _, e := range held {
		n.sendMessage(w, l, e)
	}
}

// heal ends every partition and clog.
func (n *network) heal(w *world) {
	n.stormEnds = 0
	for from := range n.slots {
		for to := range n.slots {
			n.block(w, int32(from), int32(to), false)
			n.link(int32(from), int32(to)).clogged = 0
		}
	}
}
