package history

import (
	"fmt"
	"math"

	"metronome/system/wire"
)

// Never is the Returned time of an operation that has no answer.
const Never = math.MaxInt64

// Outcome is what a client knows of an operation in the end.
type Outcome uint8

// The outcomes.
const (
	Unknown  Outcome = iota // no answer, or one that says so: possibly executed, possibly later
	Answered                // executed, and Answer says how
	Refused                 // definitely not executed and never will be
)

// String is the outcome's name in reports.
func (o Outcome) String() string {
	return [...]string{"unknown", "answered", "refused"}[o]
}

// Call is what a client asks for.
type Call struct {
	Op    wire.Op
	Key   string // a scan's prefix
	Value string

	Expect uint64 // compare-and-set: the revision it wants; 0 = absent
	Delta  int64  // increment

	Previous, Present, Stat bool // as in wire.Item

	Session, Number, Low uint64 // a session's id, 0 = none; the number in it; R24's low mark

	Calls []Call // a multi's parts
	Scan  Scan
}

// Scan is what a scan asks for besides its prefix.
type Scan struct {
	Limit  int
	Values bool
	ByHash bool
	Cursor uint64
	After  string
}

// Entry is one key of a scan's answer.
type Entry struct {
	Key, Value string
	Revision   uint64
}

// Answer is what the store said.
type Answer struct {
	Status   wire.Status
	Existed  bool
	More     bool
	Revision uint64 // 0 = absent, or not told (a blind put)
	Number   int64
	Value    string
	Answers  []Answer // a multi's parts
	Entries  []Entry  // a scan's
	// Blind: known from the commit alone; nothing but Status is meant (R25).
	Blind bool
}

// Operation is one logical operation of one client: retries in a session belong to one operation.
// Times are of one monotonic clock; an interval is closed at both ends.
type Operation struct {
	Connection int // operations of a connection are in program order of their Invoked, then place
	Call       Call
	Invoked    int64
	Returned   int64 // Never if there is no answer
	Outcome    Outcome
	Answer     Answer
	Retried    bool // sent more than once: program order is then the session's business
	Barrier    bool // a read not in the log, answered from the state at some index (R26)
}

// Record is one place of the order: an item executed at an index, or an expiry of sessions between
// two, or a restore of what came before as the beginning of another log.
type Record struct {
	Index     uint64 // of an expiry: the index of the next item
	Operation int    // place in History.Operations; -1 = of no client
	Call      Call   // as sent in this attempt
	Time      uint64 // log time of the item, in ticks
	Expire    uint64 // if not 0, no item: sessions last used before this log time end here
	Restore   bool   // no item: all sessions end here, and the next index is the one after this (R29)
}

// History is everything that clients saw and, if it is known, what was executed in which order.
type History struct {
	Operations []Operation // ascending by Invoked
	Log        []Record    // ascending by Index
	// Start is the index of the first item: 1, or higher if the log was restored from a backup.
	Start uint64
	Limits
}

// Limits are the replicated limits that decide what a session answers; 0 = unlimited.
type Limits struct {
	Window   uint64 // numbers above its low mark, and with it, that a session accepts
	Sessions int    // open ones; one more ends the least recently used
	Idle     uint64 // ticks of log time after which an unused session ends
}

// Verdict is what a judge says.
type Verdict uint8

// The verdicts. Only Legal passes.
const (
	Legal Verdict = iota
	Illegal
	Unfinished
)

// String is the verdict's name in reports.
func (v Verdict) String() string {
	return [...]string{"legal", "illegal", "unfinished"}[v]
}

// Violation is one thing that must not be.
type Violation struct {
	Rule string // a short name: "answer", "lost", "real-time", …
	Text string // what was seen, and what was to be seen
}

// String is one line.
func (v Violation) String() string { return v.Rule + ": " + v.Text }

// String shows a call on one line, values cut short.
func (c Call) String() string {
	s := fmt.Sprintf("%s(%s", opNames[min(int(c.Op), len(opNames)-1)], brief(c.Key))
	switch c.Op {
	case wire.OpPut, wire.OpAppend:
		s += ", " + brief(c.Value)
	case wire.OpCAS:
		s += fmt.Sprintf(", %s if %d", brief(c.Value), c.Expect)
	case wire.OpIncr:
		s += fmt.Sprintf(", %+d", c.Delta)
	case wire.OpMulti:
		for i := range c.Calls {
			s += " " + c.Calls[i].String()
		}
	}
	if c.Session != 0 {
		s += fmt.Sprintf("; session %d #%d low %d", c.Session, c.Number, c.Low)
	}
	return s + ")"
}

// String shows an answer on one line, values cut short.
func (a Answer) String() string {
	s := fmt.Sprintf("status %d revision %d number %d value %s", a.Status, a.Revision, a.Number, brief(a.Value))
	if a.Blind {
		s = fmt.Sprintf("status %d, blind", a.Status)
	}
	for _, part := range a.Answers {
		s += " [" + part.String() + "]"
	}
	for _, e := range a.Entries {
		s += fmt.Sprintf(" {%s@%d %s}", brief(e.Key), e.Revision, brief(e.Value))
	}
	return s
}

var opNames = [...]string{"none", "put", "get", "delete", "cas", "incr", "append", "multi", "scan", "session",
	"count", "unknown"}

func brief(s string) string {
	const most = 24
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…(%d bytes)", s[:most], len(s))
}
