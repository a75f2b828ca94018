package queue

// Step is what the caller is to do next.
type Step struct {
	Do Do
	// At is when to ask again, for Wait; Never = when something happens.
	At int64
	// Session is for Ask.
	Session Session
	Plan    *Plan  // for Build; its functions are to be called under the caller's lock
	Batch   *Batch // for Send
}

// Do names a step.
type Do uint8

// The steps.
const (
	// Wait until Step.At, or until operations, durability or waiters are told.
	Wait Do = iota
	// Ask the edge what it has of a session; then [Core.Answer] the reply.
	Ask
	// Contact: make it durable that this life sends, then [Core.Contacted].
	Contact
	// Build the plan's request, without holding up who enqueues, then [Core.Built].
	Build
	// Send a request, then [Core.Answer] the reply.
	Send
)

// Next says what to do now.
func (c *Core) Next(now int64) Step {
	switch {
	case c.stop != Going:
		return Step{At: Never}
	case now < c.retryAt:
		return Step{At: c.retryAt}
	case c.ask < len(c.sessions) && c.wanted(now):
		return c.question()
	case !c.ready(now):
		return c.idle(now)
	case !c.contacted:
		return Step{Do: Contact}
	case c.out != nil:
		c.counters.Requests++
		return Step{Do: Send, Batch: c.out}
	}
	return Step{Do: Build, Plan: c.plan()}
}

// wanted reports whether there is a reason to talk to the edge at all.
func (c *Core) wanted(now int64) bool {
	return c.asking || c.ready(now) || now >= c.probeAt || c.floor < c.next && c.probeAt == Never ||
		!c.met && len(c.awaited) > 0
}

// ready reports whether a request should leave now.
func (c *Core) ready(now int64) bool {
	if c.out != nil {
		return true
	}
	if c.last < c.next || c.durable < c.next {
		return false
	}
	pending := c.ledger.total.ops - c.done.ops
	bytes := c.ledger.total.bytes - c.done.bytes
	return now >= c.due || c.urged >= c.next || pending >= uint64(c.limit) || bytes >= uint64(c.cfg.Bytes)
}

// idle waits for company to come, or for the time to ask for marks.
func (c *Core) idle(now int64) Step {
	if now >= c.probeAt {
		c.probeAt = Never
		c.askAgain()
		return c.question()
	}
	at := c.probeAt
	if c.last >= c.next && c.durable >= c.next {
		at = min(at, c.due)
	}
	return Step{At: at}
}

func (c *Core) question() Step {
	c.asking = true
	return Step{Do: Ask, Session: c.sessions[c.ask]}
}

func (c *Core) plan() *Plan {
	k := c.session(c.next)
	return &Plan{
		Session: c.sessions[k], Prev: c.prev(k), From: c.next, To: min(c.durable, c.end(k)),
		Ops: c.limit, Bytes: c.cfg.Bytes,
		Dead:  func(n uint64) bool { _, dead := c.dead[n]; return dead },
		Keep:  func(n uint64) bool { return c.awaited[n] > 0 },
		Newer: c.newer,
	}
}

// What is remembered of keys' newest operations takes at most so many bytes; provenBytes is what an entry
// takes besides its key, about.
const (
	maxProven   = 1 << 20
	provenBytes = 64
)

// newer reports whether a durable, later operation on the key makes the one at number unnecessary. The log
// is opened once for that operation, not for each that it makes unnecessary.
func (c *Core) newer(key []byte, number uint64) bool {
	newest, known := c.index.Newest(c.index.Hash(key))
	if !known || newest <= number || number <= c.fence {
		return false
	}
	if newest > c.durable {
		c.behind = true
		return false
	}
	if _, dead := c.dead[newest]; dead {
		return false
	}
	if c.proven[string(key)] == newest {
		return true
	}
	same := false
	err := c.log.Read(newest, func(n uint64, record []byte) bool {
		var op Op
		same = n == newest && DecodeOp(record, &op) == nil && string(op.Key) == string(key)
		return false
	})
	if err != nil || !same {
		return false
	}
	if c.provenSize += len(key) + provenBytes; c.provenSize > maxProven {
		clear(c.proven)
		c.provenSize = len(key) + provenBytes
	}
	c.proven[string(key)] = newest
	return true
}

// Built takes the request that a plan made, and reports whether there is something to send.
func (c *Core) Built(now int64, b *Batch) bool {
	switch {
	case b.Empty(): // all that was durable lies beyond a damaged stretch
		c.due = max(c.due, now+c.cfg.Linger)
		return false
	case len(b.Ops) == 0:
		c.finish(b)
		c.rearm(now)
		return false
	}
	c.out = b
	return true
}

// finish counts the operations of a batch that need not be sent any more.
func (c *Core) finish(b *Batch) {
	c.counters.Coalesced += uint64(b.Skipped)
	c.counters.CoalescedBytes += uint64(b.SkippedBytes)
	c.advance(b.Last, b)
}

// rearm sets when the next request leaves: at once if operations came meanwhile.
func (c *Core) rearm(now int64) {
	c.due = Never
	if c.last >= c.next {
		c.due = now
	}
}

// advance says that numbers up to n are finished.
func (c *Core) advance(n uint64, b *Batch) {
	if n < c.next {
		return
	}
	if b != nil && b.First == c.next && b.Last == n {
		c.done.ops += b.sum.ops
		c.done.bytes += b.sum.bytes
		c.done.number = n
	} else if p, err := c.sums(n); err == nil {
		c.done = p
	}
	c.ledger.pin(c.done)
	c.next = n + 1
}
