package raft

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// said is what a leader was told last, and lately: up to where its log is accepted here. An append
// without entries, by which it makes known what is committed, asks for the same answer again; left out,
// it spares both sides a quarter of their messages on a quiet cluster, and the follower a write that has
// to be durable before an answer that is none. It may be left out because any message may be lost; and
// for two ticks at most, since a leader that did lose the first one asks again, heartbeat by heartbeat.
type said struct {
	to, term, index uint64
	ticks           int // since then
}

func (s *said) tick() {
	if s.ticks++; s.ticks > 1 {
		*s = said{}
	}
}

func (s *said) knows(m *pb.Message) bool {
	return s.index > 0 && s.index == m.GetIndex() && s.term == m.GetTerm() && s.to == m.GetTo()
}

func accepts(m *pb.Message) bool { return m.GetType() == pb.MsgAppResp && !m.GetReject() }

// unsaid returns the answers that tell something.
func (s *said) unsaid(answers []*pb.Message) []*pb.Message {
	return slices.DeleteFunc(answers, func(m *pb.Message) bool { return accepts(m) && s.knows(m) })
}

// note remembers what is told.
func (s *said) note(answers []*pb.Message) {
	for _, m := range answers {
		if accepts(m) {
			*s = said{to: m.GetTo(), term: m.GetTerm(), index: m.GetIndex()}
		}
	}
}
