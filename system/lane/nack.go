package lane

import (
	"math/bits"

	"metronome/system/wire"
)

// want is what is known of a missing frame.
type want struct {
	frame uint32 // low bits of its number + 1; 0 = nothing
	asks  uint8  // how often it was asked for
	stage uint8  // of the schedule: which interval comes next
	peer  bool   // a replica was asked first, not the sender
	first int64  // when it was first asked for; before that: when it was first missed
	due   int64  // when to ask
}

const (
	wantBytes = 24
	maxAsks   = 200
)

// asking is what the lanes of one ingest core share.
type asking struct {
	budget Bucket
	peers  uint16 // seats
}

// Nacker decides when a lane asks whom for what it misses, all gaps in one request.
//
// A frame is first asked for after a reorder guard: as in RACK (RFC 8985) a short time that grows
// as soon as frames are seen to come late by themselves, up to a round trip, and shrinks again with
// every true loss. The random back-off over group sizes of RFC 5401 is left out on purpose:
// requests go to the sender alone, there are few replicas, and the back-off would cost several
// round trips.
//
// It is asked for again when the measured round trip (RFC 6298) is over: the second time in three
// requests an eighth of a round trip apart, since a lane stalls until then (on a lossy path the
// first time in two such); after that in intervals that double up to NackConfig.Cap. Repeats are
// cheap: a [Repairer] answers them once. From NackConfig.Patience requests on, replicas and the
// sender are asked in turn; at once if the sender said that it keeps the frame no longer.
//
// While nothing is missing it is never called: that is the comparison of two numbers.
type Nacker struct {
	cfg    NackConfig
	r      *Receiver
	shared *asking
	rng    random
	wants  []want // by slot
	seen   uint64 // missing frames below were noticed
	next   int64  // nothing is due before
	guard  int64
	trips  [2]roundTrip              // by class
	hold   [2]int64                  // by class: no request before
	gone   [1 + wire.MaxSeats]uint64 // by target + 1: frames below are kept no longer
	lossy  bool                      // see measure
	lost   uint64                    // frames asked for since frame `since`
	since  uint64
	n      NackCounters
}

// longestTrip is the longest round trip that is believed, in NackConfig.Cap. An answer that was awaited
// for longer tells how long the network was cut, and asking again only after such a time would go on
// with it.
const longestTrip = 1

// A request goes to one of two classes of targets, the sender or replicas.
const (
	toOrigin = 0
	toPeer   = 1
)

func (t Target) class() int {
	if t == Origin {
		return toOrigin
	}
	return toPeer
}

func newNacker(cfg NackConfig, r *Receiver, shared *asking) *Nacker {
	n := &Nacker{cfg: cfg, r: r, shared: shared, rng: r.name.seed(cfg.Seed), guard: cfg.Floor,
		wants: make([]want, len(r.slots)), seen: r.next, next: Never}
	n.trips = [2]roundTrip{guessed(cfg.Guess), guessed(cfg.Guess)}
	return n
}

// Nacker is what asks for this lane's repairs, or nil if Config.Nack is not enabled.
func (r *Receiver) Nacker() *Nacker { return r.nack }

// Counters reads the counters.
func (n *Nacker) Counters() NackCounters { return n.n }

// RoundTrip is the time in ns from a request to the sender until its repair arrives; a guess until
// one was measured. A [Repairer] wants to know it.
func (n *Nacker) RoundTrip() int64 { return n.trips[toOrigin].mean }

// Guard is how long, in ns, a frame may be late before it is asked for.
func (n *Nacker) Guard() int64 { return n.guard }

// Hint suggests a round trip to the sender, in ns, that was measured by other means. It counts
// until a repair measures one.
func (n *Nacker) Hint(rtt int64) {
	if t := &n.trips[toOrigin]; !t.measured && rtt > 0 {
		*t = guessed(rtt)
	}
}

// Next is when Due should be called next, as far as is known now, or [Never].
func (n *Nacker) Next() int64 {
	switch {
	case !n.r.Missing():
		return Never
	case n.seen < n.r.reach():
		return 0 // what is missing was not even looked at
	}
	return n.next
}

// Due appends to dst, up to its capacity, the gaps to be asked for now and says whom to ask, in one
// request; Nobody if nothing is due. Call it for the lanes that [Ingest.Gapped] names, until it
// says Nobody, after each burst of frames and when Next says so.
func (n *Nacker) Due(now int64, dst []Gap) (Target, []Gap) {
	if !n.r.Missing() {
		return Nobody, dst
	}
	n.notice(now)
	if now < n.next || len(dst) == cap(dst) {
		return Nobody, dst
	}
	whom := n.pick(now)
	if whom == Nobody {
		return Nobody, dst
	}
	if !n.shared.budget.Take(now, 1) {
		n.n.Deferred++
		n.next = n.shared.budget.Ready(now, 1)
		return Nobody, dst
	}
	n.n.Requests++
	n.hold[whom.class()] = now + max(n.cfg.Floor, n.trips[whom.class()].mean/64)
	return whom, n.fill(now, whom, dst)
}

// notice starts the guard of frames that were not missing before.
func (n *Nacker) notice(now int64) {
	n.seen = max(n.seen, n.r.mark.Frames)
	end := n.r.reach()
	if n.seen >= end {
		return
	}
	n.measure()
	due := now + n.guard + n.rng.upTo(n.guard/4)
	for n.seen < end {
		g := n.r.gap(n.seen, end)
		for f := g.From; f < g.To; f++ {
			*n.want(f) = want{frame: uint32(f + 1), first: now, due: due}
			n.next = min(n.next, due)
		}
		n.seen = g.To
	}
}

// measure tells a lossy path from others: one on which two of a hundred frames or more must be
// asked for. Requests and repairs are as likely to be lost there, so the first request is made
// twice.
func (n *Nacker) measure() {
	if span := n.r.next - n.since; span >= 256 {
		n.lossy = n.lost*50 >= span
		n.lost, n.since = 0, n.r.next
	}
}

func (n *Nacker) want(frame uint64) *want { return &n.wants[frame&n.r.mask] }

// each calls do with every missing frame that could be held if it came, lowest first, until do
// returns false. Frames that a full arena would refuse are not asked for, but for the frame at the
// mark, which makes its own room.
func (n *Nacker) each(now int64, do func(frame uint64, w *want) bool) (whole bool) {
	room := n.r.room()
	end := n.r.reach()
	for at := n.r.mark.Frames; at < end; {
		g := n.r.gap(at, end)
		for f := g.From; f < g.To; f++ {
			if room <= 0 && f != n.r.mark.Frames {
				return false
			}
			room--
			w := n.want(f)
			if w.frame != uint32(f+1) { // it was held, and evicted
				*w = want{frame: uint32(f + 1), first: now, due: now}
			}
			if !do(f, w) {
				return true
			}
		}
		at = g.To
	}
	return true
}

// room estimates how many frames the arena can still take, those that may be released counted in.
func (r *Receiver) room() int {
	size := wire.MaxFrame + 2*arenaWord
	if held := int(r.Held()); held > 0 {
		size = min(size, r.arena.used()/held+2*arenaWord)
	}
	return (r.cfg.Arena-r.arena.used())/size + int(r.spare-r.trimmed)
}

// pick finds whom the lowest frame that is due is to be asked from, and when something falls due if
// nothing is.
func (n *Nacker) pick(now int64) (whom Target) {
	whom, n.next = Nobody, Never
	whole := n.each(now, func(f uint64, w *want) bool {
		target := n.target(f, w.asks)
		if target == Nobody {
			n.next = min(n.next, now+n.cfg.Cap)
			return true
		}
		due := max(w.due, n.hold[target.class()])
		if due > now {
			n.next = min(n.next, due)
			return true
		}
		whom = target
		return false
	})
	if !whole {
		n.n.NoRoom++
		n.next = min(n.next, now+max(20*n.cfg.Floor, n.trips[toOrigin].mean/4))
	}
	return whom
}

// fill asks whom for everything due, and for what was asked before and is nearly due.
func (n *Nacker) fill(now int64, whom Target, dst []Gap) []Gap {
	soon := now + n.trips[whom.class()].mean/16
	jitter := n.rng.upTo(256) // one for all, so that they stay together
	n.next = now
	whole := n.each(now, func(f uint64, w *want) bool {
		if w.due > now && (w.asks == 0 || w.due > soon) || n.target(f, w.asks) != whom {
			return true
		}
		if k := len(dst); k > 0 && dst[k-1].To == f {
			dst[k-1].To++
		} else if k < cap(dst) {
			dst = append(dst, Gap{From: f, To: f + 1})
		} else {
			return false
		}
		n.asked(now, whom, w, jitter)
		return true
	})
	if !whole {
		n.n.NoRoom++
	}
	return dst
}

// asked notes a request for a frame and sets when it is repeated.
func (n *Nacker) asked(now int64, whom Target, w *want, jitter int64) {
	n.n.Asked++
	if w.asks == 0 {
		w.first, w.peer = now, whom != Origin
		if !n.lossy {
			w.stage = 1
		}
		n.lost++
	} else {
		n.n.Again++
	}
	w.asks = min(w.asks+1, maxAsks)
	if whom != Origin {
		n.n.PeerAsked++
	}
	interval := n.interval(int(w.stage), &n.trips[whom.class()])
	w.due = now + interval + interval/16*jitter/256
	w.stage = min(w.stage+1, maxAsks)
}

// interval is the time from one request for a frame to the next. Stage 0, on a lossy path, and
// stage 1 are the first request, stages 2 to 4 the second, made three times.
func (n *Nacker) interval(stage int, trip *roundTrip) int64 {
	timeout := trip.timeout(n.cfg.Floor)
	switch {
	case stage == 0 || stage == 2 || stage == 3:
		return max(trip.mean/8, n.cfg.Floor)
	case stage > 4:
		timeout = max(timeout, min(timeout<<min(stage-4, 16), n.cfg.Cap))
	}
	return timeout
}

// target says whom to ask for a frame that was asked for so many times; Nobody if all that could
// hold it said that they do not.
func (n *Nacker) target(frame uint64, asks uint8) Target {
	origin := frame >= n.gone[0]
	if origin && int(asks) < n.cfg.Patience {
		return Origin
	}
	seats := n.holders(frame)
	count := bits.OnesCount16(seats)
	turns := count
	if origin {
		turns++
	}
	if turns == 0 {
		return Nobody
	}
	turn := (int(asks) + int(n.r.name.ID)) % turns // not all lanes ask the same replica
	if turn == count {
		return Origin
	}
	for ; turn > 0; turn-- {
		seats &= seats - 1
	}
	return Target(bits.TrailingZeros16(seats))
}

// holders are the replicas that did not say that a frame is gone.
func (n *Nacker) holders(frame uint64) (seats uint16) {
	for left := n.shared.peers; left != 0; left &= left - 1 {
		seat := bits.TrailingZeros16(left)
		if seat < wire.MaxSeats && frame >= n.gone[1+seat] {
			seats |= 1 << seat
		}
	}
	return seats
}

// Gone takes the answer that all frames below a number are kept no longer by the one who was asked.
func (n *Nacker) Gone(from Target, below uint64) {
	i := int(from) + 1
	if i < 0 || i >= len(n.gone) {
		return
	}
	n.n.GoneAnswer++
	n.gone[i] = max(n.gone[i], below)
	for at, end := n.r.mark.Frames, min(below, n.seen, n.r.reach()); at < end; { // others may be asked now
		g := n.r.gap(at, end)
		for f := g.From; f < g.To; f++ {
			if w := n.want(f); w.asks > 0 {
				w.due = 0
			}
		}
		at = g.To
	}
	n.next = 0
}

// Unrepairable is the range of missing frames that neither the sender nor any replica keeps, if
// there is one: only a snapshot brings this replica further (R17).
func (n *Nacker) Unrepairable() (Gap, bool) {
	at := n.r.mark.Frames
	if !n.r.Missing() || n.target(at, maxAsks) != Nobody {
		return Gap{}, false
	}
	end := n.gone[0]
	for left := n.shared.peers; left != 0; left &= left - 1 {
		if seat := bits.TrailingZeros16(left); seat < wire.MaxSeats {
			end = min(end, n.gone[1+seat])
		}
	}
	return Gap{From: at, To: min(end, n.r.next)}, true
}

// Observe takes a frame that was accepted while the lane missed frames; [Ingest.Frame] calls it.
// again tells that it is a repair.
func (n *Nacker) Observe(now int64, frame uint64, again bool) {
	w := n.want(frame)
	if w.frame != uint32(frame+1) {
		return // nobody missed it
	}
	w.frame = 0
	switch {
	case !again:
		n.late(now-w.first, w.asks > 0)
	case w.asks == 0:
		n.n.Overheard++
	default:
		n.answered(now-w.first, w)
	}
}

// answered learns from a repair that was asked for.
func (n *Nacker) answered(since int64, w *want) {
	n.n.Answered++
	if w.asks > 1 {
		n.n.Unclear++
	}
	trip := &n.trips[toOrigin]
	if w.peer {
		trip = &n.trips[toPeer]
	}
	trip.answered(min(since, longestTrip*n.cfg.Cap), w.asks)
	n.guard -= (n.guard - n.cfg.Floor) / 32
}

// late learns from a frame that came by itself some time after it was missed, or asked for.
func (n *Nacker) late(by int64, asked bool) {
	n.n.Reordered++
	if asked {
		n.n.Needless++
		by += n.guard
	}
	longest := max(n.cfg.Floor, n.trips[toOrigin].mean)
	n.guard = max(n.guard, min(by+by/4, longest))
}
