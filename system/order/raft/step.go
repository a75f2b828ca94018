package raft

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// No cluster gets this far in its life; beyond it, sums could wrap around.
const (
	maxTerm  = 1 << 62
	maxIndex = 1 << 62
)

// Step implements [order.Orderer]. The library panics on messages that break its rules, for its
// peers are its equals; here a message is checked first, so that a confused peer is an error and no
// crash.
func (r *Raft) Step(from uint64, msg []byte) error {
	m := &pb.Message{}
	if err := proto.Unmarshal(msg, m); err != nil {
		return fmt.Errorf("%w message from %d: %w", order.ErrMalformed, from, err)
	}
	if err := r.check(from, m); err != nil {
		return err
	}
	if err := r.dispatch(m); err != nil {
		return fmt.Errorf("order/raft: %v from %d: %w", m.GetType(), from, err)
	}
	r.drain()
	return nil
}

func (r *Raft) dispatch(m *pb.Message) error {
	switch m.GetType() {
	case pb.MsgApp:
		return r.accept(m)
	case pb.MsgTimeoutNow:
		if len(r.holes) > 0 {
			return fmt.Errorf("%w: %d cuts are not held here since the restart", order.ErrNotHeld, len(r.holes))
		}
	case pb.MsgReadIndex:
		if s := r.node.BasicStatus(); s.RaftState != raft.StateLeader {
			return order.ErrNotLeader
		} else if !r.admitRead(s.GetTerm()) {
			return order.ErrBusy
		}
	}
	return r.node.Step(m)
}

// check refuses what no orderer of this package sends.
func (r *Raft) check(from uint64, m *pb.Message) error {
	bad := func(why string) error {
		return fmt.Errorf("%w message %v from %d: %s", order.ErrMalformed, m.GetType(), from, why)
	}
	switch {
	case from == raft.None || raft.IsLocalMsgTarget(from) || from == r.id || m.GetFrom() != from:
		return bad("sent in another name")
	case m.GetTo() != r.id:
		return bad("for somebody else")
	case m.GetType() == pb.MsgReadIndex && m.GetTerm() != 0,
		m.GetType() != pb.MsgReadIndex && m.GetTerm() == 0, m.GetTerm() > maxTerm:
		return bad("term out of bounds")
	case m.GetIndex() > maxIndex || m.GetCommit() > maxIndex || m.GetLogTerm() > maxTerm:
		return bad("position out of bounds")
	}
	if why := r.checkBody(m); why != "" {
		return bad(why)
	}
	return nil
}

// checkBody returns what is wrong with a message of its type, or nothing.
func (r *Raft) checkBody(m *pb.Message) string {
	switch m.GetType() {
	case pb.MsgApp:
		return checkEntries(m)
	case pb.MsgHeartbeat:
		if m.GetTerm() >= r.term() && m.GetCommit() > r.log.last() {
			return "it commits what was acknowledged here and is gone: was this id's log lost? (R1)"
		}
	case pb.MsgAppResp:
		if m.GetTerm() == r.term() && !m.GetReject() && m.GetIndex() > r.log.last() {
			return "acknowledges what was never sent"
		}
	case pb.MsgHeartbeatResp:
		return r.checkConfirmation(m)
	case pb.MsgReadIndex, pb.MsgReadIndexResp:
		if len(m.GetEntries()) != 1 || len(m.GetEntries()[0].GetData()) != 8 {
			return "not one read"
		}
	case pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp, pb.MsgTimeoutNow:
	default:
		return "not a type that travels"
	}
	return ""
}

// checkConfirmation refuses to confirm reads that were never asked about.
func (r *Raft) checkConfirmation(m *pb.Message) string {
	switch {
	case len(m.GetContext()) == 0 || m.GetTerm() < r.term():
		return ""
	case len(m.GetContext()) != 8:
		return "its context is not a read confirmation"
	case r.readTerm != m.GetTerm() || binary.LittleEndian.Uint64(m.GetContext()) > r.readCtx:
		return "confirms reads that were not asked about"
	}
	return ""
}

// checkEntries: an append's entries follow each other, with terms that never fall.
func checkEntries(m *pb.Message) string {
	index, term := m.GetIndex(), m.GetLogTerm()
	for _, e := range m.GetEntries() {
		index++
		if e.GetIndex() != index {
			return "its entries do not follow each other"
		}
		if e.GetTerm() < term || e.GetTerm() == 0 || e.GetTerm() > m.GetTerm() {
			return "its terms are out of order"
		}
		term = e.GetTerm()
		switch e.GetType() {
		case pb.EntryNormal:
		case pb.EntryConfChangeV2:
			if _, err := changeOf(e); err != nil {
				return err.Error()
			}
		default:
			return "an entry of a type that is not used"
		}
	}
	return ""
}
