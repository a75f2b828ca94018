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

// What an Orderer refuses. Nothing was proposed then, and trying again later may succeed.
var (
	// ErrNotLeader refuses a proposal made to a replica that does not lead, or whose empty entry of
	// its own term is not applied yet (R7).
	ErrNotLeader = errors.New("order: not the leader")
	// ErrNotHeld refuses a cut that the proposer's own gate does not hold (R8).
	ErrNotHeld = errors.New("order: the proposer does not hold what it proposes")
	// ErrBusy refuses a proposal while leadership is being handed over, or while too many bytes are
	// not committed yet.
	ErrBusy = errors.New("order: busy, propose again after the next commit")
	// ErrMembership refuses a change that does not fit the members, or follows too closely: the
	// change before it must be applied first.
	ErrMembership = errors.New("order: membership change refused")
	// ErrStale refuses a snapshot that is older than what is applied here.
	ErrStale = errors.New("order: the snapshot is older than what is applied")
)

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
// socket, and it is not safe for concurrent use. The caller's duties, in order, after any other
// call:
//
//  1. Ready; if it is empty, nothing is to be done.
//  2. Make Ready.Persist durable, then call Persisted with its number. Messages in Ready.Messages
//     may go at once: what must not leave before it is durable, the orderer holds back itself.
//  3. Apply Ready.Committed in order.
//  4. Call Applied with the last position applied.
type Orderer interface {
	// Propose offers an encoded decision ([AppendDecision]) for the next position. A nil error says
	// that it is under way, not that it will be decided: whether it is shows in Ready.Committed.
	Propose(decision []byte) error
	// ProposeConf offers one change of membership. One at a time: until the last one is applied
	// further ones fail with [ErrMembership].
	ProposeConf(c ConfChange) error
	// Step takes a message from a member's orderer; the caller vouches for from. An error says why
	// the message was dropped; nothing else happened then. msg is borrowed.
	Step(from uint64, msg []byte) error
	Tick()
	// Recheck re-examines what waits at the gate; call it when more is held. Applied does it too, for
	// what was applied may have opened or closed lanes; call it if those show to the gate before.
	Recheck()
	Ready() Ready
	// Persisted says that Ready.Persist of this number, and all before it, are durable.
	Persisted(seq uint64)
	// Applied says that everything up to position is applied. The position must have been handed
	// out in Ready.Committed.
	Applied(position uint64)
	// ReadIndex asks for the position that a read begun now must wait for; Ready.Reads answers. The
	// answer may never come, for messages get lost and leaders change: ask again.
	ReadIndex(ctx uint64)
	// TransferLeader hands leadership to a voter. It is ignored where it could not finish: here is
	// no leader, or to has not got what is committed (R15). Proposals fail with [ErrBusy] until it is
	// done or an election timeout has passed.
	TransferLeader(to uint64)
	// Compact forgets the log up to a position that was applied, or further if what was applied takes more
	// than [MaxRepeated] beyond it. A restart from an older snapshot needs the records before, too
	// (Persist.Fresh).
	Compact(position uint64)
	// Snapshot offers state captured at an applied position to followers that need one.
	Snapshot(position uint64)
	// Place says where state captured at an applied position stands: what a restart from it needs to
	// know. It fails once the log was compacted beyond it.
	Place(position uint64) (SnapshotMeta, bool)
	// Restore installs a snapshot: the state at position is in place, and durable, here already.
	// What Ready.Committed handed out and was not applied is to be discarded: the next position
	// handed out is the one after the snapshot, again if need be.
	Restore(s SnapshotMeta) error
	// SnapshotSent says how a transfer named in Ready.Snapshots ended.
	SnapshotSent(to uint64, ok bool)
	// Unreachable says that messages to a member were lost.
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
	Records [][]byte // opaque; replayed in order by a restart; none with volatile durability
	// Fresh, if not 0, is a position: these records repeat all that counts of the records before them,
	// which may be deleted once these and a snapshot at or after that position are durable.
	Fresh uint64
	// Lazy: nothing waits for these records. They must be durable before those that follow, no sooner.
	Lazy bool
}

// MaxRepeated is how many bytes of log a compaction leaves, if all of it was applied: they are repeated in
// one record, and a journal takes none beyond 32 MiB.
const MaxRepeated = 24 << 20

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

// Status is a glance at an orderer. The maps are the caller's to keep.
type Status struct {
	ID, Leader, Term        uint64
	Leading                 bool   // may propose (R7)
	Position, Applied, Last uint64 // committed, applied, end of the log
	Waiting                 int    // entries at the gate
	Members                 Members
	Match                   map[uint64]uint64 // leader: how far each member's log agrees
	SnapshotPending         map[uint64]bool
	Holes                   int    // logged before a restart, not held now (R4): no campaigning
	Refused                 uint64 // cuts refused for a mismatch so far (R14)
	Dropped                 uint64 // entries dropped at the gate's bound so far; they are sent again
	// Leaderless: every replica leads, each in a term of its own; Leader is who speaks for all where one
	// is enough. Pending is how many proposals of this one are not decided yet.
	Leaderless bool
	Pending    int
	// Quantum: cuts had better end at multiples of so many frames, where that takes a lane further, so that
	// those of several replicas are the same; 0: wherever they do. Same is how many proposals made here
	// were somebody else's, too; Nothings is how many positions were spent on nothing, for they differed.
	Quantum, Same, Nothings uint64
}
