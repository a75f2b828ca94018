package sim

import (
	"fmt"
	"math/rand/v2"

	"metronome/system/node"
	"metronome/system/wire"
)

// process is one slot: the process running there now, if any.
type process struct {
	slot   int32
	peer   wire.Peer
	gen    uint32 // counts the lives of the slot
	up     bool
	paused bool

	core    node.Core
	replica Replica // nil: a proxy
	proxy   Proxy   // nil: a replica
	life    *life   // of a replica

	disk *seatDisk // of a replica; nil: its state is its process'
	beat int64     // when it last sent a heartbeat, or had a reason not to

	interval int64 // between ticks
	lag      int64 // a slow process handles everything this much later
	lagTail  int64 // and in order
	offset   int64 // of its clock
	drift    int64 // of its clock, in millionths
	held     []event
	deadLane int // frames of lanes ≡ deadLane mod deadOf are lost here; deadOf 0 = none
	deadOf   int
	deadAll  bool // repairs too

	pieces map[wire.Peer]pieces // of snapshots that it sends
}

// clock is the process' own monotonic time.
func (p *process) clock(now int64) int64 { return p.offset + now + now/1_000_000*p.drift }

// world is one simulation.
type world struct {
	seed   uint64
	params params
	system System

	now   int64
	queue queue
	procs []*process
	net   network
	truth truth
	work  workload
	fault nemesis
	cover Coverage
	trace trace
	out   node.Output
	view  View
	steps uint64

	generation uint32 // of the cluster
	backup     backup
	rng        *rand.Rand // of processes' small differences
}

// at calls do at a time.
func (w *world) at(at int64, do func()) {
	w.queue.push(event{at: max(at, w.now), kind: evCall, do: do})
}

// after calls do so many nanoseconds from now.
func (w *world) after(d int64, do func()) { w.at(w.now+d, do) }

// run lets time pass until a moment, or until stop says so.
func (w *world) run(until int64, stop func() bool) {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= until && !w.truth.failed() {
		if stop != nil && stop() {
			return
		}
		e := w.queue.pop()
		w.now = e.at
		w.dispatch(&e)
		w.steps++
	}
	if !w.truth.failed() && (stop == nil || !stop()) {
		w.now = max(w.now, until)
	}
}

func (w *world) dispatch(e *event) {
	switch e.kind {
	case evCall:
		e.do()
	case evClient:
		w.work.wake(w, int(e.to))
	default:
		w.deliver(e)
	}
}

// deliver gives an event to the process it is for, or to nobody, or to a slow or a stopped one
// later.
func (w *world) deliver(e *event) {
	p := w.procs[e.to]
	switch {
	case !p.up || p.gen != e.gen:
		return
	case e.kind == evMessage && w.net.conn(e.from, e.to).epoch != e.conn:
		return
	case p.paused:
		w.hold(p, e)
		return
	case p.lag > 0 && !e.late:
		e.late = true
		p.lagTail = max(p.lagTail, w.now+p.lag)
		e.at = p.lagTail
		w.queue.push(*e)
		return
	}
	w.trace.event(w, e)
	w.handle(p, e)
	w.flush(p)
	if p.up {
		w.truth.inspect(w, p)
	}
}

// heldDatagrams is how many datagrams the socket of a stopped process holds; streams push back
// instead.
const heldDatagrams = 500

func (w *world) hold(p *process, e *event) {
	switch {
	case e.kind == evTick:
		return
	case e.kind == evDatagram && len(p.held) >= heldDatagrams:
		w.cover.Add("datagram lost at a stopped process")
		return
	}
	p.held = append(p.held, *e)
}

func (w *world) handle(p *process, e *event) {
	now := p.clock(w.now)
	switch e.kind {
	case evTick:
		p.core.Tick(now)
		e.at = w.now + p.interval
		e.late = false
		w.queue.push(*e)
	case evDatagram:
		p.core.Datagram(now, e.b)
	case evMessage:
		p.core.Message(now, w.procs[e.from].peer, e.b)
	case evRequest:
		p.proxy.Submit(now, e.req.connection, e.req.ticket, &e.req.call, e.req.barrier)
	}
}

// maxOutput bounds what one step of a process may send (I6).
const maxOutput = 4096

// flush sends what a process wants sent and takes a proxy's answers.
func (w *world) flush(p *process) {
	w.out.Reset()
	p.core.Output(&w.out)
	if n := len(w.out.Multicast) + len(w.out.Unicast) + len(w.out.Messages); n > maxOutput {
		w.truth.fail("I6", "%v sends %d datagrams and messages at once", p, n)
	}
	for _, b := range w.out.Multicast {
		w.net.multicast(w, p, b)
	}
	for i := range w.out.Unicast {
		w.net.unicast(w, p, w.out.Unicast[i].To, w.out.Unicast[i].Bytes)
	}
	for i := range w.out.Messages {
		if p.replica != nil {
			w.promised(p, w.out.Messages[i].Bytes)
			w.notePiece(p, w.out.Messages[i].To, w.out.Messages[i].Bytes)
		}
		w.net.message(w, p, w.out.Messages[i].To, w.out.Messages[i].Bytes)
	}
	if p.disk != nil {
		w.write(p)
	}
	if p.proxy != nil {
		w.work.collect(w, p)
	}
}

// start begins a life in a slot.
func (w *world) start(p *process) {
	p.gen++
	p.up, p.paused, p.held, p.lagTail = true, false, nil, 0
	p.offset = w.rng.Int64N(w.params.clockOffset + 1)
	p.drift = w.rng.Int64N(2*w.params.drift+1) - w.params.drift
	p.interval = w.params.tick/2 + w.rng.Int64N(w.params.tick)
	skew := w.skew()
	if !p.peer.IsReplica() {
		w.startProxy(p, skew)
	} else if !w.startReplica(p, skew) {
		return
	}
	w.queue.push(event{at: w.now + w.rng.Int64N(p.interval), kind: evTick, to: p.slot, gen: p.gen})
	w.trace.note(w, "start %v life %d", p.peer, p.gen)
	w.flush(p)
}

func (w *world) skew() Skew {
	s := Skew{Timing: 1000, Limits: 1000, Level: w.params.level}
	if w.params.skewed {
		s.Timing = 700 + w.rng.Int64N(700)
		s.Limits = 300 + w.rng.Int64N(1500)
		if w.rng.IntN(3) == 0 {
			s.Level++
			w.cover.Add("process of a newer feature level")
		}
	}
	return s
}

// startReplica reports whether a process runs: one may end while it opens its disk.
func (w *world) startReplica(p *process, skew Skew) bool {
	p.beat = w.now
	c := ReplicaConfig{Seat: p.peer.Seat(), Seats: w.params.replicas, Found: w.now == 0, Seed: w.rng.Uint64(),
		Skew: skew, Generation: w.generation, Accepts: w.params.accepts}
	if p.disk != nil {
		return w.startKept(p, c)
	}
	p.life = w.truth.born(w, c.Seat, w.truth.nextLife(c.Seat))
	p.replica = w.system.Replica(c, p.life)
	p.core, p.life.replica = p.replica, p.replica
	return true
}

func (w *world) startProxy(p *process, skew Skew) {
	number := p.peer.Number()
	w.work.lives[number]++
	p.proxy = w.system.Proxy(ProxyConfig{Number: number, Life: w.work.lives[number], Seats: w.params.replicas,
		Seed: w.rng.Uint64(), Skew: skew, Generation: w.generation}, tickets{w})
	p.core = p.proxy
}

// kill ends a process: what is on its way to it, from it by stream, and in it, is gone.
func (w *world) kill(p *process) {
	w.trace.note(w, "kill %v", p.peer)
	switch {
	case p.disk != nil:
		p.disk.fs, p.disk.kept = p.disk.fs.Kill(), nil
		p.life.down = true
	case p.life != nil:
		p.life.lost = true
	}
	p.up, p.paused, p.held = false, false, nil
	for _, q := range w.procs {
		if q != p {
			w.net.breakConn(w, p.slot, q.slot)
		}
	}
	if p.proxy != nil {
		w.work.lost(w, p)
	}
	p.core, p.replica, p.proxy = nil, nil, nil
}

// pause stops a process without telling it: SIGSTOP.
func (w *world) pause(p *process) {
	if p.up && !p.paused {
		p.paused = true
		w.trace.note(w, "pause %v", p.peer)
	}
}

// resume lets a stopped process go on, with everything that waited for it.
func (w *world) resume(p *process) {
	if !p.up || !p.paused {
		return
	}
	p.paused, p.beat = false, w.now
	w.trace.note(w, "resume %v, %d events held", p.peer, len(p.held))
	w.queue.push(event{at: w.now, kind: evTick, to: p.slot, gen: p.gen})
	for _, e := range p.held {
		e.at = w.now
		w.queue.push(e)
	}
	p.held = nil
}

// leader is the replica that leads, by the highest term, or nil.
func (w *world) leader() *process {
	var found *process
	term := uint64(0)
	for _, p := range w.procs {
		if !p.up || p.replica == nil {
			continue
		}
		w.view.reset()
		p.replica.Inspect(&w.view)
		if w.view.Leading && w.view.Term >= term {
			found, term = p, w.view.Term
		}
	}
	return found
}

// String is how traces name a process.
func (p *process) String() string { return fmt.Sprintf("%v.%d", p.peer, p.gen) }
