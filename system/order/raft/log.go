package raft

import (
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
)

// position is a place in the log and the term of the entry there.
type position struct{ index, term uint64 }

// conf is a configuration and the position from which on it holds.
type conf struct {
	from  uint64
	state *pb.ConfState
}

// log is the part of the log behind the library's unstable tail: [raft.Storage]. It lives in
// memory. Writes are seen here as soon as they are issued, before they are durable: the library
// reads its unstable tail first and believes a write stable only when told so.
type log struct {
	hard    *pb.HardState
	base    position    // what precedes entries
	entries []*pb.Entry // entries[i] is at base.index+1+i
	confs   []conf      // ascending; the first holds at base
	lastCC  uint64      // the newest membership change in the log, 0 for none

	snapshot *pb.Snapshot // offered to followers
	wanted   bool         // a follower asked for a snapshot, and there was none
}

// newLog is a log that begins after a snapshot; the zero position is a log of nothing.
func newLog(base position, members order.Members) *log {
	l := &log{base: base, confs: []conf{{base.index, confState(members)}}}
	if base.index > 0 {
		l.hard = &pb.HardState{Term: new(base.term), Vote: new(uint64(0)), Commit: new(base.index)}
	}
	return l
}

func (l *log) last() uint64 { return l.base.index + uint64(len(l.entries)) }

// term is the term at an index, 0 where the log does not know it.
func (l *log) term(index uint64) uint64 {
	switch {
	case index == l.base.index:
		return l.base.term
	case index < l.base.index || index > l.last():
		return 0
	}
	return l.entries[index-l.base.index-1].GetTerm()
}

// has reports whether the log holds exactly this entry.
func (l *log) has(p position) bool { return p.term != 0 && l.term(p.index) == p.term }

// append adds entries, replacing what conflicts.
func (l *log) append(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	keep := entries[0].GetIndex() - l.base.index - 1
	if keep < uint64(len(l.entries)) && l.lastCC >= entries[0].GetIndex() {
		l.lastCC = 0 // a change that was replaced never happened; an older one was applied
	}
	if keep < uint64(len(l.entries)) {
		l.entries = l.entries[:keep:keep] // slices handed out before stay as they are
	}
	l.entries = append(l.entries, entries...)
	for _, e := range entries {
		if e.GetType() == pb.EntryConfChangeV2 {
			l.lastCC = e.GetIndex()
		}
	}
}

// restore begins the log anew after a snapshot.
func (l *log) restore(s *pb.Snapshot) {
	m := s.GetMetadata()
	l.base = position{m.GetIndex(), m.GetTerm()}
	l.entries, l.lastCC, l.snapshot = nil, 0, nil
	l.confs = []conf{{l.base.index, m.GetConfState()}}
}

// compact forgets the entries up to index, which was applied.
func (l *log) compact(index uint64) {
	if index <= l.base.index || index > l.last() {
		return
	}
	base := position{index, l.term(index)}
	l.entries = slices.Clone(l.entries[index-l.base.index:])
	l.base = base
	n := 0
	for n+1 < len(l.confs) && l.confs[n+1].from <= index {
		n++
	}
	l.confs = slices.Delete(l.confs, 0, n)
	if s := l.snapshot; s != nil && s.GetMetadata().GetIndex() < index {
		l.snapshot = nil
	}
}

// entryBytes is what an entry takes beyond its data, at most.
const entryBytes = 48

// light is the lowest index behind which the entries take at most so many bytes.
func (l *log) light(bytes int) uint64 {
	n := len(l.entries)
	for n > 0 && bytes >= len(l.entries[n-1].GetData())+entryBytes {
		n--
		bytes -= len(l.entries[n].GetData()) + entryBytes
	}
	return l.base.index + uint64(n)
}

func (l *log) configured(from uint64, state *pb.ConfState) {
	l.confs = append(l.confs, conf{from, state})
}

// confAt is the configuration at a position that was applied.
func (l *log) confAt(index uint64) *pb.ConfState {
	state := l.confs[0].state
	for _, c := range l.confs {
		if c.from <= index {
			state = c.state
		}
	}
	return state
}

// offer makes a snapshot at an applied position available to followers.
func (l *log) offer(index uint64) {
	term := l.term(index)
	if term == 0 || l.snapshot != nil && l.snapshot.GetMetadata().GetIndex() >= index {
		return
	}
	l.snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		ConfState: l.confAt(index), Index: new(index), Term: new(term)}}
	l.wanted = false
}

// InitialState implements [raft.Storage].
func (l *log) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return l.hard, l.confs[0].state, nil
}

// Entries implements [raft.Storage].
func (l *log) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= l.base.index {
		return nil, raft.ErrCompacted
	}
	if hi > l.last()+1 {
		return nil, raft.ErrUnavailable
	}
	entries := l.entries[lo-l.base.index-1 : hi-l.base.index-1]
	n, size := 0, uint64(0)
	for n < len(entries) {
		size += uint64(proto.Size(entries[n]))
		if n > 0 && size > maxSize {
			break
		}
		n++
	}
	return entries[:n:n], nil
}

// Term implements [raft.Storage].
func (l *log) Term(i uint64) (uint64, error) {
	switch {
	case i < l.base.index:
		return 0, raft.ErrCompacted
	case i > l.last():
		return 0, raft.ErrUnavailable
	}
	return l.term(i), nil
}

// LastIndex implements [raft.Storage].
func (l *log) LastIndex() (uint64, error) { return l.last(), nil }

// FirstIndex implements [raft.Storage].
func (l *log) FirstIndex() (uint64, error) { return l.base.index + 1, nil }

// Snapshot implements [raft.Storage]. The library asks when a follower needs entries that are
// compacted, and asks again after every heartbeat answer until there is a snapshot.
func (l *log) Snapshot() (*pb.Snapshot, error) {
	if l.snapshot == nil {
		l.wanted = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return l.snapshot, nil
}

func confState(m order.Members) *pb.ConfState {
	return &pb.ConfState{Voters: slices.Clone(m.Voters), Learners: slices.Clone(m.Learners),
		VotersOutgoing: slices.Clone(m.Outgoing), AutoLeave: new(false)}
}

func members(s *pb.ConfState) order.Members {
	m := order.Members{Voters: slices.Clone(s.GetVoters()), Learners: slices.Clone(s.GetLearners()),
		Outgoing: slices.Clone(s.GetVotersOutgoing())}
	slices.Sort(m.Voters)
	slices.Sort(m.Learners)
	slices.Sort(m.Outgoing)
	return m
}
