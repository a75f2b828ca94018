package vswitch

import (
	"errors"
	"fmt"
	"time"
)

// Impairment is what befalls the packets of one directed link. The zero value lets all pass.
// Chances are of one packet, from 0 to 1.
type Impairment struct {
	Cut       bool    `json:"cut,omitempty"`        // nothing passes in this direction
	Loss      float64 `json:"loss,omitempty"`       // chance of being lost, each packet for itself
	Burst     Burst   `json:"burst,omitzero"`       // loss in bursts
	Duplicate float64 `json:"duplicate,omitempty"`  // chance of arriving twice
	Corrupt   float64 `json:"corrupt,omitempty"`    // chance of one flipped bit behind the Ethernet header
	Delay     Span    `json:"delay,omitempty"`      // of every packet
	Jitter    Span    `json:"jitter,omitempty"`     // added to Delay, evenly from 0; keeps the order
	Reorder   float64 `json:"reorder,omitempty"`    // chance of being held back by ReorderBy
	ReorderBy Span    `json:"reorder_by,omitempty"` // 0 means 1 ms; later packets overtake
	Rate      int64   `json:"rate,omitempty"`       // bits a second; 0: no bound
	Queue     int     `json:"queue,omitempty"`      // bytes that may wait for Rate; 0 means 256 KiB
	// Datagrams spares all but UDP: the rest is neither lost, doubled, damaged nor overtaken by chance, and
	// moves no datagram's fate. A cut, delays and the rate are everybody's.
	Datagrams bool `json:"datagrams,omitempty"`
}

// Burst is Gilbert's and Elliott's channel: a good and a bad state, each with its own loss, left
// with a chance a packet. The mean burst has 1/Leave packets; the share of time in the bad state is
// Enter/(Enter+Leave).
type Burst struct {
	Enter float64 `json:"enter,omitempty"` // chance that the good state ends
	Leave float64 `json:"leave,omitempty"` // chance that the bad state ends
	Good  float64 `json:"good,omitempty"`  // loss in the good state, usually 0
	Bad   float64 `json:"bad,omitempty"`   // loss in the bad state, usually 1
}

// Defaults of [Impairment].
const (
	defaultReorderBy = time.Millisecond
	defaultQueue     = 256 << 10
	maxDelay         = time.Minute
)

// Validate refuses chances that are none, and times and rates that cannot be.
func (m Impairment) Validate() error {
	var errs []error
	for _, c := range []struct {
		name  string
		value float64
	}{
		{"loss", m.Loss}, {"duplicate", m.Duplicate}, {"corrupt", m.Corrupt}, {"reorder", m.Reorder},
		{"burst.enter", m.Burst.Enter}, {"burst.leave", m.Burst.Leave}, {"burst.good", m.Burst.Good},
		{"burst.bad", m.Burst.Bad},
	} {
		if !(c.value >= 0 && c.value <= 1) {
			errs = append(errs, fmt.Errorf("vswitch: %s %v: use a chance, 0 to 1", c.name, c.value))
		}
	}
	for _, d := range []struct {
		name  string
		value Span
	}{{"delay", m.Delay}, {"jitter", m.Jitter}, {"reorder_by", m.ReorderBy}} {
		if d.value < 0 || d.value > Span(maxDelay) {
			errs = append(errs, fmt.Errorf("vswitch: %s %v: use 0 to %v", d.name, time.Duration(d.value), maxDelay))
		}
	}
	if m.Rate < 0 || m.Queue < 0 {
		errs = append(errs, fmt.Errorf("vswitch: rate %d, queue %d: use positive numbers", m.Rate, m.Queue))
	}
	return errors.Join(errs...)
}

// LinkStats counts what became of the packets of one directed link. In + Duplicated = Passed +
// Held + Lost + Burst + Cut + Overrun + NoRoom + Dead; Held ones pass later, if their queue lives then.
type LinkStats struct {
	In         uint64 `json:"in"`
	Passed     uint64 `json:"passed"` // at once, copies that duplication made included
	Held       uint64 `json:"held"`   // until later: delayed, reordered, damaged, behind a rate
	Lost       uint64 `json:"lost"`   // by chance
	Burst      uint64 `json:"burst"`  // in a burst
	Cut        uint64 `json:"cut"`
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Reordered  uint64 `json:"reordered"`
	Overrun    uint64 `json:"overrun"` // lost for want of rate
	NoRoom     uint64 `json:"no_room"` // lost because the switch holds back all it can
	Dead       uint64 `json:"dead"`    // swallowed at once by a dead queue
}

// link is one directed link.
type link struct {
	Impairment
	count LinkStats
	clean bool      // nothing to do and nothing held that must not be overtaken
	seed  uint64    // of this link
	n     [2]uint64 // packets so far: those that chance may befall, and those spared
	spare int       // 1 while a packet is judged that is spared
	bad   bool      // the state of Burst
	last  int64     // when the packet before is due, which may not be overtaken
	free  int64     // when Rate has sent everything before
}

// The uses of chance, so that none moves another's.
const (
	drawLoss = iota
	drawState
	drawBurst
	drawDuplicate
	drawCorrupt
	drawBit
	drawJitter
	drawReorder
	draws
)

// draw is a number in [0, 1) that depends on the link's seed, the packet and the use alone.
func (l *link) draw(use uint64) float64 {
	seed := l.seed ^ uint64(l.spare)<<63
	return float64(mix(seed+(l.n[l.spare]*draws+use)*0x9e3779b97f4a7c15)>>11) / (1 << 53)
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fate is what becomes of one packet.
type fate struct {
	copies int   // 0: lost
	bit    int   // to flip, counted from the Ethernet header's end; -1: none
	due    int64 // 0: at once
}

// judge decides about the next packet.
func (l *link) judge(now int64, pkt []byte) fate {
	size := len(pkt)
	if l.spare = 0; l.Datagrams && !isDatagram(pkt) {
		l.spare = 1
	}
	defer func() { l.n[l.spare]++ }()
	if l.lose() {
		return fate{}
	}
	f := fate{copies: 1, bit: -1}
	if l.chance(l.Duplicate, drawDuplicate) {
		f.copies = 2
		l.count.Duplicated++
	}
	if bits := 8 * (size - ethernetBytes); bits > 0 && l.chance(l.Corrupt, drawCorrupt) {
		f.bit = int(l.draw(drawBit) * float64(bits))
		l.count.Corrupted++
	}
	due, ok := l.schedule(now, size*f.copies)
	if !ok {
		l.count.Overrun += uint64(f.copies)
		return fate{}
	}
	if f.due = due; due <= now && f.bit < 0 {
		f.due = 0
	}
	return f
}

// isDatagram reports whether a packet of at least [ethernetBytes] is UDP over IPv4.
func isDatagram(pkt []byte) bool {
	return len(pkt) > 23 && pkt[12] == 8 && pkt[13] == 0 && pkt[23] == 17
}

// chance reports whether what has this chance befalls the packet, which may be spared.
func (l *link) chance(chance float64, use uint64) bool {
	return chance > 0 && l.spare == 0 && l.draw(use) < chance
}

// lose reports whether the packet is lost, and counts it.
func (l *link) lose() bool {
	if l.Cut {
		l.count.Cut++
		return true
	}
	if l.chance(l.Loss, drawLoss) {
		l.count.Lost++
		return true
	}
	if l.Burst == (Burst{}) || l.spare == 1 {
		return false
	}
	b, change, loss := l.Burst, 0.0, 0.0
	if change, loss = b.Enter, b.Good; l.bad {
		change = b.Leave
	}
	if l.draw(drawState) < change {
		l.bad = !l.bad
	}
	if l.bad {
		loss = b.Bad
	}
	if l.draw(drawBurst) < loss {
		l.count.Burst++
		return true
	}
	return false
}

// schedule is when the packet leaves; ok is false if too much waits for the rate already.
func (l *link) schedule(now int64, size int) (due int64, ok bool) {
	due = now
	if l.Rate > 0 {
		queue := int64(l.Queue)
		if queue == 0 {
			queue = defaultQueue
		}
		start := max(now, l.free)
		if start-now > transmit(queue, l.Rate) {
			return 0, false
		}
		l.free = start + transmit(int64(size), l.Rate)
		due = l.free
	}
	due += int64(l.Delay)
	if l.Jitter > 0 {
		due += int64(l.draw(drawJitter) * float64(l.Jitter))
	}
	due = max(due, l.last)
	if l.chance(l.Reorder, drawReorder) {
		l.count.Reordered++
		by := l.ReorderBy
		if by == 0 {
			by = Span(defaultReorderBy)
		}
		return due + int64(by), true
	}
	l.last = due
	return due, true
}

// transmit is the time that bytes take at a rate in bits a second, in ns.
func transmit(bytes, rate int64) int64 { return int64(float64(bytes) * 8e9 / float64(rate)) }

// settle finds out whether packets may again pass without a look at the link.
func (l *link) settle(now int64) { l.clean = l.Impairment == (Impairment{}) && l.last <= now }

// Span is a time that JSON writes as "1.5ms".
type Span time.Duration

// UnmarshalText reads a duration as Go writes it.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// MarshalText writes it so.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }
