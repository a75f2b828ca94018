package queue

import "fmt"

// Kind says what an operation does.
type Kind uint8

// The kinds of records in the log. KindMark is no operation: it notes what the edge has
// acknowledged.
const (
	KindPut Kind = iota + 1
	KindDelete
	KindBarrier
	KindMark
)

// String names the kind as requests and people do.
func (k Kind) String() string {
	switch k {
	case KindPut:
		return "put"
	case KindDelete:
		return "delete"
	case KindBarrier:
		return "barrier"
	case KindMark:
		return "mark"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Condition says when an operation is executed.
type Condition uint8

// The conditions: none, the key's revision is Op.Match, the key does not exist, the key exists.
const (
	Always Condition = iota
	IfMatch
	IfAbsent
	IfPresent
)

// Op is one operation. Key and Value are borrowed where a method says so.
type Op struct {
	// Number is its place in the log; 0 before it has one.
	Number uint64
	Kind   Kind
	Cond   Condition
	// Match is the revision that IfMatch asks for.
	Match uint64
	// At is the wall clock when it was enqueued, in milliseconds since 1970: for people. It orders
	// nothing.
	At    int64
	Key   []byte
	Value []byte
}

// plain reports whether the operation can displace others and be displaced: it changes one key
// whatever the key holds.
func (o *Op) plain() bool {
	return o.Cond == Always && (o.Kind == KindPut || o.Kind == KindDelete)
}

// isOp reports whether a record is something to send or to order by.
func (k Kind) isOp() bool { return k == KindPut || k == KindDelete || k == KindBarrier }

// requestOverhead is about what a request spends on an operation beside its key and value.
const requestOverhead = 64

// cost is about how many bytes the operation takes in a request.
func (o *Op) cost() int { return requestOverhead + len(o.Key) + len(o.Value) }
