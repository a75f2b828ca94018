package lane

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/wire"
)

// The network of these tests: virtual time, one sender, three receivers, and paths that lose,
// duplicate, delay and reorder. Everything follows from the seed.
type network struct {
	seed      uint64
	frames    int   // that the sender sends
	interval  int64 // ns between them
	rtt       int64
	loss      float64 // each datagram, both ways
	duplicate float64
	reorder   float64 // this share of the datagrams is late by up to lateness
	lateness  int64
	upstream  float64 // lost before the path splits: all receivers miss it
	dies      int     // the sender falls silent after so many frames, if > 0
	window    int     // frames, both ends
	arena     int     // bytes, both ends; 0 = 256 a frame
	keep      int     // frames the sender keeps after they are committed
	unpeered  bool    // receivers do not know each other
	hint      bool    // they know the round trip before the first loss
}

const second = 1_000_000_000

// event is something that happens at a time; ties are broken by the order of scheduling.
type event struct {
	at    int64
	order int
	do    func()
}

type agenda struct {
	now    int64
	order  int
	events []event
}

func (a *agenda) Len() int { return len(a.events) }
func (a *agenda) Less(i, j int) bool {
	x, y := &a.events[i], &a.events[j]
	return x.at < y.at || x.at == y.at && x.order < y.order
}
func (a *agenda) Swap(i, j int) { a.events[i], a.events[j] = a.events[j], a.events[i] }
func (a *agenda) Push(x any)    { a.events = append(a.events, x.(event)) }
func (a *agenda) Pop() any {
	last := a.events[len(a.events)-1]
	a.events[len(a.events)-1] = event{}
	a.events = a.events[:len(a.events)-1]
	return last
}

func (a *agenda) after(delay int64, do func()) {
	a.order++
	heap.Push(a, event{a.now + max(delay, 0), a.order, do})
}

// wake runs do at the time given, at most a minute ahead, unless an earlier run is due already.
type alarm struct{ at int64 }

func (a *agenda) wake(w *alarm, at int64, do func()) {
	if at == Never || w.at > a.now && w.at <= at {
		return
	}
	at = max(at, a.now+1)
	w.at = at
	a.after(at-a.now, func() {
		if w.at == at {
			w.at = 0
			do()
		}
	})
}

// world is a run of a network.
type world struct {
	network
	agenda
	t       *testing.T
	rng     *rand.Rand
	s       *Sender
	rep     *Repairer
	pacer   *Pacer
	heart   Heart
	nodes   []*node
	sent    []int64 // when each frame was first sent
	marks   []uint64
	pumping alarm
	beating alarm
	out     Repairs
	dead    bool
}

// node is a receiver with its consumer.
type node struct {
	in       *Ingest
	r        *Receiver
	seat     int
	read     uint64 // items
	frame    uint64
	delays   []int64 // by frame, from first sent to passed
	moved    int64   // when the mark last moved
	still    int64   // longest time that it did not
	requests int
	alarm    alarm
	restored int // times
}

func newWorld(t *testing.T, n network) *world {
	t.Helper()
	w := &world{network: n, t: t, rng: rand.New(rand.NewPCG(n.seed, 77)), heart: NewHeart(0, 0)}
	if w.arena == 0 {
		w.arena = 256 * w.window
	}
	d := digester(t)
	var err error
	if w.s, err = NewSender(SenderConfig{Cluster: cluster, Proxy: 1, Incarnation: 1, Window: n.window,
		Arena: w.arena, FrameBytes: wire.MaxFrame, Keep: n.keep}, d); err != nil {
		t.Fatal(err)
	}
	if w.pacer, err = NewPacer(PaceConfig{Repairs: 100 << 20, RepairsBurst: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if w.rep, err = NewRepairer(RepairConfig{}, n.window, w.s, w.pacer.Repairs()); err != nil {
		t.Fatal(err)
	}
	for seat := range 3 {
		in, err := NewIngest(cluster, digester(t), Config{Window: n.window, Arena: w.arena,
			Nack: NackConfig{Enabled: true, Seed: n.seed + uint64(seat)}})
		if err != nil {
			t.Fatal(err)
		}
		if !n.unpeered {
			in.SetPeers(0b111 &^ (1 << seat))
		}
		r, err := in.OpenAt(Name{Proxy: 1, Incarnation: 1, ID: 1}, Mark{})
		if err != nil {
			t.Fatal(err)
		}
		if n.hint {
			r.Nacker().Hint(n.rtt)
		}
		w.nodes = append(w.nodes, &node{in: in, r: r, seat: seat})
	}
	w.marks = make([]uint64, len(w.nodes))
	w.after(0, w.produce)
	return w
}

// path sends a datagram over a path: it arrives never, once or twice.
func (w *world) path(arrive func()) {
	if w.rng.Float64() < w.loss {
		return
	}
	for {
		delay := w.rtt / 2
		if w.reorder > 0 && w.rng.Float64() < w.reorder {
			delay += w.rng.Int64N(w.lateness + 1)
		}
		w.after(delay, arrive)
		if w.rng.Float64() >= w.duplicate {
			return
		}
	}
}

func (w *world) multicast(frame []byte) {
	frame = bytes.Clone(frame)
	if w.rng.Float64() < w.upstream {
		return
	}
	for _, n := range w.nodes {
		w.path(func() { w.deliver(n, frame) })
	}
}

// produce sends the next frame, if the window lets it.
func (w *world) produce() {
	if w.dead || len(w.sent) == w.frames {
		return
	}
	value := fmt.Appendf(nil, "value-%d", len(w.sent))
	_, err := w.s.Append(&wire.Item{Op: wire.OpPut, Key: []byte("key"), Value: value})
	if err == nil {
		w.s.Flush()
		for _, f := range w.s.Next(make([][]byte, 0, 8)) {
			w.sent = append(w.sent, w.now)
			w.multicast(f)
		}
		w.heart.Sent(w.now)
		w.wake(&w.beating, w.heart.Next(), w.beat)
		w.dead = len(w.sent) == w.dies
	}
	w.after(w.interval, w.produce)
}

func (w *world) beat() {
	if w.dead {
		return
	}
	if w.heart.Due(w.now) {
		w.multicast(w.s.Heartbeat())
	}
	w.wake(&w.beating, w.heart.Next(), w.beat)
}

// pump lets the sender answer requests.
func (w *world) pump() {
	w.rep.Due(w.now, &w.out)
	for _, f := range w.out.Multicast {
		w.multicast(f)
	}
	for _, u := range w.out.Unicast {
		frame, n := bytes.Clone(u.Frame), w.nodes[u.Asker]
		w.path(func() { w.deliver(n, frame) })
	}
	for _, g := range w.out.Gone {
		n := w.nodes[g.Asker]
		w.path(func() { n.r.Nacker().Gone(Origin, g.Below); w.look(n) })
	}
	w.out.Reset()
	w.wake(&w.pumping, w.rep.Next(), w.pump)
}

func (w *world) deliver(n *node, frame []byte) {
	n.in.Clock(w.now)
	n.in.Frame(frame)
	w.consume(n)
	w.look(n)
}

// consume reads what the mark passed, checks it, and tells the sender.
func (w *world) consume(n *node) {
	if len(n.in.Advanced(make([]*Receiver, 0, 1))) == 0 {
		return
	}
	for v := (View{}); n.frame < n.r.Mark().Frames; n.frame++ {
		if !n.r.View(n.frame, &v) || v.First != n.read {
			w.t.Fatalf("seat %d: frame %d is %+v, item %d comes next", n.seat, n.frame, v, n.read)
		}
		var it wire.Item
		if wire.DecodeItem(v.Payload, &it); string(it.Value) != fmt.Sprint("value-", n.read) {
			w.t.Fatalf("seat %d: item %d is %q", n.seat, n.read, it.Value)
		}
		n.read++
		n.delays = append(n.delays, w.now-w.sent[n.frame])
	}
	n.still, n.moved = max(n.still, w.now-n.moved), w.now
	mark := n.r.Mark().Items // reports go by a stream, and are not lost
	w.after(w.rtt/2, func() { w.report(n.seat, mark) })
}

// report commits what two of three hold; they keep it as long as there is room, for their peers.
func (w *world) report(seat int, mark uint64) {
	w.marks[seat] = max(w.marks[seat], mark)
	sorted := slices.Sorted(slices.Values(w.marks))
	if w.dead {
		return
	}
	if err := w.s.Commit(sorted[1]); err != nil {
		w.t.Fatal(err)
	}
	for _, n := range w.nodes {
		n.r.Spare(min(n.frame, sorted[1])) // an item a frame
	}
}

// look sends the requests that are due.
func (w *world) look(n *node) {
	for _, r := range n.in.Gapped(make([]*Receiver, 0, 1)) {
		for {
			whom, gaps := r.Nacker().Due(w.now, make([]Gap, 0, wire.MaxGaps))
			if whom == Nobody {
				break
			}
			n.requests++
			w.request(n, whom, gaps)
		}
		if _, stuck := r.Nacker().Unrepairable(); stuck {
			w.restore(n)
		}
	}
	w.wake(&n.alarm, n.in.NextDue(), func() { w.look(n) })
}

// restore transfers state: the receiver begins anew where the one furthest ahead is.
func (w *world) restore(n *node) {
	best := w.nodes[0]
	for _, other := range w.nodes {
		if other.frame > best.frame {
			best = other
		}
	}
	n.in.CloseLife(1, 1)
	var err error
	if n.r, err = n.in.OpenAt(n.r.Name(), best.r.Mark()); err != nil {
		w.t.Fatal(err)
	}
	n.frame, n.read = best.frame, best.read
	n.restored++
}

func (w *world) request(n *node, whom Target, gaps []Gap) {
	rtt := n.r.Nacker().RoundTrip()
	w.path(func() {
		if whom != Origin {
			w.answer(w.nodes[whom], n, gaps)
		} else if !w.dead {
			w.rep.Nack(w.now, uint64(n.seat), rtt, gaps)
			w.pump()
		}
	})
}

// answer is a peer's: what it holds, at most 64 frames.
func (w *world) answer(from, to *node, gaps []Gap) {
	frames := make([][]byte, 0, 64)
	for _, g := range gaps {
		var gone Gap
		if frames, gone = from.r.Repair(g, frames); gone.From < gone.To {
			w.path(func() { to.r.Nacker().Gone(Target(from.seat), gone.To); w.look(to) })
		}
	}
	for _, f := range frames {
		frame := bytes.Clone(f)
		w.path(func() { w.deliver(to, frame) })
	}
}

// run lets time pass until all have everything, or until the time is up.
func (w *world) run(until int64) (done bool) {
	for w.Len() > 0 && w.now < until {
		e := heap.Pop(&w.agenda).(event)
		w.now = e.at
		e.do()
		if w.finished() {
			return true
		}
	}
	return false
}

func (w *world) finished() bool {
	if len(w.sent) < w.frames && !w.dead {
		return false
	}
	for _, n := range w.nodes {
		if n.frame < uint64(len(w.sent)) {
			return false
		}
	}
	return true
}

// figures are a run's results. Delays are beyond the way from the sender to a receiver.
type figures struct {
	p50, p99, p999, longest int64
	still                   int64 // longest time a mark did not move
	requests, repairs       int
}

func (w *world) figures() (f figures) {
	var all []int64
	for _, n := range w.nodes {
		for _, d := range n.delays {
			all = append(all, d-w.rtt/2)
		}
		f.requests += n.requests
		f.still = max(f.still, n.still)
	}
	slices.Sort(all)
	at := func(q float64) int64 { return all[min(len(all)-1, int(q*float64(len(all))))] }
	c := w.rep.Counters()
	return figures{p50: at(.5), p99: at(.99), p999: at(.999), longest: at(1), still: f.still,
		requests: f.requests, repairs: int(c.Unicast + c.Multicast)}
}

func (f figures) String() string {
	us := func(ns int64) string { return fmt.Sprintf("%.1f µs", float64(ns)/1000) }
	return fmt.Sprintf("delay beyond the path: p50 %s, p99 %s, p99.9 %s, longest %s; "+
		"a mark stood still for %s; %d requests, %d repairs", us(f.p50), us(f.p99),
		us(f.p999), us(f.longest), us(f.still), f.requests,
		f.repairs)
}

func (w *world) explain() string {
	s := ""
	for _, n := range w.nodes {
		s += fmt.Sprintf("\nseat %d: mark %+v, guard %d, round trip %d, %+v", n.seat, n.r.Mark(),
			n.r.Nacker().Guard(), n.r.Nacker().RoundTrip(), n.r.Counters())
	}
	return s + fmt.Sprintf("\nsender: window %+v, %+v", w.s.Window(), w.rep.Counters())
}

// Goal: 5 % of all datagrams lost at 250 ms of round trip, and no lane stands still, nor is any
// frame late, by more than three round trips. In virtual time, so that the bounds are exact.
func TestLossOnALongPath(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newWorld(t, network{seed: seed, frames: 6000, interval: second / 1000, rtt: second / 4, loss: .05,
				window: 4096, keep: 4096, unpeered: true, hint: seed%2 == 0})
			if !w.run(100 * second) {
				t.Fatal("not finished", w.explain())
			}
			f := w.figures()
			t.Log(f, w.explain())
			if f.longest > 3*w.rtt || f.still > 3*w.rtt {
				t.Errorf("longer than three round trips: %v", f)
			}
			if f.requests > 3*w.frames/4 || f.repairs > 3*w.frames/2 {
				t.Errorf("too much traffic for 900 frames lost: %v", f)
			}
		})
	}
}

// Goal: 50 000 frames a second of which 0.01 % are lost: the 99.9th percentile is about a round
// trip, the guard, and the sender's linger; so is, with what a frame takes to show the gap, the
// worst case.
func TestRareLossOnAFastPath(t *testing.T) {
	for _, rtt := range []int64{100_000, 1_000_000} {
		w := newWorld(t, network{seed: 2, frames: 30_000, interval: second / 50_000, rtt: rtt, loss: .0001,
			window: 1024, keep: 1024, hint: true})
		if !w.run(100 * second) {
			t.Fatal("not finished", w.explain())
		}
		f := w.figures()
		t.Log("round trip", rtt, f)
		bound := rtt + 5*w.nodes[0].r.Nacker().Guard()/4 + 50_000 + w.interval
		if f.p50 != 0 || f.p999 > bound || f.longest > bound+rtt/8 {
			t.Errorf("late beyond %d ns: %v %s", bound, f, w.explain())
		}
		if missed := w.rep.Counters().Asked; f.requests > int(missed)+3 {
			t.Errorf("%d requests for %d frames", f.requests, missed)
		}
	}
}

// Goal: a path that reorders and loses nothing leads to hardly any request, once the guard knows
// it.
func TestReorderingIsNoLoss(t *testing.T) {
	for _, lateness := range []int64{30_000, 200_000, 900_000} {
		w := newWorld(t, network{seed: 3, frames: 15_000, interval: second / 50_000, rtt: second / 1000,
			reorder: .01, lateness: lateness, window: 1024, keep: 1024})
		if !w.run(100 * second) {
			t.Fatal("not finished", w.explain())
		}
		f := w.figures()
		t.Log("late by up to", lateness, f)
		if f.requests > 20 { // of 450 late arrivals
			t.Errorf("late by up to %d ns: %d requests %s", lateness, f.requests, w.explain())
		}
	}
}

// Goal: a frame that all receivers miss is repaired by one multicast.
func TestLossForAllIsRepairedForAll(t *testing.T) {
	w := newWorld(t, network{seed: 4, frames: 20_000, interval: second / 50_000, rtt: second / 1000,
		upstream: .005, window: 1024, keep: 1024, hint: true})
	if !w.run(100 * second) {
		t.Fatal("not finished", w.explain())
	}
	c := w.rep.Counters()
	if c.Multicast < 90 || c.Unicast > c.Multicast/10 {
		t.Errorf("%+v", c)
	}
}

// Goal: a receiver that the sender cannot serve any more, as it keeps nothing or is dead, is
// repaired by its peers, and nobody waits for ever without knowing.
func TestPeersRepair(t *testing.T) {
	for _, n := range []network{
		{seed: 5, frames: 3000, interval: 20_000, rtt: 200_000, loss: .02, window: 512},
		{seed: 6, frames: 3000, interval: 20_000, rtt: 200_000, loss: .1, window: 512, keep: 512, dies: 1500},
	} {
		w := newWorld(t, n)
		w.run(100 * second)
		f := w.figures()
		t.Log(f)
		held := make([]uint64, 3)
		peerAsked := uint64(0)
		for i, node := range w.nodes {
			held[i] = node.frame
			peerAsked += node.r.Counters().Nack.PeerAsked
		}
		// Of what a dead sender sent last, all that any replica holds reaches the others.
		if held[0] != held[1] || held[1] != held[2] || n.dies == 0 && held[0] != 3000 || peerAsked == 0 {
			t.Errorf("seed %d: frames %d, peers asked for %d %s", n.seed, held, peerAsked, w.explain())
		}
	}
}

// Goal: whatever the network is like, every lane's prefix is exact, everything arrives or is
// replaced by a snapshot, requests stay within their budget, and the rare paths are taken. A
// failure's name is its seed.
func TestAnyNetwork(t *testing.T) {
	var rare struct{ peerAsked, gone, restored, deferred, noRoom, again, multicast, needless uint64 }
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newWorld(t, anyNetwork(seed))
			if !w.run(100 * second) {
				t.Fatalf("not finished: %+v %s", w.network, w.explain())
			}
			c := w.rep.Counters()
			rare.multicast += c.Multicast
			rare.again += c.Again
			for _, n := range w.nodes {
				balance(t, n.in.Counters())
				if most := 64 + 5000*float64(w.now)/second; float64(n.requests) > most {
					t.Errorf("seat %d: %d requests in %d ms", n.seat, n.requests, w.now/1e6)
				}
				nack := n.r.Counters().Nack
				rare.peerAsked += nack.PeerAsked
				rare.gone += nack.GoneAnswer
				rare.deferred += nack.Deferred
				rare.noRoom += nack.NoRoom
				rare.needless += nack.Needless
				rare.restored += uint64(n.restored)
			}
		})
	}
	t.Logf("%+v", rare)
	if rare.peerAsked*rare.gone*rare.restored*rare.deferred == 0 ||
		rare.noRoom*rare.again*rare.multicast*rare.needless == 0 {
		t.Errorf("some path was never taken: %+v", rare)
	}
}

func anyNetwork(seed uint64) network {
	rng := rand.New(rand.NewPCG(seed, 5))
	sometimes := func(most float64) float64 {
		if rng.IntN(2) == 0 {
			return 0
		}
		return rng.Float64() * most
	}
	n := network{seed: seed, frames: 700, interval: 1 + rng.Int64N(200_000),
		rtt: 1 + rng.Int64N(1<<(10+rng.IntN(20))), loss: sometimes(.3), duplicate: sometimes(.2),
		reorder: sometimes(.3), lateness: rng.Int64N(1 << (10 + rng.IntN(15))), upstream: sometimes(.1),
		window: 64 << rng.IntN(5), keep: 64 * rng.IntN(2), hint: rng.IntN(2) == 0}
	n.arena = max(8<<10, n.window*(64<<rng.IntN(3)))
	return n
}

// Goal: the same seed gives the same run.
func TestRunsRepeat(t *testing.T) {
	run := func() string {
		w := newWorld(t, network{seed: 8, frames: 1000, interval: 20_000, rtt: 300_000, loss: .05, reorder: .05,
			lateness: 100_000, upstream: .01, window: 256, keep: 256})
		w.run(100 * second)
		return fmt.Sprint(w.figures(), w.explain())
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}
