package sim

import (
	"math/rand/v2"
	"slices"

	"metronome/harness/history"
	"metronome/system/wire"
)

// workload is the clients, and the history they write.
type workload struct {
	rng     *rand.Rand
	gen     generator
	clients []*client
	lives   map[uint32]uint64 // of proxies, by number

	ops      []history.Operation
	attempts []attempt           // by ticket - 1
	byItem   map[sentItem]uint64 // ticket
	left     int                 // operations still to be begun
	nextConn int
	probe    *client // the judge of progress
	probeOK  int     // its operations that were answered
}

// attempt is one sending of an operation.
type attempt struct {
	op, client int
	connection int
	slot       int32
	open       bool // still waited for
}

// client is one program that talks to the store.
type client struct {
	place      int
	sessions   bool // does its writes in a session, and retries them
	slot       int32
	connection int // 0: none
	waiting    []uint64
	again      []int // operations of its session to be sent again
	session    sessionClient
	asleep     bool
	pause      int64                       // sends nothing before
	only       func() (history.Call, bool) // the probe's operations
}

// sessionClient is the client's half of a session (R24).
type sessionClient struct {
	id, number uint64 // 0: none open
	opening    bool
	open       map[uint64]bool // numbers without an answer
}

// low is the mark below which the client has every answer.
func (s *sessionClient) low() uint64 {
	low := s.number + 1
	for n := range s.open {
		low = min(low, n)
	}
	return low
}

func newWorkload(rng *rand.Rand, p *params) workload {
	k := workload{rng: rng, lives: map[uint32]uint64{}, byItem: map[sentItem]uint64{}, left: p.operations,
		gen: generator{rng: rng, revisions: map[string]uint64{}}}
	for i := range p.clients {
		k.clients = append(k.clients, &client{place: i, sessions: rng.IntN(2) == 0})
	}
	return k
}

// sentItem names an item as its proxy does.
type sentItem struct {
	proxy, incarnation uint32
	lane               int
	number             uint64
}

// tickets hears where operations travel.
type tickets struct{ w *world }

// OnItem notes an item's ticket.
func (t tickets) OnItem(ticket uint64, proxy, incarnation uint32, lane int, number uint64) {
	k := sentItem{proxy, incarnation, lane, number}
	if before, taken := t.w.work.byItem[k]; taken && before != ticket {
		t.w.truth.fail("R19", "%+v carries ticket %d and ticket %d", k, before, ticket)
	}
	t.w.work.byItem[k] = ticket
}

// sleep makes a client look again some time from now.
func (k *workload) sleep(w *world, c *client, d int64) {
	if !c.asleep {
		c.asleep = true
		w.queue.push(event{at: w.now + d, kind: evClient, to: int32(c.place)})
	}
}

// wake lets a client do the next thing.
func (k *workload) wake(w *world, place int) {
	c := k.clients[place]
	c.asleep = false
	defer k.sleep(w, c, int64(float64(w.params.think)*k.rng.ExpFloat64())+1)
	if w.now < c.pause || c.connection == 0 && !k.connect(w, c) {
		return
	}
	depth := 1 + k.rng.IntN(w.params.depth)
	if c == k.probe {
		depth = 1
	}
	for len(c.waiting) < depth && k.next(w, c) {
		if k.rng.IntN(3) == 0 {
			return
		}
	}
}

// connect finds a client a proxy.
func (k *workload) connect(w *world, c *client) bool {
	if c == k.probe {
		k.nextConn++
		c.connection = k.nextConn
		return w.procs[c.slot].up
	}
	p := w.fault.pickWith(k.rng, w, func(p *process) bool { return p.up && p.proxy != nil })
	if p == nil {
		return false
	}
	k.nextConn++
	c.slot, c.connection = p.slot, k.nextConn
	return true
}

// next sends a client's next operation, if there is one.
func (k *workload) next(w *world, c *client) bool {
	// What is sent again comes in any order, and new numbers may pass it: R24 says why that is the
	// hard case.
	if len(c.again) > 0 && k.barriers(c) == 0 && (k.left == 0 || k.rng.IntN(3) > 0) {
		i := k.rng.IntN(len(c.again))
		op := c.again[i]
		c.again = slices.Delete(c.again, i, i+1)
		k.ops[op].Retried = true
		w.cover.Add("session write retried")
		k.send(w, c, op)
		return true
	}
	call, barrier, ok := k.choose(w, c)
	if !ok {
		return false
	}
	k.ops = append(k.ops, history.Operation{Connection: c.connection, Call: call, Invoked: w.now,
		Returned: history.Never, Barrier: barrier})
	k.send(w, c, len(k.ops)-1)
	return true
}

func (k *workload) choose(w *world, c *client) (call history.Call, barrier, ok bool) {
	if c.only != nil {
		call, ok = c.only()
		return call, false, ok
	}
	if k.left == 0 {
		return call, false, false
	}
	s := &c.session
	if c.sessions && s.id == 0 && k.barriers(c) == 0 {
		if s.opening {
			return call, false, false
		}
		s.opening = true
		return history.Call{Op: wire.OpSession}, false, true
	}
	reads := k.barriers(c)
	if reads > 0 && k.rng.IntN(2) == 0 {
		return call, false, false // an item must not pass a barrier read of its connection (R20)
	}
	k.left--
	call, barrier = k.gen.call(&w.params)
	switch {
	case reads > 0:
		call, barrier = history.Call{Op: wire.OpGet, Key: k.gen.key(&w.params)}, true
	case len(c.waiting) > 0:
		barrier = false // nor a barrier read an item
	}
	if s.id != 0 && !barrier && call.Op != wire.OpScan && call.Op != wire.OpCount {
		s.number++
		s.open[s.number] = true
		call.Session, call.Number = s.id, s.number
	}
	return call, barrier, true
}

// barriers counts a client's outstanding barrier reads.
func (k *workload) barriers(c *client) (n int) {
	for _, ticket := range c.waiting {
		if k.ops[k.attempts[ticket-1].op].Barrier {
			n++
		}
	}
	return n
}

// send makes one attempt at an operation.
func (k *workload) send(w *world, c *client, op int) {
	call := k.ops[op].Call
	if call.Session != 0 {
		call.Low = c.session.low()
	}
	k.attempts = append(k.attempts, attempt{op: op, client: c.place, connection: c.connection, slot: c.slot,
		open: true})
	ticket := uint64(len(k.attempts))
	c.waiting = append(c.waiting, ticket)
	r := &request{uint64(c.connection), ticket, call, k.ops[op].Barrier}
	p := w.procs[c.slot]
	if p.up {
		w.queue.push(event{at: w.now, kind: evRequest, to: c.slot, gen: p.gen, req: r})
	}
	w.after(w.params.timeout, func() {
		if k.attempts[ticket-1].open {
			w.cover.Add("operation timed out")
			k.hangUp(w, c)
		}
	})
}

// hangUp closes a client's connection: whatever was outstanding on it has no answer.
func (k *workload) hangUp(w *world, c *client) {
	waiting := c.waiting
	c.waiting, c.connection = nil, 0
	for _, ticket := range waiting {
		k.end(w, c, ticket, history.Unknown, history.Answer{})
	}
}

// lost is a proxy's end: its clients see their connections close.
func (k *workload) lost(w *world, p *process) {
	for _, c := range k.clients {
		if c.connection != 0 && c.slot == p.slot {
			k.hangUp(w, c)
		}
	}
}

// startProbe makes the probe send operations through a proxy, one after another. Other clients
// stop.
func (k *workload) startProbe(w *world, p *process, only func() (history.Call, bool)) {
	k.left = 0
	if k.probe == nil {
		k.probe = &client{place: len(k.clients)}
		k.clients = append(k.clients, k.probe)
	}
	c := k.probe
	k.hangUp(w, c)
	k.nextConn++
	c.only, c.slot, c.connection = only, p.slot, k.nextConn
	k.sleep(w, c, milli)
}
