package queue

// Outcome is what became of a request, as far as the device can tell.
type Outcome uint8

// The outcomes. All but Accepted leave the queue's operations where they are, except those that
// Refused names.
const (
	// Unavailable: no answer, or none of an edge's: no network, a time-out, 408, 425, 429, 5xx, a
	// login page. Whether the request was executed is unknown; it is sent again as it was.
	Unavailable Outcome = iota
	// Accepted: executed, durable at the edge. High is its mark.
	Accepted
	// Refused: nothing was executed because of the operations in Refusals.
	Refused
	// Gap: the edge knows less than the request's Prev: High is what it has.
	Gap
	// Stale: the edge had a request like this one before, with other contents. What it has must be
	// asked.
	Stale
	// Fenced: the session was used by a later life of this queue, or by a copy of it.
	Fenced
	// Elsewhere: another edge is this device's home.
	Elsewhere
	// TooLarge: nothing executed; fewer operations may pass.
	TooLarge
	// Denied: the edge does not take this client's requests at all, by 401 or 403. Nothing executed.
	Denied
	// Invalid: the edge does not understand the request as a whole. Nothing executed.
	Invalid
)

var outcomeNames = [...]string{"unavailable", "accepted", "refused", "sequence-gap", "stale", "fenced",
	"elsewhere", "too large", "denied", "invalid"}

// String names the outcome.
func (o Outcome) String() string { return outcomeNames[o] }

// Reply is an edge's answer, taken apart.
type Reply struct {
	Outcome     Outcome
	High        uint64 // the edge's mark in the session of the request
	Epoch       uint64 // Fenced: the epoch that the edge has seen
	Marks       Marks  // Accepted
	Edge        string // name of who answered
	Incarnation string // changes when the edge's data was lost or set back
	Results     []Result
	Refusals    []Refusal
	Home        string // Elsewhere: the address of the edge that is ours
	RetryAfter  int64  // ns; at least so long
	TimedOut    bool   // Unavailable: fewer operations may do better
	Why         string // for people
}

// Result is what one operation of an accepted request did.
type Result struct {
	Number    uint64
	Status    int    // as of HTTP
	Revision  uint64 // of the key after it; 0 = unknown
	Duplicate bool
}

// Refusal is an operation that the edge will never execute, and why.
type Refusal struct {
	Index  int // in Batch.Ops
	Status int
	Type   string // of the problem
	Why    string
}

// Dead is an operation that the edge refused.
type Dead struct {
	Op      Op
	Refusal Refusal
}
