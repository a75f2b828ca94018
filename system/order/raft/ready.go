package raft

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// drain takes everything the library has ready. Every method that lets the library do something
// ends with it, so that between calls the log here is the library's whole log.
func (r *Raft) drain() {
	for r.node.HasReady() {
		rd := r.node.Ready()
		for _, m := range rd.Messages {
			r.route(m)
		}
		for _, s := range rd.ReadStates {
			r.answered(s)
		}
		r.deliver()
	}
}

func (r *Raft) route(m *pb.Message) {
	switch m.GetTo() {
	case raft.LocalAppendThread:
		r.store(m)
	case raft.LocalApplyThread:
		r.commits = append(r.commits, m.GetEntries()...)
	default:
		r.send(m)
	}
}

// store takes what the library wants written: into the log at once, and into a record for the
// caller to make durable. A write that nothing waits for (a commit index) goes along with the next.
func (r *Raft) store(m *pb.Message) {
	if s := m.GetSnapshot(); s != nil {
		r.log.restore(s)
	}
	r.log.append(m.GetEntries())
	if m.Term != nil {
		r.log.hard = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	answers := m.GetResponses()
	if len(m.GetEntries()) == 0 && m.GetSnapshot() == nil {
		answers = r.said.unsaid(answers)
	}
	if len(answers) == 0 {
		r.lazy = r.record(m)
		return
	}
	r.out.Record(r.lazy)
	r.out.Record(r.record(m))
	r.lazy = nil
	r.said.note(answers)
	r.out.Hold(r.premature(answers)...)
}

// send passes a message on, or what it stands for.
func (r *Raft) send(m *pb.Message) {
	switch {
	case m.GetTo() == raft.None || m.GetTo() == r.id:
		return
	case m.GetType() == pb.MsgSnap:
		r.out.Ready.Snapshots = append(r.out.Ready.Snapshots, snapshotMeta(m))
		return
	case m.GetType() == pb.MsgReadIndexResp:
		r.reads = max(0, r.reads-1)
	case m.GetType() == pb.MsgHeartbeat && len(m.GetContext()) == 8:
		r.confirming(m)
	}
	r.out.Send(m.GetTo(), marshal(m))
}

// confirming remembers the highest confirmation that this leader asks of followers.
func (r *Raft) confirming(m *pb.Message) {
	r.readsOf(m.GetTerm())
	r.readCtx = max(r.readCtx, binary.LittleEndian.Uint64(m.GetContext()))
}

func (r *Raft) answered(s raft.ReadState) {
	r.reads = max(0, r.reads-1)
	read := order.Read{Ctx: binary.LittleEndian.Uint64(s.RequestCtx), Position: s.Index}
	r.out.Ready.Reads = append(r.out.Ready.Reads, read)
}

// deliver hands out what is committed, in order, up to the first hole (R4). Membership changes take
// effect here, as they are handed out first. What a restored snapshot covers is passed over.
func (r *Raft) deliver() {
	r.fillHoles()
	for r.handed < len(r.commits) && !r.isHole(r.commits[r.handed]) {
		e := r.commits[r.handed]
		r.handed++
		c := order.Committed{Position: e.GetIndex(), Term: e.GetTerm()}
		switch e.GetType() {
		case pb.EntryConfChangeV2:
			c.Members = r.reconfigure(e)
			r.keepCommit()
		default:
			c.Decision = e.GetData()
		}
		if c.Position > r.applied {
			r.out.Ready.Committed = append(r.out.Ready.Committed, c)
		}
	}
	r.acknowledge()
}

// keepCommit has it made durable at once that a configuration is committed. The library goes by it only
// when it is applied: had all forgotten in a loss of power that it is, and the leader its disk, they would
// wait for a majority of the configuration before, which there need not be any more.
func (r *Raft) keepCommit() {
	if r.lazy != nil {
		r.out.Record(r.lazy)
		r.out.Hurry()
		r.lazy = nil
	}
}

// acknowledge tells the library how far committed entries are applied.
func (r *Raft) acknowledge() {
	n := 0
	for n < r.handed && r.commits[n].GetIndex() <= r.applied {
		n++
	}
	if n == 0 {
		return
	}
	done := r.commits[:n:n]
	r.commits, r.handed = r.commits[n:], r.handed-n
	if len(r.commits) == 0 {
		r.commits = nil
	}
	r.step(&pb.Message{Type: pb.MsgStorageApplyResp.Enum(), From: new(raft.LocalApplyThread),
		To: new(r.id), Entries: done})
}

// Ready implements [order.Orderer].
func (r *Raft) Ready() order.Ready {
	out := r.out.Take()
	out.WantSnapshot, r.log.wanted = r.log.wanted, false
	return out
}

// Persisted implements [order.Orderer].
func (r *Raft) Persisted(seq uint64) {
	for _, m := range r.out.Durable(seq) {
		if m.GetTo() == r.id {
			r.step(m)
		} else {
			r.send(m)
		}
	}
	r.drain()
}

// Applied implements [order.Orderer]. A position that was not handed out yet is not believed.
func (r *Raft) Applied(position uint64) {
	if r.handed == 0 {
		return
	}
	handed := r.commits[r.handed-1].GetIndex()
	r.applied = max(r.applied, min(position, handed))
	r.acknowledge()
	r.Recheck() // what was applied may have opened or closed lanes
}

// step gives the library a message that was checked. What it still declines (a response from a
// member removed meanwhile, a proposal at the wrong time) has no effect.
func (r *Raft) step(m *pb.Message) { _ = r.node.Step(m) }

func marshal(m *pb.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("order/raft: cannot encode " + m.GetType().String() + ": " + err.Error())
	}
	return b
}
