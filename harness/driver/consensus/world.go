package consensus

import (
	"fmt"
	"math/rand/v2"

	"metronome/system/order"
)

// starter starts an orderer.
type starter func(order.Config) (order.Orderer, error)

// maxEvents bounds one run of a world: a correct orderer comes nowhere near it.
const maxEvents = 50_000_000

// world is one run: replicas, what lies between them, and what is seen of them.
type world struct {
	point
	now   int64
	queue queue
	procs []*process
	links []link // from × n + to
	lanes []lane
	rng   *rand.Rand // of the network
	work  *rand.Rand // of proxies
	seen  seen
	agree agreement
	phase int64 // of the fault between two ticks
	err   error
}

// lane is what a proxy sent on one lane.
type lane struct{ born []int64 }

// itemsPerFrame is what a frame carries.
const itemsPerFrame = 32

// markAt is a lane after its first n frames.
func markAt(lane int, n uint64) order.Mark {
	chain := uint64(lane+1)<<40 | n
	return order.Mark{Lane: order.LaneID(lane), Frames: n, Items: itemsPerFrame * n, Chain: chain}
}

// Independent streams of one seed.
const (
	streamNetwork = iota + 1
	streamProxies
	streamProcess
	streamEntropy
	streamFault
)

func newWorld(p point, start starter, seed uint64) (*world, error) {
	w := &world{point: p, links: make([]link, p.n*p.n), lanes: make([]lane, p.lanes),
		rng: rand.New(rand.NewPCG(seed, streamNetwork)), work: rand.New(rand.NewPCG(seed, streamProxies))}
	w.agree.decided = map[uint64]string{}
	w.agree.cut = make([]uint64, p.lanes)
	w.seen.proposed = map[string][maxReplicas]int64{}
	w.phase = rand.New(rand.NewPCG(seed, streamFault)).Int64N(10 * p.tick)
	own := rand.New(rand.NewPCG(seed, streamProcess))
	var members order.Members
	for i := range p.n {
		members.Voters = append(members.Voters, idOf(i))
	}
	for i := range p.n {
		q := newProcess(w, i)
		var err error
		if q.o, err = start(order.Config{ID: q.id, ElectionTicks: electionTicks, HeartbeatTicks: heartbeatTicks,
			Gate: q, Bootstrap: &members, Volatile: p.fsync == 0, Seed: own.Uint64()}); err != nil {
			return nil, fmt.Errorf("start replica %d: %w", i, err)
		}
		w.procs = append(w.procs, q)
		w.queue.push(event{at: own.Int64N(p.tick), kind: evTick, to: i})
	}
	w.nextFrame()
	return w, nil
}

// The ticks of the cluster file.
const (
	electionTicks  = 10
	heartbeatTicks = 2
)

func idOf(index int) uint64 { return uint64(index + 1) }

// run lets time pass until a moment, or until stop says so.
func (w *world) run(until int64, stop func() bool) {
	for handled := 0; w.err == nil && (stop == nil || !stop()); handled++ {
		if w.queue.events[0].at > until {
			w.now = until
			return
		}
		if handled == maxEvents {
			w.fail("%d events in %d ns: it never comes to rest", handled, w.now)
		}
		e := w.queue.next()
		w.now = e.at
		if e.kind == evCall {
			e.do()
			continue
		}
		w.deliver(e)
	}
}

// after calls do so many ns from now.
func (w *world) after(d int64, do func()) { w.queue.push(event{at: w.now + d, kind: evCall, do: do}) }

// fail ends the run: what was measured says nothing.
func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %d ns: "+format, append([]any{w.now}, args...)...)
	}
}

// deliver gives an event to its process: to nobody, if it is gone; later, if it is stopped, slow or busy.
func (w *world) deliver(e event) {
	p := w.procs[e.to]
	switch {
	case !p.up:
		return
	case p.paused:
		p.hold(e)
		return
	case p.lag > 0 && !e.late:
		e.late = true
		p.tail = max(p.tail, w.now+p.lag)
		e.at = p.tail
		w.queue.push(e)
		return
	case e.kind == evTurn:
		p.turn()
		return
	case (w.now < p.busy || len(p.backlog) > 0) && e.kind != evFrame:
		p.queue(e)
		return
	}
	p.handle(&e)
}

// nextFrame lets proxies send another frame after a while, to every replica: a Poisson process over the lanes
// that are not idle, which are the first.
func (w *world) nextFrame() {
	w.after(int64(w.work.ExpFloat64()*1e9/w.rate), func() {
		k := w.work.IntN(len(w.lanes) - w.idle)
		l := &w.lanes[k]
		l.born = append(l.born, w.now)
		for to := range w.procs {
			w.queue.push(event{at: w.now + w.frameDelay(), kind: evFrame, to: to, lane: k, n: uint64(len(l.born))})
		}
		w.nextFrame()
	})
}

// leader is the replica that leads, by the highest term, or nil; where all do, the one that they name.
func (w *world) leader() (found *process) {
	term := uint64(0)
	for _, p := range w.procs {
		s := p.o.Status()
		if p.up && s.Leading && (found == nil || s.Term > term) && (!s.Leaderless || s.Leader == p.id) {
			found, term = p, s.Term
		}
	}
	return found
}
