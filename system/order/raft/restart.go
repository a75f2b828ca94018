package raft

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// Restart is what survived.
type Restart = order.Restart

// record encodes a write. A record is the library's storage message without its answers.
func (r *Raft) record(m *pb.Message) []byte {
	if r.volatile {
		return nil
	}
	return marshal(&pb.Message{Type: pb.MsgStorageAppend.Enum(), Term: m.Term, Vote: m.Vote,
		Commit: m.Commit, Entries: m.GetEntries(), Snapshot: m.GetSnapshot()})
}

// recordAll encodes everything that counts after a compaction.
func (r *Raft) recordAll() []byte {
	h := r.log.hard
	return r.record(&pb.Message{Term: h.Term, Vote: h.Vote, Commit: h.Commit, Entries: r.log.entries})
}

// replay builds the log again.
func replay(s *Restart) (*log, error) {
	if s.Snapshot.Position > 0 && !s.Snapshot.Members.WellFormed(raft.IsLocalMsgTarget) {
		return nil, fmt.Errorf("%w members in the snapshot at %d: repair from peers",
			order.ErrMalformed, s.Snapshot.Position)
	}
	l := newLog(position{s.Snapshot.Position, s.Snapshot.Term}, s.Snapshot.Members)
	for i, b := range s.Records {
		m := &pb.Message{}
		if err := proto.Unmarshal(b, m); err != nil || m.GetType() != pb.MsgStorageAppend {
			return nil, fmt.Errorf("%w orderer record %d of %d: repair from peers", order.ErrMalformed,
				i+1, len(s.Records))
		}
		if err := l.redo(m); err != nil {
			return nil, fmt.Errorf("orderer record %d of %d: %w", i+1, len(s.Records), err)
		}
	}
	if len(l.entries) > 0 && l.entries[0].GetTerm() < l.base.term {
		// A snapshot came in and the write that drops what it contradicts did not last. Had the entries
		// matched it, their terms could not be lower: the log is the snapshot alone (Raft, section 7).
		l.entries, l.lastCC = nil, 0
	}
	if err := wholesome(l.base, l.entries); err != nil {
		return nil, fmt.Errorf("%w: repair from peers", err)
	}
	if h := l.hard; h != nil {
		h.Commit = new(max(h.GetCommit(), l.base.index))
		if h.GetCommit() > l.last() {
			return nil, fmt.Errorf("%w: committed %d, but the records end at %d: repair from peers",
				order.ErrMalformed, h.GetCommit(), l.last())
		}
	}
	return l, nil
}

// redo repeats one write. What the durable state covers is passed over.
func (l *log) redo(m *pb.Message) error {
	if index := m.GetSnapshot().GetMetadata().GetIndex(); index > l.base.index {
		return fmt.Errorf("%w: the state at %d is missing, there is one at %d",
			order.ErrMalformed, index, l.base.index)
	} else if index > 0 {
		l.entries, l.lastCC = nil, 0
	}
	if err := l.rewrite(m.GetEntries()); err != nil {
		return err
	}
	if m.Term != nil {
		l.hard = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	return nil
}

// rewrite repeats an append. It replaces everything from its first entry on, even if the state
// covers that entry: what an older record wrote behind it was replaced then, too.
func (l *log) rewrite(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first := entries[0].GetIndex()
	if first > l.last()+1 {
		return fmt.Errorf("%w: entry %d follows %d", order.ErrMalformed, first, l.last())
	}
	if err := wholesome(position{index: first - 1}, entries); err != nil {
		return err
	}
	covered := max(l.base.index+1, first) - first // entries that the state covers
	l.entries = l.entries[:max(l.base.index+1, first)-l.base.index-1]
	l.append(entries[min(covered, uint64(len(entries))):])
	return nil
}

// wholesome checks entries that were read back and follow prev.
func wholesome(prev position, entries []*pb.Entry) error {
	why := checkEntries(&pb.Message{Index: new(prev.index), LogTerm: new(prev.term),
		Term: new(uint64(maxTerm)), Entries: entries})
	if why != "" {
		return fmt.Errorf("%w: %s", order.ErrMalformed, why)
	}
	return nil
}

// hole is an entry that was logged before a restart and whose cut is not known to be held since.
type hole struct {
	position
	cut      order.Cut
	reported bool
}

// findHoles examines, after a restart, every logged entry that is not applied (R4).
func (r *Raft) findHoles() error {
	cuts, err := cutsOf(r.log.entries)
	if err != nil {
		return fmt.Errorf("%w: repair from peers", err)
	}
	for i, e := range r.log.entries {
		if cuts[i] != nil {
			p := position{e.GetIndex(), e.GetTerm()}
			r.holes = append(r.holes, hole{position: p, cut: cuts[i]})
		}
	}
	r.fillHoles()
	return nil
}

// fillHoles forgets the holes that are held by now, were replaced by a leader, or are covered by a
// snapshot, in order and up to the first that is not: what lies behind it cannot be applied anyway,
// and a long log is looked through once.
func (r *Raft) fillHoles() {
	for len(r.holes) > 0 {
		h := &r.holes[0]
		if h.index > r.applied && r.log.has(h.position) {
			v := r.gate.Holds(h.cut)
			if v == order.Mismatch && !h.reported {
				h.reported = true
				r.out.Refuse(0, h.cut)
			}
			if v != order.Held {
				return
			}
		}
		r.holes = r.holes[1:]
	}
}

// isHole reports whether an entry waits for what it needs; those before the first hole do not.
func (r *Raft) isHole(e *pb.Entry) bool {
	return len(r.holes) > 0 && e.GetIndex() >= r.holes[0].index
}
