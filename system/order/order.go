package order

import "errors"

// LaneID names a lane for ever; ids are issued by the decision that opens it.
type LaneID uint32

// Mark is how far one lane is taken: everything below Items, which ends with frame Frames-1, whose
// chain digest is Chain.
type Mark struct {
	Lane   LaneID
	Items  uint64
	Frames uint64
	Chain  uint64
}

// Cut is a vector of marks, ascending by lane; lanes it does not name stay where they were (R6).
type Cut []Mark

// ErrNotLeader refuses a proposal made to a replica that does not lead, or whose empty entry of its
// own term is not applied yet (R7).
var ErrNotLeader = errors.New("order: not the leader")

// Verdict is what the gate says of a cut.
type Verdict uint8

// The verdicts of the gate.
const (
	Held     Verdict = iota // everything under the cut is durably held here
	Missing                 // not yet: the cut waits
	Mismatch                // what is held has another chain digest: refuse and report (R14)
)

// Gate tells what this replica durably holds (R11).
type Gate interface {
	// Holds judges a cut. Lanes closed here are ignored; lanes not opened here yet are Missing.
	Holds(c Cut) Verdict
}

// ConfChange is one change of membership.
type ConfChange struct {
	Type ConfType
	ID   uint64 // the life's id
}

// ConfType is what a ConfChange does.
type ConfType uint8

// The membership changes.
const (
	AddLearner ConfType = 1
	Promote    ConfType = 2 // learner to voter
	Remove     ConfType = 3
)

// Members is a configuration, ids ascending.
type Members struct {
	Voters, Learners []uint64
	// Outgoing voters, while a joint configuration is being left.
	Outgoing []uint64
}

// Orderer agrees with its peers on one sequence of decisions. It is pure: no clock, goroutine or
// socket. The caller's duties, in order, after any other call:
//
//  1. Ready; if it is empty, nothing is to be done.
//  2. Make Ready.Persist durable, then call Persisted with its number. Messages in Ready.Messages
//     may go at once: what must not leave before it is durable, the orderer holds back itself.
//  3. Apply Ready.Committed in order.
//  4. Call Applied with the last position applied.
type Orderer interface {
	Propose(decision []byte) error
	ProposeConf(c ConfChange) error
	Step(from uint64, msg []byte) error
	Tick()
	// Recheck re-examines what waits at the gate; call it when more is held.
	Recheck()
	Ready() Ready
	Persisted(seq uint64)
	Applied(position uint64)
	// ReadIndex asks for the position that a read begun now must wait for; Ready.Reads answers.
	ReadIndex(ctx uint64)
	TransferLeader(to uint64)
	// Compact forgets the log up to a position that was applied.
	Compact(position uint64)
	// Snapshot offers state captured at an applied position to followers that need one.
	Snapshot(position uint64)
	// Restore installs a snapshot: the state at position is in place here already.
	Restore(s SnapshotMeta) error
	// SnapshotSent says how a transfer named in Ready.Snapshots ended.
	SnapshotSent(to uint64, ok bool)
	Unreachable(id uint64)
	Status() Status
}

// Ready is what an Orderer wants done. Slices are valid until the next call of Ready.
type Ready struct {
	Messages  []Message
	Persist   *Persist
	Committed []Committed
	Reads     []Read
	// Snapshots are followers that need state: stream them the captured snapshot, and SnapshotSent.
	Snapshots []SnapshotMeta
	// WantSnapshot: a follower needs state older than the log; capture, then call Snapshot.
	WantSnapshot bool
	Refused      []Refusal // cuts refused for a digest mismatch since the last Ready (R14)
}

// Message is bytes for the orderer of another member.
type Message struct {
	To   uint64
	Data []byte
}

// Persist is what must be durable before Persisted(Seq).
type Persist struct {
	Seq     uint64
	Records [][]byte // opaque; replayed in order by a restart (durability)
}

// Committed is one position of the agreed sequence.
type Committed struct {
	Position uint64
	Term     uint64
	Decision []byte // nil: nothing but the position (an empty entry, a membership change)
	Members  *Members
}

// Read answers ReadIndex.
type Read struct{ Ctx, Position uint64 }

// Refusal is a cut refused at the gate.
type Refusal struct {
	Leader uint64
	Cut    Cut
}

// SnapshotMeta places a snapshot in the sequence. Message is opaque and goes with the state.
type SnapshotMeta struct {
	To       uint64
	Position uint64
	Term     uint64
	Members  Members
	Message  []byte
}

// Status is a glance at an orderer.
type Status struct {
	ID, Leader, Term        uint64
	Leading                 bool   // may propose (R7)
	Position, Applied, Last uint64 // committed, applied, end of the log
	Waiting                 int    // messages at the gate
	Members                 Members
	Match                   map[uint64]uint64 // leader: how far each member's log agrees
	SnapshotPending         map[uint64]bool
}
