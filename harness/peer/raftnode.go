package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"metronome/harness/load/kv"
)

const (
	raftInbox = 8192 // messages; what comes on top is lost
	raftTick  = 50 * time.Millisecond
	raftDrain = 256 // inputs taken before what is ready is handled
	// stragglers bounds the log for a node that is behind, in multiples of what is kept anyway.
	stragglers = 4
)

// raftNode is one node of etcd-io/raft: a goroutine round a RawNode.
type raftNode struct {
	cluster *etcdRaftInstance
	id      uint64
	raw     *raft.RawNode
	log     *raft.MemoryStorage
	table   *table
	keep    uint64 // entries of the log kept, if others may need them

	inbox     chan *raftpb.Message
	proposals chan *kv.Batch
	giveUp    chan chan struct{}
	stop      <-chan struct{}

	leads   atomic.Bool
	applied atomic.Uint64 // index
	failed  atomic.Pointer[error]

	first   uint64 // of the log
	next    uint64 // number of the next proposal
	pending map[uint64]*kv.Batch
}

// newRaftNode makes a node of a cluster whose members are known from the start.
func newRaftNode(c *etcdRaftInstance, id uint64, keep, inFlight int, stop <-chan struct{},
) (*raftNode, error) {
	n := &raftNode{cluster: c, id: id, log: raft.NewMemoryStorage(), table: newTable(), keep: uint64(keep),
		inbox: make(chan *raftpb.Message, raftInbox), proposals: make(chan *kv.Batch, inFlight),
		giveUp: make(chan chan struct{}), stop: stop, first: 1, pending: make(map[uint64]*kv.Batch, inFlight)}
	index, term := uint64(1), uint64(1)
	members := &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
	err := n.log.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term,
		ConfState: members}})
	if err != nil {
		return nil, err
	}
	n.raw, err = raft.NewRawNode(&raft.Config{ID: id, ElectionTick: 40, HeartbeatTick: 4, Storage: n.log,
		Applied: index, MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: math.MaxUint64,
		MaxInflightMsgs: 1024, PreVote: true, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
	return n, err
}

// run drives the node until stop.
func (n *raftNode) run() {
	tick := time.NewTicker(raftTick)
	defer tick.Stop()
	defer n.answerAll(errClosed)
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
			n.raw.Tick()
		case m := <-n.inbox:
			n.step(m)
		case b := <-n.proposals:
			n.propose(b)
		case given := <-n.giveUp:
			n.answerAll(errClosed)
			close(given)
		}
		n.more()
		for n.raw.HasReady() && n.failed.Load() == nil {
			n.ready()
		}
	}
}

// more takes what else has come, so that it shares one Ready: that is the library's own batching.
func (n *raftNode) more() {
	for range raftDrain {
		select {
		case m := <-n.inbox:
			n.step(m)
		case b := <-n.proposals:
			n.propose(b)
		default:
			return
		}
	}
}

// step hands a message to the node, which may drop it.
func (n *raftNode) step(m *raftpb.Message) { _ = n.raw.Step(m) }

// propose makes a batch an entry: its number, then its operations.
func (n *raftNode) propose(b *kv.Batch) {
	if n.applied.Load() > n.cluster.appliedByAll()+stragglers*n.keep {
		b.Done(0, fmt.Errorf("%w: a node is far behind and the log is full", kv.ErrBusy))
		return
	}
	n.next++
	entry := make([]byte, 8, 8+commandBytes(b.Ops)) // the log keeps it
	binary.LittleEndian.PutUint64(entry, n.next)
	if err := n.raw.Propose(appendCommand(entry, b.Ops)); err != nil {
		b.Done(0, fmt.Errorf("propose: %w", err))
		return
	}
	n.pending[n.next] = b
}

// ready does what the library asks for, in its order: store, send, apply.
func (n *raftNode) ready() {
	rd := n.raw.Ready()
	if rd.SoftState != nil {
		n.lead(rd.RaftState == raft.StateLeader)
	}
	if rd.HardState != nil {
		n.check(n.log.SetHardState(rd.HardState))
	}
	n.check(n.log.Append(rd.Entries))
	if rd.Snapshot != nil && !raft.IsEmptySnap(rd.Snapshot) {
		n.check(errors.New("it fell off the log"))
		return
	}
	n.cluster.send(rd.Messages)
	for _, e := range rd.CommittedEntries {
		n.apply(e)
	}
	n.compact()
	n.raw.Advance(rd)
}

func (n *raftNode) lead(leads bool) {
	if n.leads.Swap(leads) && !leads {
		n.answerAll(errors.New("the leader stepped down: the outcome is unknown"))
	}
}

// apply executes a committed entry and answers whoever proposed it here.
func (n *raftNode) apply(e *raftpb.Entry) {
	n.applied.Store(e.GetIndex())
	data := e.GetData()
	if e.GetType() != raftpb.EntryNormal || len(data) == 0 {
		return // of a new leader
	}
	n.check(n.table.apply(data[8:]))
	number := binary.LittleEndian.Uint64(data)
	b, ours := n.pending[number]
	if !ours || !n.leads.Load() {
		return
	}
	delete(n.pending, number)
	n.cluster.acknowledged.Add(uint64(len(b.Ops)))
	b.Done(len(b.Ops), nil)
}

// compact cuts the log below what every node has applied, and not more often than it pays.
func (n *raftNode) compact() {
	if to := min(n.cluster.appliedByAll(), n.applied.Load()); to > n.first+n.keep {
		n.check(n.log.Compact(to))
		n.first = to
	}
}

// check keeps the first error, which ends the node's work.
func (n *raftNode) check(err error) {
	if err != nil {
		err = fmt.Errorf("node %d: %w", n.id-1, err)
		n.failed.CompareAndSwap(nil, &err)
	}
}

// answerAll ends every proposal in flight.
func (n *raftNode) answerAll(err error) {
	for number, b := range n.pending {
		delete(n.pending, number)
		b.Done(0, err)
	}
	for {
		select {
		case b := <-n.proposals:
			b.Done(0, err)
		default:
			return
		}
	}
}
