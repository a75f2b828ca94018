package raft

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// ProposeConf implements [order.Orderer]. Learners come first: nothing becomes a voter that was not
// a learner. The last voter stays. The library would turn a change that comes too early into an
// empty entry without a word, so that is checked before.
func (r *Raft) ProposeConf(c order.ConfChange) error {
	if s := r.node.BasicStatus(); !r.leading(&s) {
		return order.ErrNotLeader
	}
	if r.log.lastCC > r.applied {
		return fmt.Errorf("%w: the change at %d is not applied yet", order.ErrMembership, r.log.lastCC)
	}
	kind, err := fitting(c, members(r.log.confAt(r.log.last())))
	if err != nil {
		return err
	}
	err = r.node.ProposeConfChange(&pb.ConfChangeV2{
		Changes: []*pb.ConfChangeSingle{{Type: kind.Enum(), NodeId: new(c.ID)}}})
	r.drain()
	if err != nil {
		return fmt.Errorf("%w: %w", order.ErrBusy, err)
	}
	return nil
}

// fitting translates a change that fits the members.
func fitting(c order.ConfChange, m order.Members) (pb.ConfChangeType, error) {
	voter, learner := slices.Contains(m.Voters, c.ID), slices.Contains(m.Learners, c.ID)
	refuse := func(why string) (pb.ConfChangeType, error) {
		return 0, fmt.Errorf("%w: %d %s", order.ErrMembership, c.ID, why)
	}
	switch {
	case c.ID == raft.None || raft.IsLocalMsgTarget(c.ID):
		return refuse("is a reserved id")
	case c.Type == order.AddLearner && (voter || learner):
		return refuse("is a member already")
	case c.Type == order.Promote && !learner:
		return refuse("is not a learner; add it as one first")
	case c.Type == order.Remove && !voter && !learner:
		return refuse("is not a member")
	case c.Type == order.Remove && voter && len(m.Voters) == 1:
		return refuse("is the last voter")
	}
	switch c.Type {
	case order.AddLearner:
		return pb.ConfChangeAddLearnerNode, nil
	case order.Promote:
		return pb.ConfChangeAddNode, nil
	case order.Remove:
		return pb.ConfChangeRemoveNode, nil
	}
	return 0, fmt.Errorf("%w: unknown change %d", order.ErrMembership, c.Type)
}

// reconfigure puts a committed change into effect, unless it is in effect and is only handed out
// again.
func (r *Raft) reconfigure(e *pb.Entry) *order.Members {
	if confs := r.log.confs; confs[len(confs)-1].from >= e.GetIndex() {
		m := members(r.log.confAt(e.GetIndex()))
		return &m
	}
	change, err := changeOf(e)
	if err != nil {
		panic("order/raft: " + err.Error()) // checked before it was appended
	}
	state := r.node.ApplyConfChange(change)
	r.log.configured(e.GetIndex(), state)
	m := members(state)
	return &m
}

// changeOf decodes a membership change of the one form that ProposeConf makes.
func changeOf(e *pb.Entry) (*pb.ConfChangeV2, error) {
	c := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), c); err != nil {
		return nil, fmt.Errorf("%w membership change at %d: %w", order.ErrMalformed, e.GetIndex(), err)
	}
	if len(c.GetChanges()) != 1 || c.GetTransition() != pb.ConfChangeTransitionAuto {
		return nil, fmt.Errorf("%w membership change at %d: not one simple change",
			order.ErrMalformed, e.GetIndex())
	}
	id, kind := c.GetChanges()[0].GetNodeId(), c.GetChanges()[0].GetType()
	known := kind == pb.ConfChangeAddNode || kind == pb.ConfChangeAddLearnerNode ||
		kind == pb.ConfChangeRemoveNode
	if !known || id == raft.None || raft.IsLocalMsgTarget(id) {
		return nil, fmt.Errorf("%w membership change at %d: %v of %d",
			order.ErrMalformed, e.GetIndex(), kind, id)
	}
	return c, nil
}
