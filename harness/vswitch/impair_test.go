package vswitch

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// arrival is a packet at the other end of the link.
type arrival struct {
	n    uint64
	at   int64
	flip int // bits that differ from what was sent
}

// over sends n packets, one every gap ns, from p0 to p1 under the impairment.
func over(t *testing.T, m Impairment, n int, gap int64) ([]arrival, LinkStats) {
	t.Helper()
	c := newCore(t, 2, func(c *Config) { c.Flood = true })
	if err := c.Impair(0, "p0", "p1", m); err != nil {
		t.Fatal(err)
	}
	var got []arrival
	take := func(now int64, burst [][]byte, outs []*Out) {
		for _, o := range outs {
			for _, r := range o.Refs {
				got = append(got, arrival{n: binary.LittleEndian.Uint64(burst[r][20:]), at: now})
			}
			for _, pkt := range o.Copies {
				a := arrival{n: binary.LittleEndian.Uint64(pkt[20:]), at: now}
				for i, b := range numbered20(a.n) {
					a.flip += bits.OnesCount8(b ^ pkt[i])
				}
				got = append(got, a)
			}
		}
	}
	due := func(until int64) {
		for c.store.next() <= until {
			now := c.store.next()
			take(now, nil, c.Due(now))
		}
	}
	for i := range n {
		now := int64(i) * gap
		due(now)
		burst := [][]byte{numbered20(uint64(i))}
		take(now, burst, c.Step(now, 0, burst))
	}
	due(math.MaxInt64 - 1)
	s := c.LinkStats(0, 1)
	if !c.Stats().Balanced || c.Stats().Holding != 0 || len(got) != int(s.Passed+s.Held) {
		t.Errorf("%d arrived: %+v", len(got), s)
	}
	return got, s
}

// numbered20 keeps the number away from the first bytes behind the header.
func numbered20(n uint64) []byte {
	pkt := numbered(hostMAC(0), hostMAC(1), 0)
	binary.LittleEndian.PutUint64(pkt[20:], n)
	return pkt
}

const packets = 20000

// near reports whether a share of packets is what a chance says, within five standard deviations.
func near(t *testing.T, what string, count uint64, of int, chance float64) {
	t.Helper()
	mean, sd := float64(of)*chance, math.Sqrt(float64(of)*chance*(1-chance))
	if math.Abs(float64(count)-mean) > 5*sd {
		t.Errorf("%s: %d of %d, want %.0f ± %.0f", what, count, of, mean, sd)
	}
}

func TestLoss(t *testing.T) {
	got, s := over(t, Impairment{Loss: .03}, packets, 1000)
	near(t, "lost", s.Lost, packets, .03)
	if len(got)+int(s.Lost) != packets || s.Held != 0 {
		t.Errorf("%+v", s)
	}
	if _, s = over(t, Impairment{Loss: 1}, 10, 1); s.Lost != 10 {
		t.Errorf("%+v", s)
	}
}

// Gilbert and Elliott: the mean burst is 1/leave, the share lost enter/(enter+leave).
func TestBursts(t *testing.T) {
	got, s := over(t, Impairment{Burst: Burst{Enter: .01, Leave: .2, Bad: 1}}, packets, 1000)
	share := float64(s.Burst) / packets
	if share < .03 || share > .07 {
		t.Errorf("%.3f lost, want 0.048", share)
	}
	bursts := 0
	for i := 1; i < len(got); i++ {
		if got[i].n != got[i-1].n+1 {
			bursts++
		}
	}
	if mean := float64(s.Burst) / float64(bursts); mean < 4 || mean > 6.5 {
		t.Errorf("bursts of %.1f packets, want 5", mean)
	}
	if _, s = over(t, Impairment{Burst: Burst{Good: .5}}, packets, 1); s.Burst == 0 {
		t.Error("nothing lost in the good state")
	}
}

func TestDelayAndJitter(t *testing.T) {
	const delay, jitter = 5000, 3000
	got, _ := over(t, Impairment{Delay: delay, Jitter: jitter}, packets, 1000)
	early, late := int64(math.MaxInt64), int64(0)
	for i, a := range got {
		if a.n != uint64(i) {
			t.Fatalf("packet %d arrived as number %d: jitter keeps the order", a.n, i)
		}
		d := a.at - int64(a.n)*1000
		early, late = min(early, d), max(late, d)
	}
	if early < delay || early > delay+300 || late > delay+jitter || late < delay+jitter-300 {
		t.Errorf("delays of %d to %d", early, late)
	}
}

func TestReordering(t *testing.T) {
	got, s := over(t, Impairment{Reorder: .02, ReorderBy: 2500}, packets, 1000)
	near(t, "reordered", s.Reordered, packets, .02)
	overtaken := uint64(0)
	for i := 1; i < len(got); i++ {
		if got[i].n < got[i-1].n {
			overtaken++
		}
	}
	if len(got) != packets || overtaken < s.Reordered*9/10 || overtaken > s.Reordered {
		t.Errorf("%d of %d were overtaken", overtaken, s.Reordered)
	}
}

func TestDuplication(t *testing.T) {
	for _, m := range []Impairment{{Duplicate: .05}, {Duplicate: .05, Delay: 10}} {
		got, s := over(t, m, packets, 1000)
		near(t, "duplicated", s.Duplicated, packets, .05)
		if len(got) != packets+int(s.Duplicated) {
			t.Errorf("%d arrived: %+v", len(got), s)
		}
	}
}

// One bit flips, behind the addresses, and only at this receiver.
func TestCorruption(t *testing.T) {
	got, s := over(t, Impairment{Corrupt: .05}, packets, 1000)
	near(t, "corrupted", s.Corrupted, packets, .05)
	damaged := uint64(0)
	for _, a := range got {
		if a.flip > 0 || a.n >= packets {
			damaged++
		}
		if a.n < packets && a.flip > 1 {
			t.Fatalf("%d bits of packet %d differ", a.flip, a.n)
		}
	}
	if damaged == 0 || damaged > s.Corrupted || len(got) != packets {
		t.Errorf("%d of %d damaged", damaged, s.Corrupted)
	}
	c := newCore(t, 3)
	if err := c.Impair(0, "p0", "p1", Impairment{Corrupt: 1}); err != nil {
		t.Fatal(err)
	}
	pkt := numbered20(1)
	if got := went(c.Step(1, 0, [][]byte{pkt})); got != "2:0" || !slices.Equal(pkt, numbered20(1)) {
		t.Errorf("the other receiver's packet: %q", got)
	}
}

// 64-byte packets every µs are 512 Mb/s: a quarter of it passes, after the queue has filled.
func TestRate(t *testing.T) {
	got, s := over(t, Impairment{Rate: 128e6, Queue: 6400}, packets, 1000)
	if len(got) < packets/4 || len(got) > packets/4+110 || s.Overrun != uint64(packets-len(got)) {
		t.Errorf("%d passed: %+v", len(got), s)
	}
	for i := 1; i < len(got); i++ {
		if gap := got[i].at - got[i-1].at; gap < 4000-1 {
			t.Fatalf("%d ns between packets, want 4000", gap)
		}
	}
}

func TestCutIsOneWay(t *testing.T) {
	c := newCore(t, 2)
	if err := c.Impair(0, "p0", "*", Impairment{Cut: true}); err != nil {
		t.Fatal(err)
	}
	if got := went(c.Step(1, 0, [][]byte{numbered(hostMAC(0), hostMAC(1), 0)})); got != "" {
		t.Errorf("forth: %q", got)
	}
	if got := went(c.Step(1, 1, [][]byte{numbered(hostMAC(1), hostMAC(0), 0)})); got != "0:0" {
		t.Errorf("back: %q", got)
	}
	if err := c.Impair(0, "*", "*", Impairment{}); err != nil {
		t.Fatal(err)
	}
	if got := went(c.Step(1, 0, [][]byte{numbered(hostMAC(0), hostMAC(1), 0)})); got != "1:0" {
		t.Errorf("healed: %q", got)
	}
}

// Chance that spares all but datagrams lets the rest pass, late as everything and in order, and what passes
// in between moves no datagram's fate.
func TestOnlyDatagrams(t *testing.T) {
	m := Impairment{Loss: .3, Duplicate: .2, Corrupt: .2, Reorder: .2,
		Burst: Burst{Enter: .1, Leave: .5, Bad: 1}, Delay: 50, Jitter: 20, Datagrams: true}
	sent := func(kinds string) (fates string, s LinkStats) {
		c := newCore(t, 2, func(c *Config) { c.Flood = true })
		if err := c.Impair(0, "p0", "p1", m); err != nil {
			t.Fatal(err)
		}
		for i, kind := range kinds {
			pkt := numbered(hostMAC(0), hostMAC(1), 0)
			pkt[12], pkt[13], pkt[23] = 8, 0, byte(kind)
			before := c.LinkStats(0, 1)
			if outs := c.Step(int64(i)*100, 0, [][]byte{pkt}); len(outs) > 0 {
				t.Fatal("it came before its time")
			}
			s = c.LinkStats(0, 1)
			if kind != 17 && (s.Held != before.Held+1 || s.Corrupted+s.Reordered+s.Duplicated !=
				before.Corrupted+before.Reordered+before.Duplicated) {
				t.Fatalf("a packet of protocol %d: %+v after %+v", kind, s, before)
			}
			if kind == 17 {
				fates += string(rune('0' + s.Held - before.Held))
			}
		}
		return fates, s
	}
	alone, s := sent(strings.Repeat("\x11", 500))
	if s.Lost == 0 || s.Burst == 0 || s.Duplicated == 0 || s.Corrupted == 0 || s.Reordered == 0 {
		t.Errorf("%+v", s)
	}
	if mixed, _ := sent(strings.Repeat("\x06\x11\x06\x01", 500)); mixed != alone {
		t.Errorf("other packets move the fates of datagrams:\n%s\n%s", alone, mixed)
	}
}

// What is on its way when a delay ends is not overtaken.
func TestEndOfDelayKeepsOrder(t *testing.T) {
	c := newCore(t, 2)
	one := [][]byte{numbered(hostMAC(0), hostMAC(1), 0)}
	_ = c.Impair(0, "*", "*", Impairment{Delay: 100})
	c.Step(10, 0, one)
	_ = c.Impair(20, "*", "*", Impairment{})
	if got := went(c.Step(30, 0, one)); got != "" {
		t.Errorf("at once: %q", got)
	}
	if got := went(c.Due(110)); got != "1:++" {
		t.Errorf("when due: %q", got)
	}
	if got := went(c.Step(120, 0, one)); got != "1:0" {
		t.Errorf("afterwards: %q", got)
	}
	if got := went(c.Step(130, 0, one)); got != "1:0" || !c.links[0][1].clean {
		t.Errorf("afterwards: %q", got)
	}
}

func TestHeldIsBounded(t *testing.T) {
	c := newCore(t, 2, func(c *Config) { c.Held = 10 })
	_ = c.Impair(0, "*", "*", Impairment{Delay: 100})
	for range 15 {
		c.Step(1, 0, [][]byte{numbered(hostMAC(0), hostMAC(1), 0)})
	}
	if s := c.LinkStats(0, 1); s.Held != 10 || s.NoRoom != 5 || c.Stats().Holding != 10 {
		t.Errorf("%+v", s)
	}
	if got := went(c.Due(200)); got != "1:++++++++++" {
		t.Errorf("%q", got)
	}
	c.Due(300)
	c.Step(301, 0, [][]byte{numbered(hostMAC(0), hostMAC(1), 0)})
	if s := c.LinkStats(0, 1); s.Held != 11 {
		t.Errorf("room is used again: %+v", s)
	}
}

func TestImpairmentsAreChecked(t *testing.T) {
	c := newCore(t, 2)
	for text, want := range map[string]string{
		`{"loss":1.5}`:             "use a chance",
		`{"burst":{"leave":-1}}`:   "burst.leave",
		`{"delay":"-1ms"}`:         "delay",
		`{"jitter":"2m"}`:          "jitter",
		`{"rate":-1}`:              "positive",
		`{"delay":"1.5ms"}`:        "",
		`{"corrupt":1,"cut":true}`: "",
	} {
		var m Impairment
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		err := c.Impair(0, "p0", "p1", m)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := c.Impair(0, "p9", "*", Impairment{}); err == nil || !strings.Contains(err.Error(), `"p9"`) {
		t.Error(err)
	}
	b, err := json.Marshal(Impairment{Delay: Span(1500 * time.Microsecond)})
	if err != nil || string(b) != `{"delay":"1.5ms"}` {
		t.Errorf("%s %v", b, err)
	}
}
