package raft

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"metronome/system/order"
)

// Bounds of one orderer (I6).
const (
	maxMessageBytes     = 256 << 10 // of entries in one append; one larger entry still goes alone
	maxInflight         = 8         // appends sent to a follower and not answered
	maxUncommittedBytes = 16 << 20  // beyond it Propose answers order.ErrBusy
	maxApplyingBytes    = 1 << 20   // handed out and not applied; then nothing more is handed out
	maxReads            = 1024      // that a leader has not answered; further ones are dropped

	defaultWaitingBytes = 4 << 20
)

// Config starts an orderer.
type Config = order.Config

// Raft is an [order.Orderer]: go.etcd.io/raft behind the gate.
type Raft struct {
	id   uint64
	node *raft.RawNode
	log  *log
	gate order.Gate

	wait     run // what waits at the gate
	waitMax  int
	holes    []hole
	volatile bool

	out  order.Outbox[*pb.Message]
	lazy []byte // a record that need not be durable for itself

	commits []*pb.Entry // committed and not acknowledged as applied
	handed  int         // how many of commits were handed out
	applied uint64

	reads    int    // this leader's reads not answered yet
	readTerm uint64 // the term in which they were asked for
	readCtx  uint64 // the highest read confirmation asked of followers in readTerm

	said     said
	behind   behind
	patience int // ticks

	dropped uint64
}

var _ order.Orderer = (*Raft)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together.
func New(c Config) (*Raft, error) {
	if err := c.Validate("raft", raft.IsLocalMsgTarget); err != nil {
		return nil, err
	}
	if q := len(voters(&c))/2 + 1; c.AcceptQuorum != 0 && c.AcceptQuorum != q {
		return nil, fmt.Errorf("order/raft: %d acceptances: raft commits with a majority, %d", c.AcceptQuorum, q)
	}
	l, err := beginning(&c)
	if err != nil {
		return nil, err
	}
	r := &Raft{id: c.ID, log: l, gate: c.Gate, volatile: c.Volatile, waitMax: c.MaxWaitingBytes,
		patience: c.ElectionTicks, applied: l.base.index}
	if r.waitMax <= 0 {
		r.waitMax = defaultWaitingBytes
	}
	r.node, err = raft.NewRawNode(&raft.Config{
		ID: c.ID, ElectionTick: c.ElectionTicks, HeartbeatTick: c.HeartbeatTicks, Storage: l,
		AsyncStorageWrites: true, MaxSizePerMsg: maxMessageBytes, MaxInflightMsgs: maxInflight,
		MaxUncommittedEntriesSize: maxUncommittedBytes, MaxCommittedSizePerReady: maxApplyingBytes,
		CheckQuorum: true, PreVote: true, ReadOnlyOption: raft.ReadOnlySafe,
		DisableProposalForwarding: true, StepDownOnRemoval: true, Logger: logger{},
	})
	if err != nil {
		return nil, fmt.Errorf("order/raft: %w", err)
	}
	if err := r.findHoles(); err != nil {
		return nil, err
	}
	r.drain()
	return r, nil
}

// voters are those that a configuration names.
func voters(c *Config) []uint64 {
	switch {
	case c.Bootstrap != nil:
		return c.Bootstrap.Voters
	case c.Restart != nil:
		return c.Restart.Snapshot.Members.Voters
	}
	return nil
}

func beginning(c *Config) (*log, error) {
	switch {
	case c.Bootstrap != nil:
		return newLog(position{1, 1}, *c.Bootstrap), nil
	case c.Restart != nil:
		return replay(c.Restart)
	}
	return newLog(position{}, order.Members{}), nil
}

func (r *Raft) term() uint64 { return r.node.BasicStatus().GetTerm() }

// leading is R7: the empty entry of the own term is the first of that term, so an applied entry of
// the current term proves that it is applied.
func (r *Raft) leading(s *raft.BasicStatus) bool {
	return s.RaftState == raft.StateLeader && r.log.term(r.applied) == s.GetTerm()
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: the library
// counts the leader's log write as an acceptance (R8).
func (r *Raft) Propose(decision []byte) error {
	if s := r.node.BasicStatus(); !r.leading(&s) {
		return order.ErrNotLeader
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if r.gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	err = r.node.Propose(decision)
	r.drain()
	if err != nil {
		return fmt.Errorf("%w: %w", order.ErrBusy, err)
	}
	return nil
}

// Tick implements [order.Orderer]. With a hole in what it logged, a replica does not campaign (R4).
// Time passes for it all the same: it must notice that its leader is gone, to vote for another.
func (r *Raft) Tick() {
	r.said.tick()
	if len(r.holes) > 0 {
		r.node.TickQuiesced()
		return
	}
	r.node.Tick()
	r.watch()
	r.drain()
}

// ReadIndex implements [order.Orderer].
func (r *Raft) ReadIndex(ctx uint64) {
	s := r.node.BasicStatus()
	if s.RaftState == raft.StateLeader && !r.admitRead(s.GetTerm()) {
		return
	}
	r.node.ReadIndex(binary.LittleEndian.AppendUint64(nil, ctx))
	r.drain()
}

// admitRead counts a read, this leader's or a follower's, against the bound. A new term forgets the
// reads of the old one, as the library does.
func (r *Raft) admitRead(term uint64) bool {
	r.readsOf(term)
	if r.reads >= maxReads {
		return false
	}
	r.reads++
	return true
}

func (r *Raft) readsOf(term uint64) {
	if term != r.readTerm {
		r.readTerm, r.reads, r.readCtx = term, 0, 0
	}
}

// TransferLeader implements [order.Orderer].
func (r *Raft) TransferLeader(to uint64) {
	s := r.node.Status()
	if p, ok := s.Progress[to]; !ok || p.IsLearner || p.Match < s.GetCommit() {
		return
	}
	r.node.TransferLeader(to)
	r.drain()
}

// Unreachable implements [order.Orderer].
func (r *Raft) Unreachable(id uint64) {
	r.node.ReportUnreachable(id)
	r.drain()
}

// Status implements [order.Orderer].
func (r *Raft) Status() order.Status {
	s := r.node.BasicStatus() // Status copies what nobody asks for
	out := order.Status{ID: r.id, Leader: s.Lead, Term: s.GetTerm(), Leading: r.leading(&s),
		Position: s.GetCommit(), Applied: r.applied, Last: r.log.last(), Waiting: len(r.wait.entries),
		Members: members(r.log.confAt(r.log.last())), Holes: len(r.holes),
		Refused: r.out.Refusals, Dropped: r.dropped}
	if s.RaftState == raft.StateLeader {
		out.Match = map[uint64]uint64{}
		out.SnapshotPending = map[uint64]bool{}
		r.node.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			out.Match[id] = p.Match
			if p.PendingSnapshot != 0 {
				out.SnapshotPending[id] = true
			}
		})
	}
	return out
}
