package sim

import (
	"encoding/binary"
	"math"
	"testing"

	"metronome/system/wire"
)

// wires is a world of processes that are up and have no core: what is sent stays in the queue.
func wires(change func(*params)) *world {
	p := draw(11, Profiles[1])
	p.replicas, p.proxies, p.level = 3, 1, 0
	p.delay, p.jitter, p.asymmetry, p.reconnect, p.burstEnd = 100*micro, 0.5, 0, 0, 1
	if change != nil {
		change(&p)
	}
	w := newWorld(&Config{Seed: 11, System: newToy("")}, p)
	for _, q := range w.procs[:w.firstSpare()] {
		q.up = true
	}
	return w
}

// drain takes everything that is under way, in the order of arrival.
func (w *world) drain() (all []event) {
	for len(w.queue.heap) > 0 {
		all = append(all, w.queue.pop())
	}
	return all
}

func TestDatagramsAreLostDoubledAndDamaged(t *testing.T) {
	const n = 20_000
	original := make([]byte, 100)
	for _, c := range []struct {
		name   string
		change func(*params)
		arrive float64 // copies that arrive, per datagram
		whole  float64 // of those, the undamaged
	}{
		{"perfect", nil, 1, 1},
		{"loss", func(p *params) { p.loss = 0.3 }, 0.7, 1},
		{"duplicate", func(p *params) { p.duplicate = 0.25 }, 1.25, 1},
		{"corrupt", func(p *params) { p.corrupt = 0.5 }, 1, 0.5},
		{"bursts", func(p *params) { p.burst, p.burstEnd = 0.05, 0.2 }, 0.8, 1},
	} {
		w := wires(c.change)
		for range n {
			w.net.unicast(w, w.procs[3], wire.ReplicaPeer(0), original)
		}
		arrived, whole := 0, 0
		for _, e := range w.drain() {
			arrived++
			if len(e.b) == len(original) && string(e.b) == string(original) {
				whole++
			}
		}
		if got := float64(arrived) / n; math.Abs(got-c.arrive) > 0.03 {
			t.Errorf("%s: %.3f copies of a datagram arrive, want %.2f", c.name, got, c.arrive)
		}
		if got := float64(whole) / float64(arrived); math.Abs(got-c.whole) > 0.03 {
			t.Errorf("%s: %.3f of them are whole, want %.2f", c.name, got, c.whole)
		}
	}
}

func TestMulticastReachesEveryReplicaButTheSender(t *testing.T) {
	w := wires(nil)
	w.net.multicast(w, w.procs[1], []byte("x"))
	seen := map[int32]int{}
	for _, e := range w.drain() {
		seen[e.to]++
	}
	if len(seen) != 2 || seen[0] != 1 || seen[2] != 1 {
		t.Errorf("replica-1's multicast arrived at %v", seen)
	}
}

// A stream is in order whatever the network does to single packets, and whole until it breaks.
func TestStreamsKeepTheirOrder(t *testing.T) {
	const n = 2000
	w := wires(func(p *params) { p.loss, p.reorder, p.jitter = 0.3, 0.5, 3 })
	for i := range n {
		w.net.message(w, w.procs[0], wire.ReplicaPeer(1), binary.LittleEndian.AppendUint32(nil, uint32(i)))
		w.now += 10 * micro
	}
	all := w.drain()
	if len(all) != n {
		t.Fatalf("%d of %d messages arrive", len(all), n)
	}
	for i, e := range all {
		if got := binary.LittleEndian.Uint32(e.b); got != uint32(i) {
			t.Fatalf("message %d arrives as number %d", got, i)
		}
	}
}

func TestABrokenStreamLosesWhatWasInFlight(t *testing.T) {
	w := wires(func(p *params) { p.reconnect = milli })
	send := func(b string) { w.net.message(w, w.procs[0], wire.ReplicaPeer(1), []byte(b)) }
	send("before")
	w.net.breakConn(w, 0, 1)
	send("not connected")
	w.now += milli
	send("after")
	var got []string
	for _, e := range w.drain() {
		if e.conn == w.net.conn(e.from, e.to).epoch {
			got = append(got, string(e.b))
		}
	}
	if len(got) != 1 || got[0] != "after" {
		t.Errorf("arrived: %q", got)
	}
}

// A partition loses datagrams; a stream across it holds what is sent, or breaks.
func TestPartitionsAreOneWayAndHeal(t *testing.T) {
	held, broken := 0, 0
	for range 50 {
		w := wires(nil)
		w.net.rng = stream(uint64(held*100+broken), streamNetwork)
		w.net.block(w, 0, 1, true)
		w.net.unicast(w, w.procs[0], wire.ReplicaPeer(1), []byte("lost"))
		w.net.unicast(w, w.procs[1], wire.ReplicaPeer(0), []byte("the other way"))
		w.net.message(w, w.procs[0], wire.ReplicaPeer(1), []byte("waits"))
		if all := w.drain(); len(all) > 0 && string(all[0].b) != "the other way" {
			t.Fatalf("%q crossed the partition", all[0].b)
		}
		w.net.heal(w)
		switch all := w.drain(); {
		case len(all) == 1 && string(all[0].b) == "waits":
			held++
		case len(all) == 0 && w.net.conn(0, 1).epoch > 0:
			broken++
		default:
			t.Fatalf("%d events after healing, epoch %d", len(all), w.net.conn(0, 1).epoch)
		}
	}
	if held == 0 || broken == 0 {
		t.Errorf("of 50 partitions %d held the stream and %d broke it", held, broken)
	}
}

func TestADeadReceiveQueueLosesItsLanesOnly(t *testing.T) {
	w := wires(nil)
	to := w.procs[0]
	to.deadOf, to.deadLane = 2, 1
	for lane := range uint16(4) {
		for _, flags := range []byte{0, wire.FlagRepair} {
			b := make([]byte, wire.HeaderSize)
			(&wire.Header{Type: wire.TypeData, Lane: lane, Flags: flags}).Put(b)
			w.net.unicast(w, w.procs[3], wire.ReplicaPeer(0), b)
		}
	}
	fresh, repairs := 0, 0
	for _, e := range w.drain() {
		var h wire.Header
		h.Get(e.b)
		if h.Flags&wire.FlagRepair != 0 {
			repairs++
		} else if fresh++; h.Lane%2 == 1 {
			t.Errorf("a frame of lane %d arrives through a dead queue", h.Lane)
		}
	}
	if fresh != 2 || repairs != 4 {
		t.Errorf("%d frames and %d repairs arrive, want 2 and 4", fresh, repairs)
	}
}

// A clog holds everything on its path for a while, and lets it all through at once.
func TestAClogHolds(t *testing.T) {
	w := wires(nil)
	w.net.link(0, 1).clogged = 50 * milli
	w.net.unicast(w, w.procs[0], wire.ReplicaPeer(1), []byte("datagram"))
	w.net.message(w, w.procs[0], wire.ReplicaPeer(1), []byte("message"))
	for _, e := range w.drain() {
		if e.at < 50*milli {
			t.Errorf("%q arrives at %d through a clog", e.b, e.at)
		}
	}
}
