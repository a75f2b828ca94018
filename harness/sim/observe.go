package sim

import (
	"metronome/harness/history"
	"metronome/system/disk"
	"metronome/system/node"
	"metronome/system/wire"
)

// System makes the processes of the store under test, and reads what only it can read. Everything a
// core does must follow from what it is given (I7): the same calls give the same outputs.
type System interface {
	// Replica makes one life of a replica.
	Replica(c ReplicaConfig, o Observer) Replica
	// Proxy makes one life of a proxy.
	Proxy(c ProxyConfig, o ProxyObserver) Proxy
	// Decision reads a decision.
	Decision(b []byte) (Decision, error)
	// Limits are the replicated limits that decide what sessions answer.
	Limits() history.Limits
}

// Fixed is a system whose members may be fixed: no replica that lost its state comes back, so that
// none is made to lose it.
type Fixed interface{ Static() bool }

// Forger is a system whose frames can be altered so that they pass every check of a single frame:
// what a replica's bad memory would do (R14). nil if this frame cannot be.
type Forger interface {
	Forge(frame []byte) []byte
}

// Keeper is a system whose replicas can keep their state on a disk.
type Keeper interface {
	// Continue opens a disk and continues the life that is on it; with nothing there it makes a replica
	// that belongs to no cluster. Nobody observes it until Watch.
	Continue(c ReplicaConfig, fs disk.FS) (Kept, error)
	// Promise reads what a replica's message to another says of itself.
	Promise(message []byte) Promise
}

// Kept is a replica with its data directory. An error of any method is the end of its process.
type Kept interface {
	Replica
	// Watch begins to tell an observer what the replica does, from OnRestore on, with all that it did
	// since.
	Watch(o Observer)
	// Lost is why what was on the disk could not be continued, nil if it was.
	Lost() error
	Shelf
}

// Shelf is the disk's side of a replica, as its surroundings drive it.
type Shelf interface {
	// Write appends records to the journal. It waits for nothing and need not reach the disk.
	Write(records [][]byte) error
	// Flush hands what was appended to the file system.
	Flush() error
	// Sync makes durable what was appended, tells the replica, and trims what is not needed any more;
	// idle says that no other follows soon.
	Sync(now int64, idle bool) error
	// Save goes on with the snapshot that the replica wants saved, by about so many bytes, and tells it
	// when it is durable. busy says that there is one, or was until now.
	Save(now int64, bytes int) (busy bool, err error)
	// SetFull says whether the disk is nearly full.
	SetFull(full bool)
}

// Restorer is a system that founds a new cluster on what an old one saved (R29).
type Restorer interface {
	// Saved is the newest saved snapshot on a disk and where it stands, nil if there is none.
	Saved(fs disk.FS) (file []byte, position, index uint64, err error)
	// Restore writes a founding member's disk. jumped is the index that the new cluster goes on from.
	Restore(file []byte, c ReplicaConfig, fs disk.FS) (jumped uint64, err error)
}

// Promise is what a message tells its receiver of the sender's stable storage. A restart must not
// forget it.
type Promise struct {
	Term     uint64 // it voted in this term, or accepted something in it; 0 = no promise
	Position uint64 // it accepted everything up to here, by the order of Term
	Alive    bool   // it is a leader's heartbeat
}

// Decision is what a round agreed on, as far as the simulator follows it (R5).
type Decision struct {
	Cut    []Mark
	Opens  []Opening
	Closes []Closing
}

// Mark takes a lane up to, and without, an item.
type Mark struct {
	Lane  uint32
	Items uint64
}

// Opening opens lanes for a proxy's next incarnation, unless this instance has them already (R19).
// Lanes are numbered in the order of their opening, from 1.
type Opening struct {
	Proxy uint32
	Nonce uint64
	Lanes int
	From  uint32 // the first incarnation of a proxy that was not seen before; 0 = 1
}

// Closing ends a proxy's incarnation at the effective cut.
type Closing struct{ Proxy, Incarnation uint32 }

// ReplicaConfig describes one life of a replica.
type ReplicaConfig struct {
	Seat  int
	Life  uint64 // from 1; each life of a seat has a higher one (R1)
	Seats int    // replicas of the cluster, seats 0 to Seats-1
	Found bool   // a founding member; otherwise it comes empty and joins as a learner
	Seed  uint64
	Skew  Skew

	Generation uint32 // of the cluster: one more after each restore
	Accepts    int    // how many have to accept a decision; 0: a majority
}

// ProxyConfig describes one life of a proxy.
type ProxyConfig struct {
	Number uint32
	Life   uint64 // how many lives the simulator gave this number before; the proxy cannot know
	Seats  int
	Seed   uint64
	Skew   Skew

	Generation uint32
}

// Skew is how one process is configured differently from others: nothing of it may change a result
// (R23). Per mille of the usual; level is the feature level it supports.
type Skew struct {
	Timing int64 // its timeouts and intervals
	Limits int64 // its local bounds
	Level  int
}

// Replica is a replica's core as the simulator drives and inspects it.
type Replica interface {
	node.Core
	// Inspect fills in v.
	Inspect(v *View)
	// Holds reports whether this life holds everything under a decision's cut (R11). It is also asked
	// of lives that ended: what they held, they held.
	Holds(decision []byte) bool
	// Err is why the replica stopped by itself, or nil. It never should (R14).
	Err() error
}

// View is a glance at a replica.
type View struct {
	ID      uint64 // of the life, as in Observer.OnMembers
	Term    uint64
	Leading bool
	// The configuration it applied, and the position it has committed.
	Voters, Learners []uint64
	Position         uint64
	Last             uint64 // the position up to which it accepted
	Holes            int    // accepted, and not held
	Index            uint64 // applied
	Hash             uint64 // of the state at Index
	Bounds           []Bound
}

// reset empties v and keeps its memory.
func (v *View) reset() {
	*v = View{Voters: v.Voters[:0], Learners: v.Learners[:0], Bounds: v.Bounds[:0]}
}

// Bound is a queue or a buffer and its limit (I6).
type Bound struct {
	Name        string
	Used, Limit int64
}

// Proxy is a proxy's core as the simulator drives it.
type Proxy interface {
	node.Core
	// Submit takes a client's operation. Operations of one connection take effect in the order they
	// are submitted. A barrier read is a get that does not travel as an item (R26).
	Submit(now int64, connection, ticket uint64, c *history.Call, barrier bool)
	// Answers visits, once each, the operations that ended. Refused means not executed, ever.
	Answers(visit func(ticket uint64, o history.Outcome, a history.Answer))
	// Idle reports that it knows the outcome of everything that it sent.
	Idle() bool
	// Fenced reports that another instance took over this one's number, so that the process exits.
	Fenced() bool
}

// Disconnecter is a core that wants to know when its stream to a peer broke: what was sent and not
// received is lost.
type Disconnecter interface {
	Disconnected(now int64, peer wire.Peer)
}

// Observer hears what a replica's core does, at the moment it does it. It changes nothing.
type Observer interface {
	// OnCommit: the position of the agreed sequence was learnt to be decided. Positions ascend; of
	// those that decide nothing (empty entries, membership), decision is nil.
	OnCommit(position uint64, decision []byte)
	// OnExpire: by the decision at a position, and before the item at index, sessions last used before
	// this log time end (R23).
	OnExpire(position, index, before uint64)
	// OnApply: the item of this number in this lane was executed at an index and a log time. item is
	// as it travelled, fragments put together.
	OnApply(index, time uint64, lane uint32, number uint64, item []byte)
	// OnInstall: a snapshot replaced everything: the state is that after position and index.
	OnInstall(position, index uint64)
	// OnRestore: the state is what stable storage kept: that after position and index.
	OnRestore(position, index uint64)
}

// ProxyObserver hears what a proxy's core does.
type ProxyObserver interface {
	// OnItem: the operation of a ticket travels as the item of this number in a lane of an
	// incarnation. A read may travel again, as another item.
	OnItem(ticket uint64, proxy, incarnation uint32, lane int, number uint64)
}
