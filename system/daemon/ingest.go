package daemon

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/wire"
)

// ingestCores are a replica's ingest cores: threads that poll queues of their own, verify frames, and
// hand those that are whole to the ordering thread, each through a ring.
//
//	queue or socket --ingestCore--> ring --Replica.turn--> lanes
//
// They share the costly half of ingest and not the whole. Lanes stay with the ordering thread, for it
// and what it starts read and change them all the time: the gate asks for chain digests, the journal
// copies frames in the order in which marks pass them (R8), batches are cut where marks stand, peers'
// requests are answered from arenas, gaps are asked for by what is missing, and frames are trimmed
// under all of it (R17). Placing on several threads would put a lock, or copies, between each of these
// and the arena; placing one frame more costs one copy of a frame that is in the cache. So whatever a
// core does, marks move on one thread only, and the rules about them hold as without ingest cores.
//
// For the same reason any frame may come to any core. A lane usually keeps to one, because all of its
// frames are one flow to the hash that spreads them; if it does not, its frames are reordered a
// little, which a lane takes.
type ingestCores struct {
	cores      []*ingestCore
	closePorts func() error
	wake       func() // the ordering thread
	clock      clock
	polls      int // port.empty_polls
	stop       atomic.Bool
	ends       sync.WaitGroup
	failed     atomic.Pointer[error]
}

// ingestCore is one of them. Its fields belong to its goroutine, but for the ring's marks, short and
// shown.
type ingestCore struct {
	all    *ingestCores
	cpu    int
	port   packet.Port   // nil: another core polls for this one
	poller *ingestCore   // the one that does, or itself
	spread []*ingestCore // software distribution: among whom this core spreads what it polls; nil: nobody
	ring   *ring
	verify *lane.Verifier
	wait   *waiter
	frames [][]byte
	short  atomic.Bool               // polls nothing, for want of room
	keys   atomic.Pointer[wire.Keys] // to be used from now on; nil: as before

	n        IngestView
	nextView int64
	mu       sync.Mutex
	shown    IngestView
}

// IngestView is an ingest core as its operators see it.
type IngestView struct {
	CPU      int
	Software bool // another core, or this one in software, distributes frames: the device has one queue
	Verified lane.VerifierCounters
	Handed   uint64 // frames handed on to the ordering thread
	Spread   uint64 // frames distributed in software, to itself included
	Full     uint64 // times that it stopped polling because the ordering thread was behind
	Sleeps   uint64
	Port     packet.Stats
}

// ingestConfig is what ingest cores are made of.
type ingestConfig struct {
	cpus    []int
	ports   []packet.Port // one a core, or one for all: the first core polls it and distributes
	close   func() error  // closes them
	burst   int
	polls   int
	cluster uint32
	digest  func() (*wire.Digester, error) // a new one
	wake    func()
	clock   clock
}

// shut closes the ports of cores that were not made.
func (c *ingestConfig) shut() error {
	if len(c.ports) == 0 {
		return nil
	}
	return c.close()
}

func newIngestCores(cfg ingestConfig) (*ingestCores, error) {
	g := &ingestCores{closePorts: cfg.close, wake: cfg.wake, clock: cfg.clock, polls: cfg.polls}
	software := len(cfg.ports) < len(cfg.cpus)
	for i, cpu := range cfg.cpus {
		d, err := cfg.digest()
		if err != nil {
			return g, err
		}
		c := &ingestCore{all: g, cpu: cpu, ring: newRing(ringFrames), verify: lane.NewVerifier(cfg.cluster, d),
			frames: make([][]byte, cfg.burst)}
		c.n.CPU, c.n.Software = cpu, software
		c.shown = c.n
		c.poller = c
		if !software {
			c.port = cfg.ports[i]
		} else if i == 0 {
			c.port = cfg.ports[0]
		} else {
			c.poller = g.cores[0]
		}
		g.cores = append(g.cores, c)
		if c.wait, err = newWaiter(descriptors(c.port)...); err != nil {
			return g, err
		}
	}
	if software {
		g.cores[0].spread = g.cores
	}
	return g, nil
}

// start starts the threads.
func (g *ingestCores) start(log *slog.Logger) {
	if c := g.cores[0]; c.spread != nil {
		log.Warn("frames come by one queue for several ingest cores: the first distributes them in software",
			"cores", len(g.cores))
	}
	for _, c := range g.cores {
		g.ends.Go(c.run)
	}
}

// setKeys has all cores use other keys, soon.
func (g *ingestCores) setKeys(keys *wire.Keys) {
	if g == nil {
		return
	}
	for _, c := range g.cores {
		c.keys.Store(keys)
		c.wait.wake()
	}
}

// close ends the threads and closes the ports.
func (g *ingestCores) close() error {
	if g == nil {
		return nil
	}
	g.stop.Store(true)
	for _, c := range g.cores {
		if c.wait != nil {
			c.wait.wake()
		}
	}
	g.ends.Wait()
	for _, c := range g.cores {
		if c.wait != nil {
			c.wait.close()
		}
	}
	return g.closePorts()
}

// fail ends the replica.
func (g *ingestCores) fail(err error) {
	g.failed.CompareAndSwap(nil, &err)
	g.wake()
}

// ready reports whether frames wait to be taken.
func (g *ingestCores) ready() bool {
	if g == nil {
		return false
	}
	for _, c := range g.cores {
		if from, to := c.ring.judged(); from != to {
			return true
		}
	}
	return g.failed.Load() != nil
}

// placer is where frames go: a replica's core.
type placer interface {
	Verified(now int64, frame []byte)
}

// take gives the frames that are there to the core, on the ordering thread.
func (g *ingestCores) take(now int64, core placer) (n int, err error) {
	if p := g.failed.Load(); p != nil {
		return 0, *p
	}
	for _, c := range g.cores {
		from, to := c.ring.judged()
		if from == to {
			continue
		}
		for i := from; i != to; i++ {
			if f := c.ring.frame(i); f != nil {
				core.Verified(now, f)
			}
		}
		c.ring.taken.Store(to)
		n += int(to - from)
		if c.poller.short.Load() {
			c.poller.wait.wake()
		}
	}
	return n, nil
}

// views are the cores as they were a few milliseconds ago.
func (g *ingestCores) views() (all []IngestView) {
	if g == nil {
		return nil
	}
	for _, c := range g.cores {
		c.mu.Lock()
		all = append(all, c.shown)
		c.mu.Unlock()
	}
	return all
}

// run polls until it is told to stop, or the port fails.
func (c *ingestCore) run() {
	if err := pin(&c.cpu); err != nil {
		slog.Warn("ingest core is not pinned", "error", err)
	}
	detach, err := attach(c.port)
	if err != nil {
		c.all.fail(err)
		return
	}
	defer detach()
	defer c.show()
	polled, idle := c.port != nil && descriptor(c.port) < 0, idler{limit: c.all.polls}
	for last := c.all.clock.now(); !c.all.stop.Load(); {
		busy, err := c.turn()
		if err != nil {
			c.all.fail(err)
			return
		}
		now := c.all.clock.now()
		c.publish(now)
		if busy {
			last, idle.empty = now, 0
			continue
		}
		if polled && !c.short.Load() && idle.spins() {
			continue
		}
		c.rest(now-last, polled)
	}
}

// rest sleeps until there is something to do. A port that is not polled for want of room is not
// waited for: it would be ready at once.
func (c *ingestCore) rest(idle int64, polled bool) {
	short := c.short.Load()
	if short {
		c.wait.announce()
	} else {
		c.wait.prepare()
	}
	from, to := c.ring.unjudged()
	if from != to || short && c.room() > 0 || c.all.stop.Load() {
		return
	}
	c.wait.sleep(pause(int64(longestPause), idle, polled || short))
	c.n.Sleeps++
}

// turn does what can be done now.
func (c *ingestCore) turn() (busy bool, err error) {
	if c.keys.Load() != nil {
		if err := c.verify.SetKeys(c.keys.Swap(nil)); err != nil {
			return false, err
		}
	}
	n := 0
	if c.port != nil {
		if n, err = c.receive(); err != nil {
			return false, err
		}
	}
	return n+c.judge() > 0, nil
}

// room is how many frames may be received.
func (c *ingestCore) room() int {
	if c.spread == nil {
		return c.ring.room()
	}
	room := ringFrames
	for _, to := range c.spread {
		room = min(room, to.ring.room())
	}
	return room
}

// receive takes one burst from the port, if there is room for it.
func (c *ingestCore) receive() (int, error) {
	room := c.room()
	if room == 0 {
		if !c.short.Swap(true) {
			c.n.Full++
		}
		return 0, nil
	}
	if c.short.Load() {
		c.short.Store(false)
	}
	n, err := c.port.Recv(c.frames[:min(room, len(c.frames))])
	switch {
	case n == 0:
	case c.spread != nil:
		c.distribute(c.frames[:n])
	default:
		c.hand(c.frames[:n])
	}
	return n, err
}

// hand verifies frames where the port left them, and copies those that are whole.
func (c *ingestCore) hand(frames [][]byte) {
	before := c.ring.next
	for _, f := range frames {
		if f = c.verify.Frame(f); f != nil {
			c.ring.put(f)
		}
	}
	if c.ring.next == before {
		return
	}
	c.n.Handed += c.ring.next - before
	c.ring.fill()
	c.ring.verified.Store(c.ring.next)
	c.all.wake()
}

// distribute copies frames to the rings of the cores that are to verify them, by lane.
func (c *ingestCore) distribute(frames [][]byte) {
	c.n.Spread += uint64(len(frames))
	for _, f := range frames {
		c.spread[share(f, len(c.spread))].ring.put(f)
	}
	for _, to := range c.spread {
		if to.ring.next == to.ring.filled.Load() {
			continue
		}
		to.ring.fill()
		if to != c {
			to.wait.wake()
		}
	}
}

// share is which of n cores verifies a frame. The frame may be anything.
func share(frame []byte, n int) int {
	if len(frame) < wire.HeaderSize {
		return 0
	}
	var h wire.Header
	h.Get(frame)
	return int((h.Proxy + uint32(h.Lane)) % uint32(n))
}

// judgeBurst is how many are verified at once, so that the ordering thread need not wait long for the
// first.
const judgeBurst = 64

// judge verifies frames that were distributed to this core, where they lie.
func (c *ingestCore) judge() int {
	from, to := c.ring.unjudged()
	if from == to {
		return 0
	}
	to = min(to, from+judgeBurst)
	for i := from; i != to; i++ {
		f := c.ring.frame(i)
		opened := c.verify.Frame(f)
		if opened == nil {
			c.ring.refuse(i)
			continue
		}
		c.n.Handed++
		if &opened[0] != &f[0] { // decrypted elsewhere
			copy(f, opened)
		}
	}
	c.ring.verified.Store(to)
	c.all.wake()
	return int(to - from)
}

// publish lets others see the core, now and then.
func (c *ingestCore) publish(now int64) {
	if now >= c.nextView {
		c.nextView = now + int64(viewEvery)
		c.show()
	}
}

func (c *ingestCore) show() {
	c.n.Verified = c.verify.Counters()
	if c.port != nil {
		c.n.Port = c.port.Stats()
	}
	c.mu.Lock()
	c.shown = c.n
	c.mu.Unlock()
}
