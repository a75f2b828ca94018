package raft

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// snapshotMeta is what stands for a snapshot message: the state itself goes by another way, and the
// receiver steps the message when the state is durable there (R30).
func snapshotMeta(m *pb.Message) order.SnapshotMeta {
	meta := m.GetSnapshot().GetMetadata()
	return order.SnapshotMeta{To: m.GetTo(), Position: meta.GetIndex(), Term: meta.GetTerm(),
		Members: members(meta.GetConfState()), Message: marshal(m)}
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (r *Raft) Compact(position uint64) {
	before := r.log.base
	r.log.compact(min(max(position, r.log.light(order.MaxRepeated)), r.node.BasicStatus().Applied))
	if r.log.base == before {
		return
	}
	r.await()
	r.repeat()
}

// repeat adds a record of everything that counts from here on.
func (r *Raft) repeat() {
	r.lazy = nil
	r.out.Repeat(r.log.base.index, r.recordAll())
}

// Place implements [order.Orderer].
func (r *Raft) Place(position uint64) (order.SnapshotMeta, bool) {
	term := r.log.term(position)
	if term == 0 || position > r.applied {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: term, Members: members(r.log.confAt(position))}, true
}

// Snapshot implements [order.Orderer]. An offer older than the log, or than the last, is ignored.
func (r *Raft) Snapshot(position uint64) {
	if position <= r.applied {
		r.log.offer(position)
	}
}

// SnapshotSent implements [order.Orderer]. A transfer that ended well changes nothing here: the
// follower's own answer does, when it has restored.
func (r *Raft) SnapshotSent(to uint64, ok bool) {
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	r.node.ReportSnapshot(to, status)
	r.drain()
}

// Restore implements [order.Orderer]. A snapshot at or before what is applied is answered, so that
// the leader knows, and changes nothing.
func (r *Raft) Restore(s order.SnapshotMeta) error {
	m, err := r.snapshotMessage(s)
	if err != nil {
		return err
	}
	status := r.node.BasicStatus()
	if status.RaftState == raft.StateLeader {
		return fmt.Errorf("%w: this replica leads at %d", order.ErrStale, r.applied)
	}
	if m.GetTerm() < status.GetTerm() {
		// Committed state is true in every later term, but its sender does not lead this one.
		m.Term, m.From = new(status.GetTerm()), new(status.Lead)
	}
	r.step(m)
	if s.Position < r.applied {
		r.drain()
		return fmt.Errorf("%w: at %d, applied %d", order.ErrStale, s.Position, r.applied)
	}
	r.wait, r.applied = run{}, s.Position
	r.handed, r.out.Ready.Committed = 0, nil // what lies after it is handed out again
	r.drain()
	r.deliver()
	r.drain()
	if r.log.base.index == s.Position {
		r.repeat()
	}
	return nil
}

// snapshotMessage decodes and checks what came with the state.
func (r *Raft) snapshotMessage(s order.SnapshotMeta) (*pb.Message, error) {
	m := &pb.Message{}
	if err := proto.Unmarshal(s.Message, m); err != nil {
		return nil, fmt.Errorf("%w snapshot message: %w", order.ErrMalformed, err)
	}
	meta := m.GetSnapshot().GetMetadata()
	state := members(meta.GetConfState())
	switch {
	case m.GetType() != pb.MsgSnap || m.GetTerm() == 0 || m.GetTerm() > maxTerm,
		meta.GetIndex() == 0, meta.GetIndex() > maxIndex,
		meta.GetTerm() == 0, meta.GetTerm() > m.GetTerm(), !state.WellFormed(raft.IsLocalMsgTarget):
		return nil, fmt.Errorf("%w snapshot message", order.ErrMalformed)
	case meta.GetIndex() != s.Position:
		return nil, fmt.Errorf("%w: the state is at %d, the snapshot message at %d: fetch both again",
			order.ErrMalformed, s.Position, meta.GetIndex())
	case m.GetTo() != r.id:
		return nil, fmt.Errorf("%w: a snapshot for %d at %d", order.ErrMalformed, m.GetTo(), r.id)
	case !slices.Contains(state.Voters, r.id) && !slices.Contains(state.Learners, r.id):
		return nil, fmt.Errorf("%w: %d is not a member in the snapshot at %d: wait for a later one",
			order.ErrMembership, r.id, s.Position)
	}
	return m, nil
}
