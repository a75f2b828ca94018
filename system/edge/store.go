package edge

import (
	"context"
	"time"
)

// Bounds of what a store is given (I6). Larger is refused for good.
const (
	MaxKey        = 1 << 10 // bytes
	MaxValue      = 1 << 20 // bytes
	MaxType       = 255     // bytes of a content type
	MaxOps        = 1024    // in a batch
	MaxBatchBytes = 1 << 20 // of a batch's values together
	MaxPage       = 1000    // keys of one page
	MaxPageBytes  = 4 << 20 // of one page's values, exceeded by one value at most
	MaxSession    = 64      // bytes of a session's or an instance's name
)

// Entry is a key with what it holds. Its slices are the caller's own.
type Entry struct {
	Key      []byte
	Value    []byte
	Type     string // the content type it was put with
	Revision uint64 // of the change that set it
}

// Level is how fresh a read must be.
type Level uint8

// Levels of reads.
const (
	Local   Level = iota // as this edge has it
	Session              // at or after a revision the reader has seen
	Quorum               // linearizable, through the replicated core
)

// Read says how fresh an answer must be.
type Read struct {
	Level Level
	Min   uint64 // for Session: the revision
}

// Kind is what an operation does.
type Kind uint8

// Kinds of operations.
const (
	Put Kind = iota + 1
	Delete
)

// Condition is an If-Match or If-None-Match; the zero value is none.
type Condition struct {
	Any       bool     // "*": any revision
	Revisions []uint64 // one of these
}

// Given reports whether there is a condition.
func (c *Condition) Given() bool { return c.Any || len(c.Revisions) > 0 }

// Matches reports whether an entry of this revision, 0 for an absent one, is among those named.
func (c *Condition) Matches(revision uint64) bool {
	if revision == 0 {
		return false
	}
	for _, r := range c.Revisions {
		if r == revision {
			return true
		}
	}
	return c.Any
}

// Op is one operation of a [Batch].
type Op struct {
	Kind                 Kind
	Seq                  uint64 // its number in the session; 0 without one
	Key                  []byte
	Value                []byte
	Type                 string
	IfMatch, IfNoneMatch Condition

	// Refused, if not 0, is why the operation must not be executed, decided before the store saw it. Its
	// number is used up all the same.
	Refused Verdict
}

// Decide judges the conditions of an operation on a key that has this revision, 0 = it is absent. It
// returns 0 if the operation may go ahead.
func (o *Op) Decide(revision uint64) Verdict {
	switch {
	case o.Refused != 0:
		return o.Refused
	case o.Kind == Delete && o.IfMatch.Any && revision == 0:
		return NothingThere
	case o.IfMatch.Given() && !o.IfMatch.Matches(revision):
		return Mismatch
	case o.IfNoneMatch.Given() && o.IfNoneMatch.Matches(revision):
		return Mismatch
	}
	return 0
}

// Verdict is what became of an operation. Stores keep verdicts: the numbers never change.
type Verdict uint8

// Verdicts. From Mismatch on the operation was refused.
const (
	Created      Verdict = 1  // a put of a key that was absent
	Replaced     Verdict = 2  // a put of one that was there
	Deleted      Verdict = 3  // a delete, of a key that was there or not
	Taken        Verdict = 4  // a duplicate that was executed, in a way no longer known
	Mismatch     Verdict = 16 // a condition does not hold
	NothingThere Verdict = 17 // delete with If-Match: * of an absent key
	Forbidden    Verdict = 18 // no right to the key
	BadKey       Verdict = 19
	TooLarge     Verdict = 20
	NoCondition  Verdict = 21 // the key's prefix demands one
	NotSupported Verdict = 22 // this kind of store cannot do it
)

// Refused reports whether the operation was not executed, for good.
func (v Verdict) Refused() bool { return v >= Mismatch }

// Sender is who sends a batch, and where in its sequence.
type Sender struct {
	Client   string // the principal's name
	Session  string
	Instance string // of the client's queue since it was last opened; "" = not told
	Epoch    uint64 // of the client's queue, +1 each time it is opened
	Prev     uint64 // what the client believes the mark to be
	Last     uint64 // what the mark is to become
	Digest   uint64 // of the batch's contents
}

// Batch is one commit: all of it becomes visible and durable together, or none.
type Batch struct {
	Sender *Sender // nil = nobody in particular: executed each time it is sent
	Atomic bool    // one refused operation refuses all
	Ops    []Op
}

// Result is what became of one operation.
type Result struct {
	Seq       uint64
	Verdict   Verdict
	Revision  uint64 // of the key now; 0 = absent, or a duplicate
	Duplicate bool   // its number was used before
}

// Mark is a number that some sessions' mark has reached, if it is known.
type Mark struct {
	At    uint64
	Known bool // false: this edge cannot give it
}

// SessionState is what a store knows about a session.
type SessionState struct {
	Client, ID, Instance string
	Epoch                uint64
	Mark                 uint64 // numbers up to here are done with, durably at the edge
	Revision             uint64 // of the commit that moved it
	BackedUp, Quorum     Mark   // numbers up to here are in a backup; held by a majority
}

// Outcome is what a batch did.
type Outcome struct {
	Results  []Result // one an operation, in order
	Revision uint64   // of the store afterwards
	Session  *SessionState
}

// Listing asks for a page of keys.
type Listing struct {
	Prefix     []byte
	StartAfter []byte // the first key is the one behind this
	Delimiter  []byte // keys that hold it behind the prefix are rolled up to what ends with it
	Limit      int    // 1 to MaxPage
	KeysOnly   bool
	Client     string // whose cursor it is
	Cursor     string // of the page before, which then says all of the above but Client; "" = the first
	Read       Read
}

// Page is part of a listing. All its pages are of one revision.
type Page struct {
	Items    []Entry // with sizes only, in Sizes, if values were not asked for
	Sizes    []int   // bytes of each value
	Prefixes [][]byte
	Next     string // cursor of the next page; "" = this is the last
	Revision uint64
	Listing  Listing // what it answers: the first page's
}

// Event is a change of a key.
type Event struct {
	Kind  Kind
	Entry Entry // Value and Type of a put
}

// Status is what a store says about itself.
type Status struct {
	Kind        string // "local", "metronome"
	Incarnation string // changes when data was lost or restored
	Revision    uint64 // the last that is durable
	BackedUp    Mark   // revision up to which a backup holds everything
	Keys        uint64
	Bytes       uint64        // of keys and values
	Digest      uint64        // of all entries, whatever their order
	Staleness   time.Duration // how far behind reads at level Local may be
}

// Store keeps entries and sessions. Its methods are called from any goroutine. A context that ends
// before a write's outcome is known leaves it unknown: [ErrUnknown].
type Store interface {
	// Get returns an entry, or [ErrNotFound].
	Get(ctx context.Context, key []byte, read Read) (Entry, error)
	// List returns a page.
	List(ctx context.Context, l Listing) (*Page, error)
	// Apply executes a batch. It returns once everything is durable.
	Apply(ctx context.Context, b *Batch) (*Outcome, error)
	// Session returns what is known of a session, or [ErrNotFound].
	Session(ctx context.Context, client, session string) (*SessionState, error)
	// Status is cheap.
	Status() Status
}

// Watcher is a Store that can tell changes.
type Watcher interface {
	// Watch returns the changes under a prefix from a revision on, at least one unless ctx ends first, and
	// the revision to go on with. It returns [ErrTrimmed] if changes so old are no longer kept.
	Watch(ctx context.Context, prefix []byte, from uint64, limit int) ([]Event, uint64, error)
}

// Checker is a Store that can be unwell.
type Checker interface {
	// Check returns why the store cannot serve as it should, a part and a text each, or nothing.
	Check() []Reason
}

// Reason is why an edge is not ready.
type Reason struct {
	Part string `json:"part"` // a constant word, for alerts: disk
	Text string `json:"text"` // for people: what is wrong, and what to do
}
