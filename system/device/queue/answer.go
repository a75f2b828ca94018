package queue

// Effects is what the caller must do after an answer.
type Effects struct {
	// Bury these operations: make them durable as dead letters, then [Core.Buried].
	Bury []Dead
	// Identity: the sessions changed and must be made durable before the next step.
	Identity bool
	// Fenced: nothing is sent any more, and the next life must know it.
	Fenced bool
	// Move: the edge cannot serve us, try another.
	Move bool
	// Progress: marks or operations moved, so that waiters may be served.
	Progress bool
	// Accepted is the batch that the edge took.
	Accepted *Batch
	// Ceded operations were left to a living copy of this queue.
	Ceded bool
}

// Answer takes the reply to the step before, an Ask or a Send. fresh is a session to begin if the
// answer shows that our numbers cannot be trusted any more; only its random parts and epoch count.
func (c *Core) Answer(now int64, r *Reply, fresh Session) (fx Effects) {
	asked := c.asking
	c.outcome, c.why = r.Outcome, r.Why
	if r.Edge != "" {
		c.edge = r.Edge
	}
	switch o := r.Outcome; {
	case o == Accepted:
		c.accepted(now, r, asked, fresh, &fx)
	case o == Fenced:
		c.fenced(asked, r, &fx)
	case asked, c.out == nil:
		c.failed(now, r)
		fx.Move = o == Unavailable || o == Denied || o == Elsewhere
	case o == Refused && len(r.Refusals) > 0:
		c.refused(r.Refusals, &fx)
	case o == Gap, o == Stale:
		c.gap(now, r)
	case o == TooLarge, o == Invalid, o == Refused:
		c.split(r, &fx)
	default:
		if o == Unavailable {
			c.sentTop = max(c.sentTop, c.out.Last) // perhaps
		}
		c.failed(now, r)
		fx.Move = true
	}
	return fx
}

// gap asks what the edge has. One that contradicts itself is not asked in a tight loop.
func (c *Core) gap(now int64, r *Reply) {
	c.out = nil
	c.askAgain()
	if c.gaps++; c.gaps > 1 {
		c.failed(now, r)
	}
}

// failed waits before the next try.
func (c *Core) failed(now int64, r *Reply) {
	c.asking = false
	c.counters.Retries++
	c.retryAt = now + c.retry.fail(r.RetryAfter)
	if r.TimedOut {
		c.out, c.limit = nil, max(1, c.limit/2)
	}
}

func (c *Core) accepted(now int64, r *Reply, asked bool, fresh Session, fx *Effects) {
	fx.Progress = true
	c.retry.reset()
	c.probeAt = Never
	if asked {
		c.heard(r, fresh, fx)
		c.asking = c.ask < len(c.sessions)
		c.met = c.met || !c.asking
		c.incarnation = r.Incarnation
	} else if c.out != nil {
		c.taken(r, fx)
		c.limit = min(c.cfg.Ops, c.limit*2)
		if r.Incarnation != c.incarnation {
			c.askAgain()
		}
	}
	c.mark(r.Marks)
	c.rearm(now)
	c.arm(now)
}

// arm decides when to ask for marks.
func (c *Core) arm(now int64) {
	switch {
	case c.beyond > 0:
		c.probeAt = now + c.cfg.ProbeAwaited
	case c.floor < c.next && (c.marks.Can[BackedUp] || c.marks.Can[Quorum]):
		c.probeAt = now + c.cfg.Probe
	}
}

// mark notes what the edge said about marks. A mark counts numbers of all sessions: a backup that
// holds a later session's numbers holds those before.
func (c *Core) mark(m Marks) {
	for _, k := range []Mark{BackedUp, Quorum} {
		c.marks.Can[k] = m.Can[k]
		c.marks.At[k] = min(m.At[k], c.high)
	}
	c.marks.Can[Edge], c.marks.At[Edge] = true, c.high
}

// taken is an accepted request.
func (c *Core) taken(r *Reply, fx *Effects) {
	b := c.out
	c.out, fx.Accepted, c.gaps = nil, b, 0
	for i := range b.Ops {
		op := &b.Ops[i]
		c.counters.Sent++
		c.counters.SentBytes += uint64(len(op.Key) + len(op.Value))
		if op.Number <= c.replay {
			c.counters.Replayed++
		}
	}
	for _, res := range r.Results {
		if res.Duplicate {
			c.counters.Duplicates++
		}
	}
	c.high = max(c.high, b.Last)
	if b.Last < c.next { // given up by policy meanwhile
		return
	}
	c.finish(b)
}

// heard is what the edge has of session c.ask.
func (c *Core) heard(r *Reply, fresh Session, fx *Effects) {
	k, before := c.ask, c.high
	current := k == len(c.sessions)-1
	bound := max(c.sentBound, c.sentTop, c.high, c.sessions[k].From-1)
	switch believed := c.prev(k); {
	case current && r.High > bound:
		c.rotate(bound, fresh)
		fx.Identity = true
	case r.High < believed:
		c.rewind(max(r.High, c.sessions[k].From-1))
		c.ask = len(c.sessions)
	default:
		c.forward(k, min(r.High, c.end(k)))
	}
	if c.high != before {
		c.out = nil
	}
}

// forward notes what the edge has of session k, and goes on to the next session if that is all of
// it.
func (c *Core) forward(k int, high uint64) {
	if high > c.high {
		c.high = high
		c.advance(high, nil)
	}
	if c.ask++; c.next <= c.end(k) {
		c.ask = len(c.sessions)
	}
}

// rotate begins a session for all that was never sent: the edge knows numbers that we do not
// remember to have sent, so the disk was set back or has lost what it had called durable.
func (c *Core) rotate(bound uint64, fresh Session) {
	if c.next >= c.sessions[len(c.sessions)-1].From {
		c.high = max(c.high, bound)
		c.advance(bound, nil)
	}
	c.begin(bound+1, fresh)
}

// begin appends a session, in place of the last if that one is empty.
func (c *Core) begin(from uint64, fresh Session) {
	fresh.From = from
	if last := len(c.sessions) - 1; c.sessions[last].From >= from {
		c.sessions = c.sessions[:last]
	}
	c.sessions = append(c.sessions, fresh)
	c.out, c.asking = nil, false
	c.askAgain()
}

// rewind sends again what the edge has lost and we still keep.
func (c *Core) rewind(high uint64) {
	c.replay = max(c.replay, c.next-1)
	if high+1 < c.floor {
		c.counters.Lost += c.floor - high - 1
	}
	c.high = high
	c.next = max(high+1, c.floor)
	c.out = nil
	if p, err := c.sums(c.next - 1); err == nil {
		c.done = p
	}
}

// refused takes out the operations that the edge will never execute.
func (c *Core) refused(list []Refusal, fx *Effects) {
	for _, r := range list {
		if r.Index >= 0 && r.Index < len(c.out.Ops) {
			fx.Bury = append(fx.Bury, Dead{c.out.Ops[r.Index], r})
		}
	}
	c.out, fx.Progress = nil, true
}

// Buried says that dead letters are durable.
func (c *Core) Buried(dead []Dead) {
	for i := range dead {
		c.dead[dead[i].Op.Number] = struct{}{}
		c.counters.Refused++
	}
}

// split looks for the one operation that makes a whole request impossible, by halves.
func (c *Core) split(r *Reply, fx *Effects) {
	if n := len(c.out.Ops); n > 1 {
		c.out, c.limit = nil, n/2
		return
	}
	status := 400
	if r.Outcome == TooLarge {
		status = 413
	}
	c.refused([]Refusal{{Status: status, Type: "about:blank", Why: r.Why}}, fx)
}

// fenced ends this life's sending, or leaves what a copied directory had taken along to the
// original.
func (c *Core) fenced(asked bool, r *Reply, fx *Effects) {
	k := c.session(c.next)
	if asked {
		k = c.ask
	}
	c.out, c.asking = nil, false
	if k == len(c.sessions)-1 {
		c.stop, c.rival = StopFenced, r.Epoch
		fx.Fenced = true
		return
	}
	c.high = max(c.high, c.end(k))
	c.advance(c.end(k), nil)
	c.ask = k + 1
	fx.Ceded, fx.Progress = true, true
}

// Adopt goes on after [StopFenced], because somebody decided that this copy of the queue is the
// one: it takes the session over for what earlier lives may have sent, and begins another for the
// rest. Of this life, what was sent and never answered, one request at most, may be executed twice;
// it would be lost otherwise.
func (c *Core) Adopt(fresh Session) {
	last := &c.sessions[len(c.sessions)-1]
	last.Epoch, last.Instance = max(last.Epoch, c.rival)+1, fresh.Instance
	c.begin(max(c.sentBound, c.high, last.From-1)+1, fresh)
	c.stop, c.retryAt, c.contacted = Going, 0, false
}

// SentBound is the highest number that may have been executed under our identity, for the next
// life.
func (c *Core) SentBound() uint64 {
	if c.stop == StopFenced {
		return max(c.sentBound, c.high)
	}
	return max(c.sentBound, c.high, c.sentTop)
}
