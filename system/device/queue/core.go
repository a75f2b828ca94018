package queue

import "math"

// Never is later than any time.
const Never = math.MaxInt64

// Config bounds requests and says how long to wait. Times are nanoseconds.
type Config struct {
	Ops, Bytes            int   // of a request, at most
	Linger                int64 // how long an operation waits for company
	RetryLeast, RetryMost int64
	// Probe is how often an idle queue asks for marks while it keeps operations for a restored edge;
	// ProbeAwaited, while somebody waits for a mark beyond Edge.
	Probe, ProbeAwaited int64
	Keep                uint64 // bytes kept behind the edge mark, at most
	Limit               uint64 // bytes of operations that are not finished, at most
	Rules               Rules
	Seed                uint64
}

// Core decides. It is used by one goroutine at a time. Its methods' now is monotonic and does not
// go back.
type Core struct {
	cfg    Config
	log    Log
	index  *Index
	ledger ledger
	retry  retry

	sessions  []Session
	sentBound uint64 // no earlier life sent a number above this
	sentTop   uint64 // the highest that this life sent without an answer
	contacted bool   // the identity on disk says that this life sends

	last    uint64 // newest operation
	durable uint64 // records up to here are on disk
	fence   uint64 // newest operation that nothing may be displaced across
	high    uint64 // the edge has numbers up to here
	next    uint64 // the first number that is not finished
	floor   uint64 // the first number that is kept
	done    point  // sums below next
	replay  uint64 // numbers up to here were at an edge once

	marks    Marks
	counters Counters
	dead     map[uint64]struct{} // refused, not below floor
	awaited  map[uint64]int
	dropped  map[uint64]struct{} // awaited, and gave way
	proven   map[string]uint64   // keys under LatestOnly: numbers that were seen to be their newest

	provenSize int    // bytes of it, counting each time a key was put there
	beyond     int    // who waits for BackedUp or Quorum
	urged      uint64 // somebody waits for operations up to here

	out     *Batch // sent or about to be sent
	ask     int    // session to ask about next; len(sessions) = none
	asking  bool   // the step before was Ask, or one of a row of them
	met     bool   // an edge has said in this life what it has
	gaps    int    // in a row
	behind  bool   // newer would have said yes to what is not durable yet
	rival   uint64 // the epoch that fenced us
	limit   int    // operations of the next request
	due     int64
	retryAt int64
	probeAt int64
	stop    Stop

	edge, incarnation string
	why               string // of the last failure
	outcome           Outcome
}

// Stop is why nothing is sent until somebody decides.
type Stop uint8

// The reasons to stop.
const (
	Going Stop = iota
	StopFenced
	StopDeadFull
	StopAdopting // for the moment in which the caller makes a new identity durable
)

// New returns a core over a log whose records are then given to [Core.Recover].
func New(cfg Config, log Log) *Core {
	return &Core{
		cfg: cfg, log: log, index: NewIndex(cfg.Seed), limit: cfg.Ops,
		retry: retry{least: cfg.RetryLeast, most: cfg.RetryMost, state: cfg.Seed},
		next:  1, floor: 1, due: Never, probeAt: Never,
		dead: make(map[uint64]struct{}), awaited: make(map[uint64]int), dropped: make(map[uint64]struct{}),
		proven: make(map[string]uint64),
	}
}

// Begin says as whom this life sends: the last session is its own. sentBound is the highest number
// that an earlier life may have sent.
func (c *Core) Begin(sessions []Session, sentBound uint64) {
	c.sessions, c.sentBound = sessions, sentBound
}

// Fence says that an earlier life was fenced, by this epoch, and that nobody has decided yet.
func (c *Core) Fence(epoch uint64) { c.stop, c.rival = StopFenced, epoch }

// Recover takes in one record of the log as found at the start. Records that mean nothing are an
// error; the caller counts them and goes on.
func (c *Core) Recover(number uint64, record []byte) error {
	if RecordKind(record) == KindMark {
		n, err := DecodeNote(record)
		if err == nil {
			c.marks, c.counters, c.next = n.Marks, n.Counters, n.Next
			c.high = n.Marks.At[Edge]
		}
		return err
	}
	op := Op{Number: number}
	if err := DecodeOp(record, &op); err != nil {
		return err
	}
	c.note(&op, len(record))
	return nil
}

// Recovered ends recovery. first is the log's first number, durable its last, and dead are the
// refused operations, dead letters already.
func (c *Core) Recovered(first, durable uint64, dead []uint64) error {
	c.floor, c.durable = first, durable
	c.next = max(c.next, first)
	for _, n := range dead {
		if n >= first {
			c.dead[n] = struct{}{}
		}
	}
	if c.last >= c.next {
		c.due = 0
	}
	c.askAgain()
	var err error
	c.done, err = c.sums(c.next - 1)
	return err
}

// Enqueue takes in an operation that was just appended as a record of size bytes.
func (c *Core) Enqueue(now int64, op *Op, size int) {
	c.note(op, size)
	if c.due == Never {
		c.due = now + c.cfg.Linger
	}
}

func (c *Core) note(op *Op, size int) {
	c.last = op.Number
	c.ledger.add(op.Number, size)
	if op.plain() {
		c.index.Add(c.index.Hash(op.Key), op.Number)
	} else {
		c.fence = op.Number
	}
	c.counters.Enqueued++
	c.counters.EnqueuedBytes += uint64(len(op.Key) + len(op.Value))
}

// Synced says that records up to number are durable.
func (c *Core) Synced(number uint64) { c.durable = max(c.durable, number) }

// Await says that somebody waits until the operation has reached a mark beyond Local: it is not
// displaced any more, and sent without lingering.
func (c *Core) Await(now int64, number uint64, mark Mark) {
	c.awaited[number]++
	c.urged = max(c.urged, number)
	if mark > Edge {
		c.beyond++
		c.probeAt = min(c.probeAt, now+c.cfg.ProbeAwaited)
	}
}

// Leave ends what Await began.
func (c *Core) Leave(number uint64, mark Mark) {
	if c.awaited[number]--; c.awaited[number] <= 0 {
		delete(c.awaited, number)
		delete(c.dropped, number)
	}
	if mark > Edge {
		c.beyond--
	}
}

// Moved says that requests go to another edge from now on: what it has must be asked.
func (c *Core) Moved() { c.askAgain() }

// Contacted says that the identity on disk tells that this life sends.
func (c *Core) Contacted() { c.contacted = true }

// Halt stops sending until Resume.
func (c *Core) Halt(s Stop) { c.stop = s }

// Resume goes on, at once.
func (c *Core) Resume() { c.stop, c.retryAt = Going, 0 }

// Hurry drops what is left of a wait: the network is believed to be back.
func (c *Core) Hurry() { c.retryAt = 0 }

// session returns the index of the session that number belongs to.
func (c *Core) session(number uint64) int {
	k := len(c.sessions) - 1
	for k > 0 && c.sessions[k].From > number {
		k--
	}
	return k
}

// end returns the last number of session k.
func (c *Core) end(k int) uint64 {
	if k+1 < len(c.sessions) {
		return c.sessions[k+1].From - 1
	}
	return math.MaxUint64
}

// prev is what the edge is believed to have of session k.
func (c *Core) prev(k int) uint64 {
	if high := min(c.high, c.end(k)); high >= c.sessions[k].From {
		return high
	}
	return 0
}

func (c *Core) askAgain() { c.ask = c.session(min(c.floor, c.next)) }

// sums returns the sums over all operations up to number.
func (c *Core) sums(number uint64) (point, error) {
	p := c.ledger.before(number)
	if p.number == number {
		return p, nil
	}
	err := c.log.Read(max(p.number+1, c.floor), func(n uint64, record []byte) bool {
		if n > number {
			return false
		}
		if RecordKind(record).isOp() {
			p.ops++
			p.bytes += uint64(len(record)) + recordOverhead
		}
		return true
	})
	p.number = number
	return p, err
}
