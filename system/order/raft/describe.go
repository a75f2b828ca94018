package raft

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string {
	var m pb.Message
	if err := proto.Unmarshal(b, &m); err != nil {
		return err.Error()
	}
	return raft.DescribeMessage(&m, func(b []byte) string { return fmt.Sprintf("%d bytes", len(b)) })
}

// Said is what a message tells others of its sender's stable storage: only what answers an append or
// a request to vote does. The library writes a message's type first.
func Said(b []byte) (s order.Said) {
	if len(b) < 2 || b[0] != 8 {
		return s
	}
	switch pb.MessageType(b[1]) {
	case pb.MsgHeartbeat:
		s.Alive = true
	case pb.MsgAppResp, pb.MsgVoteResp:
		var m pb.Message
		if proto.Unmarshal(b, &m) == nil && !m.GetReject() {
			s.Term, s.Position = m.GetTerm(), m.GetIndex()
		}
	}
	return s
}
