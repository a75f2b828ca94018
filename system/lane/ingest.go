package lane

import (
	"fmt"
	"slices"

	"metronome/system/wire"
)

// Counters account for every frame handed to an [Ingest]: Frames equals Heartbeats plus the sum of
// Bad plus Duplicate plus Refused plus Released plus Queued plus Abandoned.
type Counters struct {
	Frames     uint64 // frames handed in
	Bytes      uint64 // their bytes
	Heartbeats uint64
	Bad        [wire.NumCauses]uint64 // dropped, by cause; Bad[wire.OK] stays zero
	BadKeys    wire.KeyCounts         // of Bad[wire.BadKey]
	Duplicate  uint64
	Refused    uint64 // dropped at the bound of a lane's window or arena, at once or to make room later
	Released   uint64 // passed the watermark and trimmed by the consumer
	Queued     uint64 // held at this moment
	Abandoned  uint64 // held when their lane was closed
	Items      uint64 // items completed by frames that were accepted
	Lost       uint64 // frames given up; they never arrived, so they are in no sum
}

// Ingest is the pipeline of one ingest core: verify, find the lane, place. It belongs to one
// goroutine.
type Ingest struct {
	opener wire.Opener
	cfg    Config
	lives  []life
	last   *Receiver // of the last frame: frames of a lane come in bursts; nil or open
	n      Counters
	closed Counters // of receivers that are gone

	now      int64       // what Clock said last
	advanced []*Receiver // lanes whose mark moved since Advanced last named them
	gapped   []*Receiver // lanes that may miss frames
	rng      random      // picks which of gapped is named first
	lanes    int
	asking   asking
}

// life is a proxy's incarnation with its lanes, indexed by lane number; nil where none is open.
type life struct {
	proxy, incarnation uint32
	lanes              []*Receiver
}

// MaxLanes bounds the lanes of one incarnation.
const MaxLanes = 1024

// NewIngest makes a pipeline without lanes, for frames of the given cluster under digest d.
func NewIngest(cluster uint32, d *wire.Digester, cfg Config) (*Ingest, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Nack = cfg.Nack.withDefaults()
	return &Ingest{opener: wire.Opener{Cluster: cluster, Digest: d}, cfg: cfg,
		rng: random(cfg.Nack.Seed), asking: asking{budget: NewBucket(cfg.Nack.Rate, cfg.Nack.Burst)}}, nil
}

// Open admits the lanes 0 to lanes-1 of an incarnation and allocates their memory, lanes times
// Config.Bytes. Opening an incarnation closes the proxy's others: a proxy has one life at a time.
func (in *Ingest) Open(proxy, incarnation uint32, lanes int) error {
	if lanes < 1 || lanes > MaxLanes {
		return fmt.Errorf("open %d lanes of proxy %d: use 1 to %d", lanes, proxy, MaxLanes)
	}
	in.Close(proxy)
	for i := range lanes {
		if _, err := in.OpenAt(Name{Proxy: proxy, Incarnation: incarnation, Lane: uint16(i)}, Mark{}); err != nil {
			return err
		}
	}
	return nil
}

// OpenAt admits one lane, whose items below the mark are gone or done: a replica that was restored
// from a snapshot begins where the snapshot ends. It allocates Config.Bytes. It closes nothing: an
// older incarnation may still hold items that are ordered and not applied (R19).
func (in *Ingest) OpenAt(name Name, at Mark) (*Receiver, error) {
	switch {
	case name.Lane >= MaxLanes:
		return nil, fmt.Errorf("open lane %d of proxy %d: use 0 to %d", name.Lane, name.Proxy, MaxLanes-1)
	case at.Items|at.Frames >= limit:
		return nil, fmt.Errorf("open lane %d of proxy %d at %+v: numbers end at %d",
			name.Lane, name.Proxy, at, uint64(limit))
	case in.Lane(name.Proxy, name.Incarnation, name.Lane) != nil:
		return nil, fmt.Errorf("lane %d of proxy %d, incarnation %d, is open already",
			name.Lane, name.Proxy, name.Incarnation)
	}
	l := in.life(name.Proxy, name.Incarnation)
	for len(l.lanes) <= int(name.Lane) {
		l.lanes = append(l.lanes, nil)
	}
	r := newReceiver(in.cfg, in.opener.Digest, name, at)
	if in.cfg.Nack.Enabled {
		r.nack = newNacker(in.cfg.Nack, r, &in.asking)
	}
	l.lanes[name.Lane] = r
	in.lanes++
	in.advanced = slices.Grow(in.advanced, max(0, in.lanes-len(in.advanced)))
	in.gapped = slices.Grow(in.gapped, max(0, in.lanes-len(in.gapped)))
	return r, nil
}

// Reopen is OpenAt for a lane that may be open: what it held is forgotten.
func (in *Ingest) Reopen(name Name, at Mark) (*Receiver, error) {
	for i := range in.lives {
		l := &in.lives[i]
		if l.proxy != name.Proxy || l.incarnation != name.Incarnation || int(name.Lane) >= len(l.lanes) {
			continue
		}
		if r := l.lanes[name.Lane]; r != nil {
			in.forget(r)
			l.lanes[name.Lane] = nil
		}
	}
	return in.OpenAt(name, at)
}

// life finds or adds an incarnation.
func (in *Ingest) life(proxy, incarnation uint32) *life {
	for i := range in.lives {
		if l := &in.lives[i]; l.proxy == proxy && l.incarnation == incarnation {
			return l
		}
	}
	in.lives = append(in.lives, life{proxy: proxy, incarnation: incarnation})
	return &in.lives[len(in.lives)-1]
}

// Close forgets the lanes of all incarnations of a proxy and everything they hold.
func (in *Ingest) Close(proxy uint32) {
	in.close(func(l *life) bool { return l.proxy == proxy })
}

// CloseLife forgets the lanes of one incarnation and everything they hold.
func (in *Ingest) CloseLife(proxy, incarnation uint32) {
	in.close(func(l *life) bool { return l.proxy == proxy && l.incarnation == incarnation })
}

func (in *Ingest) close(ends func(*life) bool) {
	in.lives = slices.DeleteFunc(in.lives, func(l life) bool {
		if !ends(&l) {
			return false
		}
		for _, r := range l.lanes {
			if r != nil {
				in.forget(r)
			}
		}
		return true
	})
}

func (in *Ingest) forget(r *Receiver) {
	in.closed.add(r)
	in.closed.Abandoned += r.Held()
	in.lanes--
	if in.last == r {
		in.last = nil
	}
	is := func(other *Receiver) bool { return other == r }
	in.advanced = slices.DeleteFunc(in.advanced, is)
	in.gapped = slices.DeleteFunc(in.gapped, is)
}

// Lane is the receiver of a lane, or nil if it is not open.
func (in *Ingest) Lane(proxy, incarnation uint32, lane uint16) *Receiver {
	for i := range in.lives {
		l := &in.lives[i]
		if l.proxy == proxy && l.incarnation == incarnation && int(lane) < len(l.lanes) {
			return l.lanes[lane]
		}
	}
	return nil
}

// Clock tells the time, in nanoseconds, of the frames that are handed in next. Only lanes that ask
// for repairs want to know; once a burst is enough.
func (in *Ingest) Clock(now int64) { in.now = now }

// Place is whether a frame found its place.
type Place uint8

// The places.
const (
	Placed  Place = iota // or it was none to be kept: damaged, known already, without items
	Full                 // its lane has no room for it at present
	Unknown              // its lane is not open here
)

// Frame takes one received frame. It copies what it keeps.
func (in *Ingest) Frame(frame []byte) Place {
	var h wire.Header
	return in.judged(&h, frame, in.opener.Open(frame, &h))
}

// Kept is Frame of one that came from no network (wire.Opener.OpenKept).
func (in *Ingest) Kept(frame []byte) Place {
	var h wire.Header
	return in.judged(&h, frame, in.opener.OpenKept(frame, &h))
}

func (in *Ingest) judged(h *wire.Header, frame []byte, cause wire.Cause) Place {
	in.n.Frames++
	in.n.Bytes += uint64(len(frame))
	if cause != wire.OK {
		in.n.Bad[cause]++
		in.n.BadKeys.Note(cause, frame)
		return Placed
	}
	return in.place(h, in.opener.Opened(frame, h))
}

// Verified takes a frame that a [Verifier] of the same cluster and digest mode returned, and does not
// examine it again. It copies what it keeps.
func (in *Ingest) Verified(frame []byte) Place {
	in.n.Frames++
	in.n.Bytes += uint64(len(frame))
	var h wire.Header
	h.Get(frame)
	return in.place(&h, frame)
}

// place takes a frame whose header is h, known to be whole, and opened.
func (in *Ingest) place(h *wire.Header, frame []byte) Place {
	r := in.last
	if r == nil || r.name.Lane != h.Lane || r.name.Proxy != h.Proxy || r.name.Incarnation != h.Incarnation {
		if r = in.Lane(h.Proxy, h.Incarnation, h.Lane); r == nil {
			in.n.Bad[wire.BadLane]++
			return Unknown
		}
		in.last = r
	}
	if h.Type != wire.TypeData {
		in.control(r, h)
		return Placed
	}
	verdict := r.Place(h, frame)
	switch verdict {
	case Accepted:
		in.n.Items += uint64(h.Count)
		if h.Flags&wire.FlagRepair == 0 {
			r.sampled.note(h.Frame, in.now)
		}
		if r.gapped {
			r.arrived(in.now, h)
		}
	case Duplicate:
		in.n.Duplicate++
		r.duplicate++
	case Refused:
		in.n.Refused++
		r.refused++
	case Contradiction:
		in.n.Bad[wire.BadLane]++
	}
	if !r.advanced && r.mark.Frames != r.told {
		r.advanced = true
		in.advanced = append(in.advanced, r)
	}
	if r.next != r.mark.Frames && !r.gapped {
		in.noteGap(r)
	}
	if verdict == Refused {
		return Full
	}
	return Placed
}

// control takes a frame without items.
func (in *Ingest) control(r *Receiver, h *wire.Header) {
	if h.Type != wire.TypeHeartbeat { // a request is for senders
		in.n.Bad[wire.BadType]++
		return
	}
	in.n.Heartbeats++
	r.beats++
	r.Heartbeat(h)
	if r.Missing() && !r.gapped {
		in.noteGap(r)
	}
}

// noteGap lists a lane that misses frames.
func (in *Ingest) noteGap(r *Receiver) {
	r.gapped = true
	in.gapped = append(in.gapped, r)
}

// arrived tells the lane's nacker of a frame that was accepted while frames were missing.
func (r *Receiver) arrived(now int64, h *wire.Header) {
	again := h.Flags&wire.FlagRepair != 0
	if again {
		r.repaired++
	}
	if r.nack != nil {
		r.nack.Observe(now, h.Frame, again)
	}
}

// Advanced appends to dst, up to its capacity, the lanes whose mark moved since it last named them,
// in the order in which they moved, so that a consumer looks at no other.
func (in *Ingest) Advanced(dst []*Receiver) []*Receiver {
	n := min(len(in.advanced), cap(dst)-len(dst))
	for _, r := range in.advanced[:n] {
		r.advanced, r.told = false, r.mark.Frames
		dst = append(dst, r)
	}
	in.advanced = in.advanced[:copy(in.advanced, in.advanced[n:])]
	return dst
}

// Gapped appends to dst, up to its capacity, the lanes that miss frames. Each call begins with
// a random one of them, as they share a budget of requests.
func (in *Ingest) Gapped(dst []*Receiver) []*Receiver {
	if len(in.gapped) == 0 {
		return dst
	}
	in.gapped = slices.DeleteFunc(in.gapped, func(r *Receiver) bool {
		r.gapped = r.Missing()
		return !r.gapped
	})
	first := int(in.rng.upTo(int64(len(in.gapped))))
	for i := range min(len(in.gapped), cap(dst)-len(dst)) {
		dst = append(dst, in.gapped[(first+i)%len(in.gapped)])
	}
	return dst
}

// NextDue is when a lane's request for repair falls due, or [Never]: how long an ingest core may
// sleep if nothing arrives.
func (in *Ingest) NextDue() int64 {
	next := int64(Never)
	for _, r := range in.gapped {
		if r.nack != nil {
			next = min(next, r.nack.Next())
		}
	}
	return next
}

// SetPeers names the other replicas that may hold what this one misses, as a set of seats.
func (in *Ingest) SetPeers(seats uint16) { in.asking.peers = seats }

// TrimAll releases everything below every lane's mark: what a consumer does that is always done.
func (in *Ingest) TrimAll() {
	for i := range in.lives {
		for _, r := range in.lives[i].lanes {
			if r != nil {
				r.Trim(r.mark.Frames)
			}
		}
	}
}

// Counters reads the counters.
func (in *Ingest) Counters() Counters {
	n := in.n
	n.Released, n.Lost, n.Abandoned = in.closed.Released, in.closed.Lost, in.closed.Abandoned
	n.Refused += in.closed.Refused
	n.Bad[wire.BadLane] += in.closed.Bad[wire.BadLane]
	for _, l := range in.lives {
		for _, r := range l.lanes {
			if r != nil {
				n.add(r)
				n.Queued += r.Held()
			}
		}
	}
	return n
}

func (n *Counters) add(r *Receiver) {
	n.Released += r.freed
	n.Refused += r.evicted
	n.Lost += r.lost
	n.Bad[wire.BadLane] += r.thrown
}

// Expect says that the frames below a number were sent, whoever told: a lane whose proxy has fallen silent
// is repaired all the same.
func (in *Ingest) Expect(r *Receiver, frames uint64) {
	if frames < limit && in.Lane(r.name.Proxy, r.name.Incarnation, r.name.Lane) == r {
		r.next = max(r.next, frames)
		in.noteGap(r)
	}
}
