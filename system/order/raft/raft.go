package raft

import (
	"encoding/binary"
	"errors"
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
	maxRefusals         = 16        // named in one Ready; the rest are counted only

	defaultWaitingBytes = 4 << 20
)

// Config starts an orderer. Exactly one of three beginnings applies: Bootstrap for an initial
// member of a new cluster, Restart for a replica whose state survived, neither for a joiner, which
// holds nothing and waits for a snapshot.
type Config struct {
	// ID is the life's id (R1): never reused, never 0.
	ID uint64
	// ElectionTicks is the least number of ticks without a leader before campaigning; timeouts are
	// drawn from [ElectionTicks, 2*ElectionTicks). A leader that no majority answers steps down in
	// the same time. HeartbeatTicks is how often a leader speaks, at most a few a tenth of that.
	ElectionTicks, HeartbeatTicks int
	// Gate tells what this replica durably holds.
	Gate order.Gate
	// Bootstrap is the initial membership, the same at all initial members and used once: it stands
	// for a snapshot of nothing at position 1, term 1.
	Bootstrap *order.Members
	// Restart continues this life from what was durable.
	Restart *Restart
	// Volatile is for memory durability: Ready.Persist carries a number and no records.
	Volatile bool
	// MaxWaitingBytes bounds what waits at the gate; 0 means 4 MiB.
	MaxWaitingBytes int
	// Log receives what the library has to say; nil discards it.
	Log func(Severity, string)
}

func (c *Config) validate() error {
	switch {
	case c.ID == raft.None || raft.IsLocalMsgTarget(c.ID):
		return fmt.Errorf("order/raft: id %d is reserved: use a life id (life<<8 | seat)", c.ID)
	case c.Gate == nil:
		return errors.New("order/raft: no gate: acceptance would prove nothing; set Config.Gate")
	case c.HeartbeatTicks < 1 || c.ElectionTicks <= c.HeartbeatTicks:
		return fmt.Errorf("order/raft: %d election ticks and %d heartbeat ticks: want election > heartbeat >= 1",
			c.ElectionTicks, c.HeartbeatTicks)
	case c.Bootstrap != nil && c.Restart != nil:
		return errors.New("order/raft: both Bootstrap and Restart: a cluster is begun once (R1)")
	case c.Bootstrap != nil && !wellFormed(*c.Bootstrap):
		return errors.New("order/raft: Bootstrap: want at least one voter, and every id once")
	}
	return nil
}

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

	out     order.Ready
	pending []pending // persistence asked for and not confirmed, in order
	seq     uint64
	ask     []*pb.Message // answers that wait for out.Persist
	lazy    []byte        // a record that need not be durable for itself

	commits []*pb.Entry // committed and not acknowledged as applied
	handed  int         // how many of commits were handed out
	applied uint64

	reads    int    // this leader's reads not answered yet
	readTerm uint64 // the term in which they were asked for
	readCtx  uint64 // the highest read confirmation asked of followers in readTerm

	refused, dropped uint64
}

var _ order.Orderer = (*Raft)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together.
func New(c Config) (*Raft, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	l, err := c.beginning()
	if err != nil {
		return nil, err
	}
	r := &Raft{id: c.ID, log: l, gate: c.Gate, volatile: c.Volatile, waitMax: c.MaxWaitingBytes,
		applied: l.base.index}
	if r.waitMax <= 0 {
		r.waitMax = defaultWaitingBytes
	}
	r.node, err = raft.NewRawNode(&raft.Config{
		ID: c.ID, ElectionTick: c.ElectionTicks, HeartbeatTick: c.HeartbeatTicks, Storage: l,
		AsyncStorageWrites: true, MaxSizePerMsg: maxMessageBytes, MaxInflightMsgs: maxInflight,
		MaxUncommittedEntriesSize: maxUncommittedBytes, MaxCommittedSizePerReady: maxApplyingBytes,
		CheckQuorum: true, PreVote: true, ReadOnlyOption: raft.ReadOnlySafe,
		DisableProposalForwarding: true, StepDownOnRemoval: true, Logger: logger{c.Log},
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

func (c *Config) beginning() (*log, error) {
	switch {
	case c.Bootstrap != nil:
		return newLog(position{1, 1}, *c.Bootstrap), nil
	case c.Restart != nil:
		return c.Restart.replay()
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
	if len(r.holes) > 0 {
		r.node.TickQuiesced()
		return
	}
	r.node.Tick()
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
	s := r.node.Status()
	out := order.Status{ID: r.id, Leader: s.Lead, Term: s.GetTerm(), Leading: r.leading(&s.BasicStatus),
		Position: s.GetCommit(), Applied: r.applied, Last: r.log.last(), Waiting: len(r.wait.entries),
		Members: members(r.log.confAt(r.log.last())), Holes: len(r.holes),
		Refused: r.refused, Dropped: r.dropped}
	if s.RaftState == raft.StateLeader {
		out.Match = make(map[uint64]uint64, len(s.Progress))
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
