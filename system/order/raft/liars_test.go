package raft

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"metronome/system/order"
)

// liar makes well-formed messages with wrong contents, close to what the member believes.
type liar struct {
	rng  *rand.Rand
	term uint64
	last uint64
}

func (l *liar) near(v uint64) uint64 {
	return uint64(max(0, int64(v)+int64(l.rng.IntN(7))-3))
}

func (l *liar) message(from uint64) *pb.Message {
	kinds := []pb.MessageType{pb.MsgApp, pb.MsgApp, pb.MsgApp, pb.MsgAppResp, pb.MsgAppResp, pb.MsgHeartbeat,
		pb.MsgHeartbeatResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp, pb.MsgTimeoutNow,
		pb.MsgReadIndex, pb.MsgReadIndexResp}
	m := &pb.Message{Type: kinds[l.rng.IntN(len(kinds))].Enum(), From: &from, To: new(uint64(1)),
		Term: new(l.near(l.term)), LogTerm: new(l.near(l.term)), Index: new(l.near(l.last)),
		Commit: new(l.near(l.last)), Reject: new(l.rng.IntN(2) == 0), RejectHint: new(l.near(l.last))}
	switch m.GetType() {
	case pb.MsgApp:
		m.Entries = l.entries(m.GetIndex(), m.GetLogTerm(), m.GetTerm())
	case pb.MsgHeartbeatResp:
		m.Context = binary.LittleEndian.AppendUint64(nil, l.near(2))
	case pb.MsgReadIndex, pb.MsgReadIndexResp:
		m.Entries = []*pb.Entry{{Data: make([]byte, 8)}}
		if m.GetType() == pb.MsgReadIndex {
			m.Term = nil
		}
	}
	return m
}

func (l *liar) entries(index, low, high uint64) (out []*pb.Entry) {
	for range l.rng.IntN(4) {
		index++
		low = max(low, min(high, l.near(high)))
		e := &pb.Entry{Index: new(index), Term: new(low), Type: pb.EntryNormal.Enum()}
		switch l.rng.IntN(4) {
		case 0:
			e.Data = decision(at(7, uint64(l.rng.IntN(5)+1)))
		case 1:
			kinds := []pb.ConfChangeType{pb.ConfChangeAddNode, pb.ConfChangeAddLearnerNode, pb.ConfChangeRemoveNode}
			e = confEntry(index, &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{
				oneChange(kinds[l.rng.IntN(len(kinds))], uint64(l.rng.IntN(4)+2))}})
			e.Term = new(low)
		}
		out = append(out, e)
	}
	return out
}

// Well-formed lies from members, in every role: an orderer may be led to agree to anything, and never
// crashes. (Agreement among liars is not promised; that a bug elsewhere does not take all replicas down
// at once is.)
func TestLiarsCrashNobody(t *testing.T) {
	for seed := uint64(1); seed <= 300; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			seedElections(t, seed)
			c := newCluster(t, 1, 2, 3)
			c.liars, c.agreed = true, map[uint64]string{}
			m := c.members[1]
			l := &liar{rng: rand.New(rand.NewPCG(seed, 1))}
			if seed%2 == 0 {
				c.propose(c.elect(1), at(7, 1))
			}
			for range 300 {
				s := m.r.Status()
				l.term, l.last = s.Term, s.Last
				from := uint64(l.rng.IntN(2) + 2)
				_ = m.r.Step(from, marshal(l.message(from)))
				c.act(l, m)
			}
		})
	}
}

// act is what the replica around the orderer might do at any time.
func (c *cluster) act(l *liar, m *member) {
	switch l.rng.IntN(8) {
	case 0, 1:
		m.r.Tick()
	case 2:
		m.shelf.Hold(7, m.shelf.Frames[7]+1)
		m.r.Recheck()
	case 3:
		_ = m.r.Propose(decision(at(7, m.shelf.Frames[7])))
	case 4:
		m.r.ReadIndex(1)
	case 5:
		m.r.Compact(m.place.Position - uint64(l.rng.IntN(2)))
		m.r.Snapshot(m.place.Position)
	case 6:
		m.r.TransferLeader(2)
	case 7:
		kind := order.ConfType(l.rng.IntN(3) + 1)
		_ = m.r.ProposeConf(order.ConfChange{Type: kind, ID: uint64(l.rng.IntN(4) + 1)})
	}
	c.net = nil
	c.ready(m)
}
