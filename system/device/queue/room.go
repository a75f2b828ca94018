package queue

import "errors"

// What a caller is told when there is no room.
var (
	// ErrFull is wrapped when operations that are not finished take all the room there is. Trying
	// again helps once the edge has been reached.
	ErrFull = errors.New("queue full")
	// ErrBehind: there will be room as soon as the newest operation is durable.
	ErrBehind = errors.New("not yet durable")
)

// reserved is the part of the limit, in hundredths, that only acknowledgements may use.
const reserved = 2

// Admit reports whether an operation with a record of size bytes fits.
func (c *Core) Admit(size int) bool {
	limit := c.cfg.Limit - c.cfg.Limit*reserved/100
	return c.ledger.total.bytes-c.done.bytes+uint64(size)+recordOverhead <= limit
}

// MakeRoom lets the oldest operations give way as far as the rules allow, a sixty-fourth of the
// limit at a time, and fails if an operation of size bytes does not fit then. Operations of other
// classes stop it.
func (c *Core) MakeRoom(size int) error {
	c.behind = false
	target := c.cfg.Limit/64 + uint64(size)
	freed, upTo := uint64(0), c.next-1
	err := c.log.Read(c.next, func(number uint64, record []byte) bool {
		if number > c.durable || freed >= target || !c.giveUp(number, record) {
			return false
		}
		upTo = number
		freed += uint64(len(record)) + recordOverhead
		return true
	})
	if err == nil && upTo >= c.next {
		c.advance(upTo, nil)
	}
	switch {
	case err != nil || c.Admit(size):
		return err
	case c.behind:
		return ErrBehind
	}
	return ErrFull
}

// giveUp reports whether a record need not be kept, and counts it.
func (c *Core) giveUp(number uint64, record []byte) bool {
	op := Op{Number: number}
	if !RecordKind(record).isOp() || DecodeOp(record, &op) != nil || op.Kind == KindBarrier {
		return true
	}
	if _, dead := c.dead[number]; dead {
		return true
	}
	size := uint64(len(op.Key) + len(op.Value))
	switch cl := c.cfg.Rules.of(op.Key); {
	case cl.latest && op.plain() && c.awaited[number] == 0 && c.newer(op.Key, number):
		c.counters.Coalesced++
		c.counters.CoalescedBytes += size
	case cl.drop:
		c.counters.Dropped++
		c.counters.DroppedBytes += size
		if c.awaited[number] > 0 {
			c.dropped[number] = struct{}{}
		}
	default:
		return false
	}
	return true
}

// Spare returns the first number that must be kept: what is not finished, and behind it what no
// backup and no majority has yet, within Config.Keep bytes and the room that unfinished operations
// leave.
func (c *Core) Spare() uint64 {
	finished := c.next - 1
	safe := finished
	if c.marks.Can[BackedUp] || c.marks.Can[Quorum] {
		safe = max(c.marks.At[BackedUp], c.marks.At[Quorum])
	}
	pending := c.ledger.total.bytes - c.done.bytes
	keep := min(c.cfg.Keep, c.cfg.Limit-min(c.cfg.Limit, pending))
	if c.done.bytes > keep {
		safe = max(safe, c.ledger.reach(c.done.bytes-keep, finished))
	}
	return max(c.floor, min(safe, finished)+1)
}

// Trim says that numbers below floor are gone.
func (c *Core) Trim(floor uint64) {
	c.floor = max(c.floor, floor)
	c.index.Trim(c.floor)
	c.ledger.trim(c.floor)
	for n := range c.dead {
		if n < c.floor {
			delete(c.dead, n)
		}
	}
	for len(c.sessions) > 1 && c.sessions[1].From <= c.floor {
		c.sessions = c.sessions[1:]
		c.ask = max(0, c.ask-1)
	}
}
