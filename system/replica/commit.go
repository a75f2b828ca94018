package replica

import (
	"fmt"
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

// batchFrames bounds the frames handed to the store at once, so that a decision over a million
// items neither needs buffers of its size nor keeps heartbeats waiting.
const batchFrames = 256

// Work is one batch for the store. Whoever drives the replica runs it, on a core of its own if
// there is one, and hands it back with Done; one is out at a time.
type Work struct {
	store    *store.Store
	batch    store.Batch
	answers  []store.Answer
	sources  []source // by span
	position uint64
	items    int
	parallel func(s *store.Store)
}

// source tells where a span's answers go.
type source struct {
	lane   *laneState
	first  []uint64 // by frame: number of its first item
	frame  uint64   // number of the first frame
	answer bool
	// partial: the last frame ends within a value; the rest of it belongs to the same span.
	partial bool
}

// Run applies the batch. It touches nothing but the store.
func (w *Work) Run() {
	if w.parallel == nil {
		w.answers = w.store.Apply(&w.batch)
		return
	}
	w.store.Prepare(&w.batch)
	w.parallel(w.store)
	w.answers = w.store.Finish()
}

// Items is how many items the batch holds.
func (w *Work) Items() int { return w.items }

// decided is a decision whose items wait to be applied, and the lanes' marks up to which.
type decided struct {
	position uint64
	decision order.Decision
	taken    []order.Mark // the part of the cut that is effective, ascending by lane
	next     int          // of taken: the lane being applied
	begun    bool
}

// commit takes one position of the agreed sequence: it decides what is effective and what the
// commands do. The items are applied later, by Work, in the same order.
func (r *Replica) commit(c order.Committed) error {
	if r.cfg.Observer != nil {
		r.cfg.Observer.Commit(r.cfg.Seat, c.Position, c.Decision)
	}
	if c.Members != nil {
		r.setMembers(*c.Members)
	}
	d := decided{position: c.Position}
	if c.Decision != nil {
		var err error
		if d.decision, err = order.DecodeDecision(c.Decision); err != nil {
			return fmt.Errorf("replica: position %d is agreed and cannot be read: %w", c.Position, err)
		}
	}
	r.state.time = max(r.state.time, d.decision.Time)
	d.decision.Time = r.state.time
	for _, m := range d.decision.Cut {
		l := r.find(m.Lane)
		if l == nil || !l.open && !mutate.On(mutate.JudgeAtPropose) || m.Items <= l.cut.Items {
			continue // void, or covered already: the effective cut is the maximum (R6)
		}
		if r.holds(&m) != order.Held && !mutate.On(mutate.SkipGate) {
			// The gate let nothing pass that is not held, and nothing above a cut is trimmed (I1, I3).
			return fmt.Errorf("replica: position %d takes lane %d to item %d, which is not held: %+v", c.Position,
				m.Lane, m.Items, l.recv.Mark())
		}
		r.committedItems += m.Items - l.cut.Items
		l.cut = m
		l.dirty, r.dirty = true, true
		d.taken = append(d.taken, m)
	}
	if mutate.On(mutate.LanesReordered) && r.cfg.Seat%2 == 1 {
		slices.Reverse(d.taken)
	}
	r.rounds++
	if len(d.taken) > 0 {
		r.counts.Cuts++
	}
	for i := range d.decision.Commands {
		if mutate.On(mutate.CloseAtHeld) {
			r.takeHeld(&d, &d.decision.Commands[i])
		}
		if err := r.execute(&d.decision.Commands[i]); err != nil {
			return err
		}
	}
	r.queue = append(r.queue, d)
	return nil
}

// stepBack is a mutation: the last frame of a cut is applied again with the next one.
func (l *laneState) stepBack() {
	if l.applied.Frames <= l.recv.Trimmed() {
		return
	}
	if f := l.recv.Frame(l.applied.Frames - 1); f != nil {
		var h wire.Header
		h.Get(f)
		l.applied.Frames--
		l.applied.Items -= uint64(h.Count)
	}
}

// takeHeld is a mutation: it closes lanes at what happens to be held here.
func (r *Replica) takeHeld(d *decided, c *order.Command) {
	for _, l := range r.lanes {
		closes := c.Kind == order.OpenLanes || c.Kind == order.OpenLanesFrom || c.Kind == order.CloseProxy
		if l.open && l.proxy == c.Proxy && closes {
			if m, ok := l.whole(l.recv.Mark().Frames); ok && m.Items > l.cut.Items {
				l.cut = m
				d.taken = append(d.taken, m)
			}
		}
	}
}

// execute carries out a command. It runs after the decision's own cut, so that a lane closes at the
// effective cut of this position (R19).
func (r *Replica) execute(c *order.Command) error {
	r.round.applied(c)
	switch c.Kind {
	case order.OpenLanes, order.OpenLanesFrom:
		return r.openLanes(c)
	case order.CloseProxy:
		if p := r.state.proxy(c.Proxy); p != nil && p.open && p.incarnation == c.Incarnation {
			r.state.close(p, true)
			r.shut(c.Proxy)
			r.tellFenced(p, 0)
		}
	case order.MintLife:
		r.state.mint(int(c.Seat), c.Nonce)
		r.tellJoined(int(c.Seat))
	case order.SetLimits:
		return r.setLimits(c.Limits)
	case order.SetFeature:
		if c.Level > r.cfg.Feature {
			return fmt.Errorf("replica: %w: feature level %d is agreed, this build knows %d", ErrNewer, c.Level,
				r.cfg.Feature)
		}
		r.state.raise(c.Level)
	case order.AdmitSeat, order.RetireSeat:
		return r.seat(c)
	}
	return nil
}

// knows is why a command cannot be carried out that needs a feature level, or nil.
func (r *Replica) knows(c *order.Command, level uint32) error {
	if r.cfg.Feature >= level {
		return nil
	}
	return fmt.Errorf("replica: %w: a command of kind %d is agreed, which this build does not know", ErrNewer,
		c.Kind)
}

// openLanes begins a proxy's next incarnation.
func (r *Replica) openLanes(c *order.Command) error {
	if c.Kind == order.OpenLanesFrom {
		if err := r.knows(c, featureFirst); err != nil {
			return err
		}
	}
	p, changed := r.state.open(c.Proxy, c.Nonce, c.Lanes, c.Incarnation)
	if changed {
		r.shut(c.Proxy)
		for i := range p.lanes {
			if err := r.admit(r.state.lane(p.first + order.LaneID(i))); err != nil {
				return err
			}
		}
	}
	r.tellOpened(p)
	r.tellFenced(p, 0)
	return nil
}

// seat admits or retires a seat.
func (r *Replica) seat(c *order.Command) error {
	if err := r.knows(c, featureSeats); err != nil {
		return err
	}
	if r.state.feature < featureSeats {
		return nil // proposed before the level was known to be there: void, everywhere
	}
	if c.Kind == order.AdmitSeat {
		r.state.lives[c.Seat].admitted = true
	} else {
		r.state.retire(int(c.Seat))
	}
	return nil
}

// Work returns the next batch to apply, or nil if there is none or one is out.
func (r *Replica) Work() *Work {
	if r.working || r.failed != nil {
		return nil
	}
	for len(r.queue) > 0 {
		d := &r.queue[0]
		w := &r.work
		w.store, w.position, w.items, w.parallel = r.store, d.position, 0, r.Parallel
		w.batch = store.Batch{Index: r.store.Index() + 1, Time: d.decision.Time, Spans: w.batch.Spans[:0]}
		w.sources = w.sources[:0]
		if !d.begun {
			d.begun = true
			w.batch.ExpireBefore = expiry(&d.decision)
			if mutate.On(mutate.ExpireByLocalTime) && r.cfg.Store.SessionTTL > 0 {
				w.batch.ExpireBefore = uint64(r.now / r.cfg.Tick)
			}
		}
		for room := batchFrames; room > 0 && d.next < len(d.taken); {
			room -= r.addSpan(w, d, room)
		}
		if len(w.batch.Spans) > 0 || w.batch.ExpireBefore > 0 {
			r.working = true
			if r.cfg.Observer != nil {
				r.cfg.Observer.Batch(r.cfg.Seat, w.position, &w.batch)
			}
			return w
		}
		r.finish(d.position)
	}
	return nil
}

func expiry(d *order.Decision) uint64 {
	before := uint64(0)
	for i := range d.Commands {
		if d.Commands[i].Kind == order.ExpireSessions {
			before = max(before, d.Commands[i].Before)
		}
	}
	return before
}

// addSpan adds up to room frames of the lane being applied, as far as they ask the same replica to
// answer, and returns how many.
func (r *Replica) addSpan(w *Work, d *decided, room int) int {
	m := &d.taken[d.next]
	l := r.find(m.Lane)
	if mutate.On(mutate.ApplyTwice) {
		l.stepBack()
	}
	w.batch.Spans, w.sources = grow(w.batch.Spans), grow(w.sources)
	span, src := &w.batch.Spans[len(w.batch.Spans)-1], &w.sources[len(w.sources)-1]
	*span = store.Span{Lane: uint32(l.id), First: l.applied.Items, Payloads: span.Payloads[:0]}
	*src = source{lane: l, frame: l.applied.Frames, first: src.first[:0]}
	var h wire.Header
	n := 0
	for ; n < room && l.applied.Frames < m.Frames; n++ {
		f := l.recv.Frame(l.applied.Frames)
		h.Get(f)
		answer := r.answers(&h)
		// A fragmented value is one item, and stays in one span.
		if n > 0 && answer != src.answer && !src.partial {
			break
		}
		if n == 0 {
			src.answer = answer
		}
		src.first = append(src.first, h.First)
		span.Payloads = append(span.Payloads, wire.Items(f))
		src.partial = h.Count == 0
		if src.partial && n == room-1 {
			room++
		}
		w.items += int(h.Count)
		l.applied.Items += uint64(h.Count)
		l.applied.Frames++
	}
	span.Answer = src.answer
	if l.applied.Frames == m.Frames {
		l.applied = *m
		d.next++
	}
	return n
}

func grow[T any](s []T) []T {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	var zero T
	return append(s, zero)
}

// answers reports whether this replica is the one a frame asks to answer.
func (r *Replica) answers(h *wire.Header) bool {
	if seat, ok := h.Responder(); ok {
		return seat == r.cfg.Seat
	}
	return r.status.Leader == r.id
}

// Done takes back a batch that was run, and answers it.
func (r *Replica) Done(w *Work) {
	r.working = false
	if r.cfg.StoreBytes > 0 {
		r.seen.StoreBytes = r.store.Bytes()
	}
	r.appliedItems += uint64(w.items)
	at := 0
	span := -1
	for i := range w.answers {
		a := &w.answers[i]
		if a.Span != span {
			span, at = a.Span, 0
		}
		src := &w.sources[a.Span]
		for at+1 < len(src.first) && src.first[at+1] <= a.Number {
			at++
		}
		r.answer(src, src.frame+uint64(at), a)
	}
	clear(w.answers)
	w.answers = nil
	if d := &r.queue[0]; d.next == len(d.taken) {
		r.finish(d.position)
	}
	r.barriers()
}

// answer keeps an answer until its proxy has it, and sends it if this replica was asked.
func (r *Replica) answer(src *source, frame uint64, a *store.Answer) {
	l := src.lane
	if !l.open && !src.answer {
		return
	}
	r.scratch = wire.AppendAnswer(r.scratch[:0], a.Number, a.Index, &a.Result)
	if l.open {
		l.results.add(a.Number, frame, r.scratch, r.cfg.ResultBytes)
	}
	if src.answer && !r.replays {
		r.reply(l, r.scratch)
	}
}

// finish ends the application of a position.
func (r *Replica) finish(position uint64) {
	r.queue[0] = decided{}
	r.queue = r.queue[1:]
	r.applied = position
	r.orderer.Applied(position)
	r.mark(position)
	r.noteHash(position)
	r.barriers()
}
