package raft

import (
	"encoding/binary"
	"errors"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

func confEntry(index uint64, c *pb.ConfChangeV2) *pb.Entry {
	b, err := proto.Marshal(c)
	if err != nil {
		panic(err)
	}
	return &pb.Entry{Index: new(index), Term: new(uint64(2)), Type: pb.EntryConfChangeV2.Enum(), Data: b}
}

func oneChange(kind pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(id)}
}

// message is from 2 to 1 in term 2 unless said otherwise.
func message(kind pb.MessageType, change func(*pb.Message)) *pb.Message {
	m := &pb.Message{Type: kind.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(2)),
		Index: new(uint64(1)), LogTerm: new(uint64(1))}
	if change != nil {
		change(m)
	}
	return m
}

// Each of these would make the library panic, or do what it must not; here they are errors.
func TestConfusedPeersAreErrors(t *testing.T) {
	u := func(v uint64) *uint64 { return &v }
	normal := func(index, term uint64) *pb.Entry {
		return &pb.Entry{Index: u(index), Term: u(term), Type: pb.EntryNormal.Enum()}
	}
	entries := func(es ...*pb.Entry) func(*pb.Message) {
		return func(m *pb.Message) { m.Entries = es }
	}
	for name, m := range map[string]*pb.Message{
		"another's name":      message(pb.MsgHeartbeat, func(m *pb.Message) { m.From = u(3) }),
		"somebody else's":     message(pb.MsgHeartbeat, func(m *pb.Message) { m.To = u(3) }),
		"no term":             message(pb.MsgPreVote, func(m *pb.Message) { m.Term = nil }),
		"the last term":       message(pb.MsgVote, func(m *pb.Message) { m.Term = u(1 << 63) }),
		"an index too far":    message(pb.MsgApp, func(m *pb.Message) { m.Index = u(1 << 63) }),
		"commits the unknown": message(pb.MsgHeartbeat, func(m *pb.Message) { m.Commit = u(9) }),
		"a gap":               message(pb.MsgApp, entries(normal(3, 2))),
		"falling terms":       message(pb.MsgApp, entries(normal(2, 2), normal(3, 1))),
		"a term to come":      message(pb.MsgApp, entries(normal(2, 3))),
		"no entry term":       message(pb.MsgApp, entries(normal(2, 0))),
		"an old conf change": message(pb.MsgApp, entries(&pb.Entry{Index: u(2), Term: u(2),
			Type: pb.EntryConfChange.Enum()})),
		"not a decision": message(pb.MsgApp, entries(&pb.Entry{Index: u(2), Term: u(2), Data: []byte{1}})),
		"not a conf change": message(pb.MsgApp, entries(&pb.Entry{Index: u(2), Term: u(2),
			Type: pb.EntryConfChangeV2.Enum(), Data: []byte{255}})),
		"leave joint": message(pb.MsgApp, entries(confEntry(2, &pb.ConfChangeV2{}))),
		"nobody removed": message(pb.MsgApp, entries(confEntry(2, &pb.ConfChangeV2{
			Changes: []*pb.ConfChangeSingle{oneChange(pb.ConfChangeRemoveNode, 0)}}))),
		"two changes": message(pb.MsgApp, entries(confEntry(2, &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{
			oneChange(pb.ConfChangeRemoveNode, 2), oneChange(pb.ConfChangeRemoveNode, 3)}}))),
		"state by itself":    message(pb.MsgSnap, nil),
		"a proposal":         message(pb.MsgProp, nil),
		"a local message":    message(pb.MsgHup, nil),
		"forget the leader":  message(pb.MsgForgetLeader, nil),
		"a disk's answer":    message(pb.MsgStorageAppendResp, nil),
		"a transfer":         message(pb.MsgTransferLeader, nil),
		"a read of nothing":  message(pb.MsgReadIndex, func(m *pb.Message) { m.Term = nil }),
		"an answer to none":  message(pb.MsgReadIndexResp, nil),
		"a read with a term": message(pb.MsgReadIndex, entries(&pb.Entry{Data: make([]byte, 8)})),
		"a short context":    message(pb.MsgHeartbeatResp, func(m *pb.Message) { m.Context = []byte{1} }),
		"an unasked context": message(pb.MsgHeartbeatResp, func(m *pb.Message) { m.Context = make([]byte, 8) }),
		"an unknown type":    message(77, nil),
	} {
		c := newCluster(t, 1, 2, 3)
		before := c.members[1].r.Status()
		err := c.members[1].r.Step(2, marshal(m))
		if !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if after := c.members[1].r.Status(); after.Term != before.Term || after.Last != before.Last {
			t.Errorf("%s: %+v became %+v", name, before, after)
		}
	}
	c := newCluster(t, 1, 2, 3)
	if err := c.members[1].r.Step(2, []byte{255, 255}); !errors.Is(err, order.ErrMalformed) {
		t.Errorf("garbage: %v", err)
	}
}

// A leader believes no acknowledgement of what it has not sent, and no confirmation it did not ask for.
func TestLeaderBelievesNoImpossibleAnswer(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	leader.r.ReadIndex(1) // one confirmation is asked for
	c.net = nil
	c.ready(leader)
	term, last := leader.r.term(), leader.r.Status().Last
	for _, from := range []uint64{2, 3} {
		ack := message(pb.MsgAppResp, func(m *pb.Message) {
			m.From, m.Term, m.Index = &from, &term, new(last+1)
		})
		if err := leader.r.Step(from, marshal(ack)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("acknowledging the future: %v", err)
		}
		confirm := message(pb.MsgHeartbeatResp, func(m *pb.Message) {
			m.From, m.Term = &from, &term
			m.Context = binary.LittleEndian.AppendUint64(nil, 1<<40)
		})
		if err := leader.r.Step(from, marshal(confirm)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("confirming what was not asked: %v", err)
		}
	}
	stranger := message(pb.MsgAppResp, func(m *pb.Message) { m.From, m.Term = new(uint64(9)), &term })
	if err := leader.r.Step(9, marshal(stranger)); err == nil {
		t.Error("an answer from a stranger")
	}
}

// Two leaders in one term break Raft: the second is an error.
func TestTwoLeadersInOneTermAreAnError(t *testing.T) {
	c := newCluster(t, 1, 2, 3)
	r := c.members[1].r
	app := func(from uint64) []byte {
		return marshal(message(pb.MsgApp, func(m *pb.Message) {
			m.From = &from
			m.Entries = []*pb.Entry{{Index: new(uint64(2)), Term: new(uint64(2)), Data: decision(at(7, 1))}}
		}))
	}
	if err := r.Step(2, app(2)); err != nil || r.Status().Waiting != 1 {
		t.Fatalf("%v %+v", err, r.Status())
	}
	if err := r.Step(3, app(3)); !errors.Is(err, order.ErrMalformed) {
		t.Fatal(err)
	}
}

// FuzzStep: whatever bytes come from members, in whatever role, nothing panics.
func FuzzStep(f *testing.F) {
	seedElections(f, 1)
	c := newCluster(f, 1, 2, 3)
	c.lost = func(e envelope) bool { f.Add(e.data, uint8(3)); return false }
	leader := c.elect(1)
	c.propose(leader, at(7, 1))
	c.holds(7, 1, 2)
	c.settle()
	leader.r.ReadIndex(5)
	c.members[2].r.ReadIndex(6)
	c.tick()
	c.tick()
	f.Fuzz(func(t *testing.T, data []byte, role uint8) {
		seedElections(t, 1)
		c := newCluster(t, 1, 2, 3)
		c.liars = true
		if role&1 != 0 {
			leader := c.elect(1)
			c.propose(leader, at(7, 1))
			leader.r.ReadIndex(9)
		}
		for rest := data; ; {
			m := c.members[1]
			n := min(len(rest), 64+int(role))
			for _, from := range []uint64{2, 3, 9} {
				_ = m.r.Step(from, rest[:n])
				_ = m.r.Step(from, readdress(rest[:n], from, m.r.term()))
				c.ready(m)
			}
			m.r.Recheck()
			m.r.Tick()
			c.ready(m)
			if rest = rest[n:]; len(rest) == 0 {
				return
			}
		}
	})
}

// readdress makes mutated bytes, if they still are a message, one that passes the first checks.
func readdress(data []byte, from, term uint64) []byte {
	m := &pb.Message{}
	if proto.Unmarshal(data, m) != nil {
		return data
	}
	m.From, m.To = &from, new(uint64(1))
	if m.GetType() != pb.MsgReadIndex && m.GetTerm() > term+3 {
		m.Term = &term
	}
	return marshal(m)
}
