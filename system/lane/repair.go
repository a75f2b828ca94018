package lane

import (
	"fmt"
	"math/bits"
)

// Source keeps frames: a [Sender], or the [Receiver] of a replica that answers its peers.
type Source interface {
	// Window is the range of frame numbers that may be kept.
	Window() Gap
	// Repair appends kept frames of a gap to dst, up to its capacity, and names what is gone.
	Repair(gap Gap, dst [][]byte) (repairs [][]byte, gone Gap)
}

// RepairConfig bounds what a lane does for those who miss frames. Times are in nanoseconds; zero
// stands for the default.
type RepairConfig struct {
	// Linger is how long a repair waits for others to ask for the same frame, so that one multicast
	// serves them all; never more than an eighth of the asker's round trip. 50 µs.
	Linger int64
	Guess  int64 // round trip of an asker that does not tell its own; 1 ms
	// Copies is how often a frame is sent to one who asks for it again: its first repair was lost, and
	// its lane stalls until the next arrives. 3.
	Copies int
	// Quota and QuotaBurst bound the frames a second that one asker gets; 100 000 and twice the
	// window.
	Quota, QuotaBurst int64
	Work              int // frames that one call of Due sends at most; 64
}

func (c RepairConfig) withDefaults(window int) RepairConfig {
	orElse := func(v *int64, otherwise int64) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	orElse(&c.Linger, 50e3)
	orElse(&c.Guess, 1e6)
	orElse(&c.Quota, 100e3)
	orElse(&c.QuotaBurst, 2*int64(window))
	if c.Copies <= 0 {
		c.Copies = 3
	}
	c.Copies = min(c.Copies, maxCopies)
	if c.Work <= 0 {
		c.Work = 64
	}
	return c
}

const maxCopies = 100

// MaxAskers bounds those whom a Repairer knows apart; one more displaces the one heard from least
// recently.
const MaxAskers = 16

// Repairs is what a Repairer wants sent. Frames stay valid as long as their source keeps them.
type Repairs struct {
	Multicast [][]byte
	Unicast   []Unicast
	Gone      []GoneAnswer
}

// Unicast is a repair for one asker.
type Unicast struct {
	Asker uint64
	Frame []byte
}

// GoneAnswer tells an asker that the frames below a number are kept no longer ([Nacker.Gone]).
type GoneAnswer struct{ Asker, Below uint64 }

// Reset empties out and keeps its memory.
func (o *Repairs) Reset() {
	clear(o.Multicast)
	clear(o.Unicast)
	o.Multicast, o.Unicast, o.Gone = o.Multicast[:0], o.Unicast[:0], o.Gone[:0]
}

// RepairCounters account for what was asked of one lane: Asked = Waiting + Ignored + OverQuota +
// accepted frames.
type RepairCounters struct {
	Nacks     uint64
	Asked     uint64 // frames asked for that are kept
	Waiting   uint64 // of these, asked for already and not sent yet
	Ignored   uint64 // of these, sent less than half a round trip ago
	OverQuota uint64 // of these, refused as the asker has had its share
	Unicast   uint64 // frames sent to one asker, copies included
	Multicast uint64 // frames sent to all, copies included
	Again     uint64 // frames sent to one who asked for them again: their repair was lost
	Gone      uint64 // answers that frames are kept no longer
	Lacking   uint64 // frames that the source did not have when they were to be sent
}

// AskerCounters account for one asker.
type AskerCounters struct {
	Asker       uint64
	RoundTrip   int64 // ns
	Quarantined bool  // it has had its share, and is heard again when half of it is earned anew
	RepairCounters
}

// repair is what is known of a frame that was asked for.
type repair struct {
	frame  uint32 // low bits of its number + 1; 0 = nothing
	asked  uint16 // askers that wait for it
	served uint16 // askers it was sent to, the last time
	copies uint8  // still to be sent
	times  uint8  // copies sent within half a round trip
	due    int64
	last   int64 // when it was sent
}

type asker struct {
	quota Bucket
	heard int64
	below uint64 // a Gone answer is due; 0 = none
	n     AskerCounters
}

// Repairer turns the requests of several receivers for frames of one lane into repairs. Requests
// for one frame within a short time are answered together: by multicast if two asked, or if a
// second asks right after the first was served. A frame that is asked for again, so that its repair
// was lost, is sent in several copies, a sixteenth of a round trip apart, as a burst of losses
// would take copies sent at once together. No more copies go to the same asker within half a round
// trip, since requests and repairs cross.
//
// Bounds: new repairs take from a budget of bytes that lanes share (Pacer.Repairs), each asker has
// a quota, and a call does a bounded amount of work. An asker beyond its quota (a "crybaby") is
// quarantined: it is counted, ignored, and left to its own back-off and to other replicas.
type Repairer struct {
	cfg     RepairConfig
	src     Source
	budget  *Bucket
	mask    uint64
	frames  []repair // by slot
	pending bitmap   // by slot
	span    Gap      // pending frames lie in here
	next    int64
	askers  []asker
	buf     [1][]byte
	n       RepairCounters
}

// NewRepairer makes a repairer of a lane that keeps at most window frames, a power of two, and
// takes from a budget of bytes.
func NewRepairer(cfg RepairConfig, window int, src Source, budget *Bucket) (*Repairer, error) {
	if window < 2 || !powerOfTwo(window) {
		return nil, fmt.Errorf("repair a window of %d frames: use a power of two, at least 2", window)
	}
	return &Repairer{cfg: cfg.withDefaults(window), src: src, budget: budget, mask: uint64(window - 1),
		frames: make([]repair, window), pending: newBitmap(window), next: Never,
		askers: make([]asker, 0, MaxAskers)}, nil
}

// Counters reads the lane's counters.
func (p *Repairer) Counters() RepairCounters { return p.n }

// Askers appends the counters of every known asker to dst.
func (p *Repairer) Askers(dst []AskerCounters) []AskerCounters {
	for i := range p.askers {
		dst = append(dst, p.askers[i].n)
	}
	return dst
}

// Next is when Due should be called next, or [Never].
func (p *Repairer) Next() int64 { return p.next }

// Nack takes a request: asker misses the frames of the gaps, which ascend. rtt is the round trip as
// the asker measures it (Nacker.RoundTrip), in ns, or 0 if it does not tell.
func (p *Repairer) Nack(now int64, who uint64, rtt int64, gaps []Gap) {
	i := p.asker(now, who)
	a := &p.askers[i]
	a.n.RoundTrip = min(rtt, 10e9)
	if rtt <= 0 {
		a.n.RoundTrip = p.cfg.Guess
	}
	p.n.Nacks++
	a.n.Nacks++
	if a.n.Quarantined && a.quota.Has(now, p.cfg.QuotaBurst/2) {
		a.n.Quarantined = false
	}
	window := p.dropGone()
	from := window.From
	for _, g := range gaps {
		if g.From < window.From {
			p.gone(a, window.From)
		}
		g.From, g.To = max(g.From, from), min(g.To, window.To)
		for f := g.From; f < g.To; f++ {
			p.ask(now, f, a, 1<<i)
		}
		from = max(from, g.To)
	}
}

// asker finds or adds an asker.
func (p *Repairer) asker(now int64, who uint64) int {
	oldest := 0
	for i := range p.askers {
		if p.askers[i].n.Asker == who {
			p.askers[i].heard = now
			return i
		}
		if p.askers[i].heard < p.askers[oldest].heard {
			oldest = i
		}
	}
	if len(p.askers) < MaxAskers {
		oldest = len(p.askers)
		p.askers = p.askers[:oldest+1]
	} else {
		p.displace(1 << oldest)
	}
	p.askers[oldest] = asker{quota: NewBucket(p.cfg.Quota, p.cfg.QuotaBurst), heard: now,
		n: AskerCounters{Asker: who}}
	return oldest
}

// displace forgets what an asker asked for and was sent: its place goes to another.
func (p *Repairer) displace(bit uint16) {
	for slot := range p.frames {
		f := &p.frames[slot]
		f.served &^= bit
		if f.asked&^bit == 0 && f.asked != 0 {
			p.done(uint64(slot), f)
		}
		f.asked &^= bit
	}
}

// hold is how long a request may still be one that crossed with the repair.
func (p *Repairer) hold(a *asker) int64 { return max(a.n.RoundTrip/2, p.cfg.Linger) }

// ask notes that an asker misses a frame that is kept.
func (p *Repairer) ask(now int64, frame uint64, a *asker, bit uint16) {
	p.n.Asked++
	a.n.Asked++
	f := &p.frames[frame&p.mask]
	if f.frame != uint32(frame+1) {
		*f = repair{frame: uint32(frame + 1)}
	}
	lately := now-f.last < p.hold(a)
	again := f.served&bit != 0
	if !lately {
		f.times = 0
	}
	switch {
	case f.asked&bit != 0:
		p.n.Waiting++
		a.n.Waiting++
		return
	case again && lately && int(f.times) >= p.cfg.Copies:
		p.n.Ignored++
		a.n.Ignored++
		return
	case a.n.Quarantined || !a.quota.Take(now, 1):
		a.n.Quarantined = true
		p.n.OverQuota++
		a.n.OverQuota++
		return
	}
	if f.asked == 0 {
		f.due, f.copies = now+min(p.cfg.Linger, a.n.RoundTrip/8), 1
		p.pend(frame, f.due)
	}
	f.asked |= bit
	if again {
		if !lately {
			f.copies = uint8(p.cfg.Copies)
		}
		p.n.Again++
		a.n.Again++
	}
}

// pend marks a frame as to be sent.
func (p *Repairer) pend(frame uint64, due int64) {
	p.pending.set(frame & p.mask)
	if p.span.From >= p.span.To {
		p.span = Gap{From: frame, To: frame + 1}
	}
	p.span = Gap{From: min(p.span.From, frame), To: max(p.span.To, frame+1)}
	p.next = min(p.next, due)
}

// Due appends to out what is to be sent now, lowest frames first. If the budget or the bound of
// work ends it early, Next says when to call again.
func (p *Repairer) Due(now int64, out *Repairs) {
	if now < p.next {
		return
	}
	p.dropGone()
	p.next = Never
	for i := range p.askers {
		if a := &p.askers[i]; a.below > 0 {
			out.Gone = append(out.Gone, GoneAnswer{Asker: a.n.Asker, Below: a.below})
			a.below = 0
			p.n.Gone++
			a.n.Gone++
		}
	}
	work := p.cfg.Work
	for n := p.span.From; n < p.span.To; n++ {
		n = p.pending.find(n, p.span.To, p.mask, true)
		if n == p.span.To {
			break
		}
		f := &p.frames[n&p.mask]
		switch {
		case f.due > now:
			p.next = min(p.next, f.due)
			continue
		case work == 0:
			p.next = now
			return
		case !p.budget.Has(now, 1):
			p.next = p.budget.Ready(now, 1)
			return
		}
		work--
		p.send(now, n, f, out)
	}
	p.shrink()
}

// dropGone forgets what the source released meanwhile, and answers those who wait for it. It
// returns what is kept, so that whatever is pending lies within one window.
func (p *Repairer) dropGone() Gap {
	window := p.src.Window()
	window.To = min(window.To, window.From+p.mask+1)
	end := min(p.span.To, window.From)
	for p.span.From < end {
		p.span.From = p.pending.find(p.span.From, end, p.mask, true)
		if p.span.From < end {
			f := &p.frames[p.span.From&p.mask]
			for left := f.asked; left != 0; left &= left - 1 {
				p.gone(&p.askers[bits.TrailingZeros16(left)], window.From)
			}
			p.done(p.span.From, f)
		}
	}
	return window
}

// gone notes that an asker is to be told what is kept no longer.
func (p *Repairer) gone(a *asker, below uint64) {
	a.below = below
	p.next = 0
}

// done takes a frame off the list, given its number or its slot.
func (p *Repairer) done(frame uint64, f *repair) {
	p.pending.clear(frame & p.mask)
	f.asked, f.copies = 0, 0
}

// shrink cuts the span to what is pending.
func (p *Repairer) shrink() {
	p.span.From = p.pending.find(p.span.From, p.span.To, p.mask, true)
	if p.span.From == p.span.To {
		p.span = Gap{}
	}
}

// send repairs one frame.
func (p *Repairer) send(now int64, n uint64, f *repair, out *Repairs) {
	kept, _ := p.src.Repair(Gap{From: n, To: n + 1}, p.buf[:0])
	if len(kept) == 0 {
		p.n.Lacking++
		p.done(n, f)
		return
	}
	p.budget.Spend(now, int64(len(kept[0])))
	first := bits.TrailingZeros16(f.asked)
	a := &p.askers[first]
	lately := f.served != 0 && now-f.last < p.hold(a)
	const all = ^uint16(0)
	if f.asked&(f.asked-1) != 0 || lately && f.served != all && f.served&^f.asked != 0 {
		out.Multicast = append(out.Multicast, kept[0])
		p.n.Multicast++
		f.served = all
	} else {
		out.Unicast = append(out.Unicast, Unicast{Asker: a.n.Asker, Frame: kept[0]})
		p.n.Unicast++
		a.n.Unicast++
		f.served = f.asked
	}
	f.last = now
	f.times = min(f.times, maxCopies-1) + 1
	if f.copies--; f.copies > 0 {
		f.due = now + a.n.RoundTrip/16
		p.next = min(p.next, f.due)
		return
	}
	p.done(n, f)
}
