package queue

import "errors"

// What a waiter may be told instead of success.
var (
	ErrMarkUnavailable = errors.New("the edge cannot give this mark")
	ErrRefused         = errors.New("the edge refused the operation; it is among the dead letters")
	ErrDropped         = errors.New("the operation gave way to newer ones, as its prefix allows")
)

// Status is a picture of the queue.
type Status struct {
	Marks                   Marks
	Counters                Counters
	Last, Next, Floor       uint64 // newest operation; first unfinished; first kept
	Pending, PendingBytes   uint64 // not finished; bytes of their records
	KeptBytes               uint64 // behind the edge mark
	Sessions                []Session
	Stop                    Stop
	Outcome                 Outcome // of the last request
	Why, Edge, Incarnation  string  // of the last reply
	RetryAt                 int64   // monotonic ns
	Rival                   uint64  // the epoch that fenced us
	SentBound               uint64  // highest number that may have been sent
	Contacted, Asking, Idle bool
}

// Status returns a picture.
func (c *Core) Status() Status {
	return Status{
		Marks: c.Marks(), Counters: c.counters, Last: c.last, Next: c.next, Floor: c.floor,
		Pending: c.ledger.total.ops - c.done.ops, PendingBytes: c.ledger.total.bytes - c.done.bytes,
		KeptBytes: c.done.bytes - min(c.done.bytes, c.ledger.before(c.floor-1).bytes),
		Sessions:  append([]Session(nil), c.sessions...), Stop: c.stop,
		Outcome: c.outcome, Why: c.why, Edge: c.edge, Incarnation: c.incarnation, RetryAt: c.retryAt,
		Rival: c.rival, SentBound: c.SentBound(), Contacted: c.contacted, Asking: c.asking,
		Idle: c.last < c.next,
	}
}

// Marks returns how far each mark is.
func (c *Core) Marks() Marks {
	m := c.marks
	m.Can[Local], m.At[Local] = true, min(c.durable, c.last)
	return m
}

// Note is what to write to the log so that a restart knows this progress.
func (c *Core) Note() Note {
	return Note{Marks: c.marks, Next: c.next, Floor: c.floor, Counters: c.counters}
}

// Reached reports whether an operation has reached a mark. An error says that it never will.
func (c *Core) Reached(number uint64, mark Mark) (bool, error) {
	if _, dead := c.dead[number]; dead && mark != Local {
		return false, ErrRefused
	}
	if _, gone := c.dropped[number]; gone && mark != Local {
		return false, ErrDropped
	}
	return c.Passed(number, mark)
}

// Passed reports whether all operations up to number, but those refused or dropped, have reached a
// mark.
func (c *Core) Passed(number uint64, mark Mark) (bool, error) {
	m := c.Marks()
	switch {
	case mark == Local:
		return m.At[Local] >= min(number, c.last), nil
	case mark > Edge && m.Can[Edge] && !m.Can[mark]:
		return false, ErrMarkUnavailable
	case number >= c.next:
		return false, nil
	}
	// What lies between the edge's mark and next was never sent.
	return mark == Edge || m.At[mark] >= min(number, c.high), nil
}

// Stopped says why nothing is sent, if nothing is.
func (c *Core) Stopped() Stop { return c.stop }

// Find calls visit with the stretches of the log that may hold the newest unfinished plain
// operation on key, newest first, until visit returns true. See [Index.Find].
func (c *Core) Find(key []byte, visit func(from, to uint64) bool) {
	c.index.Find(c.index.Hash(key), func(from, to uint64) bool {
		return to < c.next || visit(max(from, c.next), to)
	})
}

// Last is the number of the newest operation, 0 if there was none.
func (c *Core) Last() uint64 { return c.last }

// Unfinished is the first number that is not finished.
func (c *Core) Unfinished() uint64 { return c.next }

// Floor is the first number that is kept.
func (c *Core) Floor() uint64 { return c.floor }

// Waits says why the edge is not asked at the moment; "" if nothing speaks against it.
func (c *Core) Waits(now int64) string {
	if now < c.retryAt && c.outcome == Unavailable {
		return c.why
	}
	return ""
}

// Flushed is Passed as this life has heard it from an edge: what an earlier one heard may no longer be so, if
// the edge was restored meanwhile.
func (c *Core) Flushed(number uint64, mark Mark) (bool, error) {
	passed, err := c.Passed(number, mark)
	return passed && (c.met || mark == Local), err
}
