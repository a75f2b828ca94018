package raft

import (
	pb "go.etcd.io/raft/v3/raftpb"

	"metronome/internal/mutate"
)

// premature is two mutations, else nothing: it lets some answers go before what they rest on is
// durable, and returns the others.
func (r *Raft) premature(answers []*pb.Message) (rest []*pb.Message) {
	for _, m := range answers {
		switch {
		case mutate.On(mutate.VoteBeforePersist) && m.GetType() == pb.MsgVoteResp && m.GetTo() != r.id:
			r.send(m)
		case mutate.On(mutate.ProposeVolatile) && m.GetType() == pb.MsgAppResp && m.GetTo() == r.id:
			r.step(m)
		default:
			rest = append(rest, m)
		}
	}
	return rest
}
