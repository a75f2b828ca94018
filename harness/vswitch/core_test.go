package vswitch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"metronome/system/packet/ethernet"
)

// hostMAC is the address of the host behind a port.
func hostMAC(port int) [6]byte { return [6]byte{2, 0, 0, 0, 0, byte(port)} }

var (
	groupA = [4]byte{239, 1, 2, 3}
	groupB = [4]byte{239, 1, 2, 4}
)

// numbered is a packet between two addresses that carries a number.
func numbered(src, dst [6]byte, n uint64) []byte {
	pkt := make([]byte, 64)
	copy(pkt, dst[:])
	copy(pkt[6:], src[:])
	pkt[12] = 0x88
	binary.LittleEndian.PutUint64(pkt[14:], n)
	return pkt
}

func newCore(t testing.TB, ports int, change ...func(*Config)) *Core {
	t.Helper()
	cfg := Config{Seed: 1}
	for i := range ports {
		cfg.Ports = append(cfg.Ports, Port{Name: fmt.Sprintf("p%d", i)})
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Due(0) // the first query is not what tests look for
	return c
}

// went lists what an answer of the switch sends: "1:0,2" is packets 0 and 2 by port 1, "1+" a copy.
func went(outs []*Out) string {
	var parts []string
	for _, o := range outs {
		s := fmt.Sprintf("%d:", o.Port)
		for i, r := range o.Refs {
			s += strings.Repeat(",", min(i, 1)) + fmt.Sprint(r)
		}
		parts = append(parts, s+strings.Repeat("+", len(o.Copies)))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestLearning(t *testing.T) {
	c := newCore(t, 3)
	a, b := hostMAC(1), hostMAC(2)
	step := func(now int64, from int, want string, pkts ...[]byte) {
		t.Helper()
		if got := went(c.Step(now, from, pkts)); got != want {
			t.Errorf("from %d: %q, want %q", from, got, want)
		}
	}
	step(1, 1, "0:0 2:0", numbered(a, b, 0)) // nobody knows b
	step(2, 2, "1:0", numbered(b, a, 0))     // a was heard
	step(3, 1, "2:0", numbered(a, b, 0))     // and b
	step(4, 1, "", numbered(a, a, 0))        // to itself: nowhere
	step(5, 0, "1:0 2:0", numbered(a, [6]byte{255, 255, 255, 255, 255, 255}, 0))
	step(6, 2, "0:0", numbered(b, a, 0)) // a has moved to port 0
	c.Due(7 + DefaultMaxAge)
	step(8+DefaultMaxAge, 2, "0:0 1:0", numbered(b, a, 0)) // a is forgotten
	step(9+DefaultMaxAge, 2, "", make([]byte, 13), make([]byte, MaxPacket+1), nil)
	if s := c.Stats(); s.Runts != 3 || s.Packets != 10 || !s.Balanced {
		t.Errorf("%+v", s)
	}
}

func TestSnooping(t *testing.T) {
	c := newCore(t, 4)
	report := func(port int, g [4]byte, join bool) []byte {
		h := ethernet.Host{MAC: hostMAC(port)}
		if !join {
			return h.Leave(make([]byte, ethernet.MaxIGMP), ethernet.IGMPv3, g)
		}
		return h.MembershipReport(make([]byte, ethernet.MaxIGMP), ethernet.IGMPv2, g, true)
	}
	to := func(now int64, g [4]byte, want string) {
		t.Helper()
		pkt := numbered(hostMAC(0), ethernet.MulticastMAC(g), 0)
		if got := went(c.Step(now, 0, [][]byte{pkt})); got != want {
			t.Errorf("%v: %q, want %q", g, got, want)
		}
	}
	to(1, groupA, "1:0 2:0 3:0") // nobody reported: flooded
	c.Step(2, 1, [][]byte{report(1, groupA, true)})
	c.Step(2, 2, [][]byte{report(2, groupA, true)})
	to(3, groupA, "1:0 2:0")
	to(3, groupB, "1:0 2:0 3:0")
	to(3, [4]byte{224, 0, 0, 5}, "1:0 2:0 3:0")
	c.Step(4, 1, [][]byte{report(1, groupA, false)})
	to(5, groupA, "2:0")
	c.Link(2, false) // the last listener is gone, and so is the group
	to(6, groupA, "1:0 2:0 3:0")
	c.Link(2, true)
	if got := went(c.Due(7)); got != "0:+ 1:+ 2:+ 3:+" {
		t.Errorf("a host that comes is asked at once: %q", got)
	}
	c.Step(8, 2, [][]byte{report(2, groupA, true)})
	to(9, groupA, "2:0")
	c.Due(10 + 3*DefaultQueryGap)
	to(11+3*DefaultQueryGap, groupA, "1:0 2:0 3:0") // silent for too long
	f := newCore(t, 3, func(c *Config) { c.Flood = true })
	if got := went(f.Step(1, 1, [][]byte{report(1, groupA, true)})); got != "0:0 2:0" || f.Stats().Groups != 0 {
		t.Error("flooding listens to nobody")
	}
}

func TestQueries(t *testing.T) {
	c := newCore(t, 2)
	if c.Next() > DefaultQueryGap {
		t.Errorf("next at %d", c.Next())
	}
	outs := c.Due(DefaultQueryGap)
	if went(outs) != "0:+ 1:+" {
		t.Fatalf("%q", went(outs))
	}
	if q, err := ethernet.ParseIGMP(outs[0].Copies[0]); err != nil || !q.Asks(groupA) {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestHostsAreBounded(t *testing.T) {
	c := newCore(t, 2)
	for i := range uint64(MaxHosts + 10) {
		pkt := numbered([6]byte{2, 1, byte(i >> 16), byte(i >> 8), byte(i)}, hostMAC(1), 0)
		c.Step(1, 0, [][]byte{pkt})
	}
	if s := c.Stats(); s.Hosts != MaxHosts || s.Unheard != 10 {
		t.Errorf("%+v", s)
	}
	c = newCore(t, 2)
	h := ethernet.Host{MAC: hostMAC(0)}
	for i := range MaxGroups + 10 {
		g := [4]byte{239, 1, byte(i >> 8), byte(i)}
		c.Step(1, 0, [][]byte{h.MembershipReport(make([]byte, ethernet.MaxIGMP), ethernet.IGMPv2, g, true)})
	}
	if s := c.Stats(); s.Groups != MaxGroups || s.Unheard != 10 {
		t.Errorf("%+v", s)
	}
}

// Queues are chosen by flow, and the order within one is kept.
func TestQueuesOfAPort(t *testing.T) {
	c := newCore(t, 2, func(c *Config) { c.Ports[1].Queues = 4 })
	var burst [][]byte
	want := map[int][]uint16{}
	for i := range 64 {
		src := fmt.Sprintf("10.0.0.1:%d", 7000+i%16)
		pkt := udpPacket(addrPort(src), addrPort("239.1.2.3:7700"), 8)
		pkt[0] = 1 // a group
		burst = append(burst, pkt)
		q := Queue(c.hash.Packet(pkt), 4)
		want[q] = append(want[q], uint16(i))
	}
	outs := c.Step(1, 0, burst)
	if len(outs) != len(want) {
		t.Errorf("%d queues used", len(outs))
	}
	for _, o := range outs {
		if !slices.Equal(o.Refs, want[o.Queue]) {
			t.Errorf("queue %d: %v, want %v", o.Queue, o.Refs, want[o.Queue])
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"none":     {Config{}, "use 1 to 64"},
		"too many": {Config{Ports: make([]Port, 65)}, "use 1 to 64"},
		"nameless": {Config{Ports: []Port{{}}}, "give it a name"},
		"star":     {Config{Ports: []Port{{Name: "*"}}}, "give it a name"},
		"twice":    {Config{Ports: []Port{{Name: "a"}, {Name: "a"}}}, "two ports"},
		"queues":   {Config{Ports: []Port{{Name: "a", Queues: 200}}}, "use 1 to 128"},
		"key":      {Config{Ports: []Port{{Name: "a"}}, Key: []byte{1}}, "use 40"},
		"held":     {Config{Ports: []Port{{Name: "a"}}, Held: -1}, "packets held"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A step costs no memory once lists have grown.
func TestStepAllocatesNothing(t *testing.T) {
	c := newCore(t, 4)
	if err := c.Impair(0, "p0", "p2", Impairment{Delay: 5}); err != nil {
		t.Fatal(err)
	}
	var burst [][]byte
	for i := range 64 {
		burst = append(burst, numbered(hostMAC(0), ethernet.MulticastMAC(groupA), uint64(i)))
	}
	now := int64(1)
	turn := func() {
		now += 10
		c.Step(now, 0, burst)
		c.Due(now + 5)
	}
	for range 3 {
		turn()
	}
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Any sequence of packets and settings: nothing is sent to where it came from, counters add up,
// and copies are whole.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rng(seed)
		c := newCore(t, 4, func(c *Config) { c.Seed, c.Held = seed, 64 })
		now, number, sent := int64(0), uint64(0), map[uint64]bool{}
		check := func(from int, burst [][]byte, outs []*Out) {
			for _, o := range outs {
				if o.Port == from && len(o.Refs) > 0 {
					t.Fatalf("seed %d: back to port %d", seed, from)
				}
				for _, ref := range o.Refs {
					if int(ref) >= len(burst) {
						t.Fatalf("seed %d: packet %d of %d", seed, ref, len(burst))
					}
				}
				for _, pkt := range o.Copies {
					if n := binary.LittleEndian.Uint64(pkt[14:]); len(pkt) == 64 && !sent[n] {
						t.Fatalf("seed %d: packet %d was never sent", seed, n)
					}
				}
			}
		}
		for range 500 {
			now += int64(r.IntN(1e6))
			if r.IntN(10) == 0 {
				m := Impairment{Loss: r.Float64() / 2, Duplicate: r.Float64() / 2, Reorder: r.Float64() / 4,
					Delay: Span(r.IntN(3e6)), Jitter: Span(r.IntN(1e6)), Rate: int64(r.IntN(2)) * 1e7, Queue: 2000,
					Cut: r.IntN(20) == 0}
				names := []string{"*", "p0", "p1", "p2", "p3"}
				if err := c.Impair(now, names[r.IntN(5)], names[r.IntN(5)], m); err != nil {
					t.Fatal(err)
				}
			}
			from, burst := r.IntN(4), [][]byte(nil)
			for range r.IntN(8) {
				dst := [][6]byte{hostMAC(r.IntN(4)), ethernet.MulticastMAC(groupA)}[r.IntN(2)]
				burst = append(burst, numbered(hostMAC(from), dst, number))
				sent[number] = true
				number++
			}
			check(from, burst, c.Step(now, from, burst))
			check(-1, nil, c.Due(now))
			if s := c.Stats(); !s.Balanced || s.Holding > 64 {
				t.Fatalf("seed %d: %+v", seed, s)
			}
		}
	}
}

// The same seed gives the same network.
func TestSeedDecides(t *testing.T) {
	run := func(seed uint64) []byte {
		c := newCore(t, 3, func(c *Config) { c.Seed = seed })
		if err := c.Impair(0, "*", "*", Impairment{Loss: .1, Duplicate: .1, Corrupt: .1, Jitter: 100}); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		for now := range int64(200) {
			outs := c.Step(now*100, 0, [][]byte{numbered(hostMAC(0), ethernet.MulticastMAC(groupA), uint64(now))})
			fmt.Fprintln(&log, went(outs))
			for _, o := range c.Due(now*100 + 50) {
				fmt.Fprintf(&log, "%d %x\n", o.Port, o.Copies)
			}
		}
		return log.Bytes()
	}
	if !bytes.Equal(run(7), run(7)) {
		t.Error("one seed, two networks")
	}
	if bytes.Equal(run(7), run(8)) {
		t.Error("two seeds, one network")
	}
}

// A dead queue swallows what is spread to it, at once or when it is due, and nothing else changes: not the
// other queues, not the fate of a single packet. When it lives again its host is asked for its groups.
func TestDeadQueue(t *testing.T) {
	const queues = 4
	from := func(i int64) []byte {
		pkt := udpPacket(addrPort(fmt.Sprintf("10.0.0.1:%d", 7000+i%64)), addrPort("239.1.2.3:7700"), 8)
		pkt[0] = 1 // a group
		return pkt
	}
	run := func(dead bool) (got [queues]int, s LinkStats) {
		c := newCore(t, 2, func(c *Config) { c.Ports[1].Queues = queues })
		bad := Impairment{Loss: .1, Reorder: .2, ReorderBy: 100}
		if err := c.Impair(1, "p0", "p1", bad); err != nil {
			t.Fatal(err)
		}
		if dead {
			if err := c.Dead("p1", 2); err != nil {
				t.Fatal(err)
			}
			c.Due(1) // asks for membership
		}
		count := func(outs []*Out) {
			for _, o := range outs {
				if o.Port == 1 {
					got[o.Queue] += len(o.Refs) + len(o.Copies)
				}
			}
		}
		for i := range int64(1000) {
			count(c.Step(i, 0, [][]byte{from(i)}))
			count(c.Due(i))
		}
		st := c.Stats()
		if dead != (st.Dead > 0) || !st.Balanced {
			t.Errorf("dead %v: %+v", dead, st)
		}
		return got, c.LinkStats(0, 1)
	}
	whole, before := run(false)
	broken, after := run(true)
	want := whole
	if want[2] = 0; broken != want || whole[2] == 0 {
		t.Errorf("delivered by queue %v, want %v", broken, want)
	}
	if before.Lost != after.Lost || before.Reordered != after.Reordered {
		t.Errorf("the others' fate changed: %+v, %+v", before, after)
	}
	c := newCore(t, 2)
	for name, err := range map[string]error{"no port": c.Dead("p7", 0), "no queue": c.Dead("p1", 1)} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	asked := func(want string) {
		t.Helper()
		if got := went(c.Due(1)); got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	_ = c.Dead("p1", 0)
	asked("0:+")
	_ = c.Dead("p1")
	asked("0:+ 1:+")
}
