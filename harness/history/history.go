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
	Op    wire.Op `json:"-"` // a file has its name
	Key   string  `json:"key,omitempty"`
	Value string  `json:"value,omitempty"` // Key of a scan is its prefix

	Expect uint64 `json:"expect,omitempty"` // compare-and-set: the revision it wants; 0 = absent
	Delta  int64  `json:"delta,omitempty"`  // increment

	// As in wire.Item.
	Previous bool `json:"previous,omitempty"`
	Present  bool `json:"present,omitempty"`
	Stat     bool `json:"stat,omitempty"`

	Session uint64 `json:"session,omitempty"` // a session's id, 0 = none
	Number  uint64 `json:"number,omitempty"`  // in it
	Low     uint64 `json:"low,omitempty"`     // R24's low mark

	Calls []Call `json:"calls,omitempty"` // a multi's parts
	Scan  Scan   `json:"scan,omitzero"`
}

// Scan is what a scan asks for besides its prefix.
type Scan struct {
	Limit  int    `json:"limit,omitempty"`
	Values bool   `json:"values,omitempty"`
	ByHash bool   `json:"by_hash,omitempty"`
	Cursor uint64 `json:"cursor,omitempty"`
	After  string `json:"after,omitempty"`
}

// Entry is one key of a scan's answer.
type Entry struct {
	Key      string `json:"key"`
	Value    string `json:"value,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// Answer is what the store said.
type Answer struct {
	Status   wire.Status `json:"status,omitempty"`
	Existed  bool        `json:"existed,omitempty"`
	More     bool        `json:"more,omitempty"`
	Revision uint64      `json:"revision,omitempty"` // 0 = absent, or not told (a blind put)
	Number   int64       `json:"number,omitempty"`
	Value    string      `json:"value,omitempty"`
	Answers  []Answer    `json:"answers,omitempty"` // a multi's parts
	Entries  []Entry     `json:"entries,omitempty"` // a scan's
	// Blind: known from the commit alone; nothing but Status is meant (R25).
	Blind bool `json:"blind,omitempty"`
}

// Operation is one logical operation of one client: retries in a session belong to one operation.
// Times are of one monotonic clock; an interval is closed at both ends.
type Operation struct {
	Connection int     `json:"connection"` // its operations are in program order of their Invoked, then place
	Call       Call    `json:"call"`
	Invoked    int64   `json:"invoked"`
	Returned   int64   `json:"returned"` // Never if there is no answer
	Outcome    Outcome `json:"outcome"`
	Answer     Answer  `json:"answer,omitzero"`
	Retried    bool    `json:"retried,omitempty"` // sent more than once: a session keeps its order
	Barrier    bool    `json:"barrier,omitempty"` // a read at some index, not in the log (R26)
}

// Record is one place of the order: an item executed at an index, or an expiry of sessions between
// two, or a restore of what came before as the beginning of another log.
type Record struct {
	Index     uint64 `json:"index"`             // of an expiry: the index of the next item
	Operation int    `json:"operation"`         // place in History.Operations; -1 = of no client
	Call      Call   `json:"call"`              // as sent in this attempt
	Time      uint64 `json:"time,omitempty"`    // log time of the item, in ticks
	Expire    uint64 `json:"expire,omitempty"`  // if not 0, no item: sessions last used before end
	Restore   bool   `json:"restore,omitempty"` // no item: sessions end, the index goes on (R29)
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
	Window   uint64 `json:"window,omitempty"`   // numbers from its low mark on that a session takes
	Sessions int    `json:"sessions,omitempty"` // open ones; one more ends the least recently used
	Idle     uint64 `json:"idle,omitempty"`     // ticks of log time after which an unused session ends
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
