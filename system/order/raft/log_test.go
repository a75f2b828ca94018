package raft

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"metronome/system/order"
)

func entriesOf(term uint64, indices ...uint64) (out []*pb.Entry) {
	for _, i := range indices {
		out = append(out, &pb.Entry{Index: new(i), Term: new(term), Type: pb.EntryNormal.Enum()})
	}
	return out
}

// Slices that the library was given stay as they are when the log is truncated and grows again.
func TestLogNeverWritesIntoWhatItGaveOut(t *testing.T) {
	l := newLog(position{4, 1}, order.Members{Voters: []uint64{1}})
	l.append(entriesOf(2, 5, 6, 7))
	out, err := l.Entries(5, 8, 1<<20)
	if err != nil || len(out) != 3 {
		t.Fatal(out, err)
	}
	before := slices.Clone(out)
	l.append(entriesOf(3, 6, 7))
	if !slices.Equal(out, before) {
		t.Fatal("a slice given out was overwritten")
	}
	if l.last() != 7 || l.term(5) != 2 || l.term(6) != 3 || l.term(9) != 0 || l.term(3) != 0 {
		t.Fatalf("%+v", l)
	}
}

func TestLogBounds(t *testing.T) {
	l := newLog(position{4, 1}, order.Members{Voters: []uint64{1}})
	l.append(entriesOf(2, 5, 6, 7, 8))
	l.compact(6)
	l.compact(5)  // older: nothing
	l.compact(99) // beyond the log: nothing
	if first, _ := l.FirstIndex(); first != 7 || l.last() != 8 || l.term(6) != 2 {
		t.Fatalf("%+v", l)
	}
	if _, err := l.Entries(6, 8, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Fatal(err)
	}
	if _, err := l.Entries(7, 10, 1); !errors.Is(err, raft.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := l.Term(5); !errors.Is(err, raft.ErrCompacted) {
		t.Fatal(err)
	}
	if _, err := l.Term(9); !errors.Is(err, raft.ErrUnavailable) {
		t.Fatal(err)
	}
	if out, err := l.Entries(7, 9, 0); err != nil || len(out) != 1 {
		t.Fatalf("at least one entry, whatever its size: %v %v", out, err)
	}
}

// A snapshot carries the members as they were at its position.
func TestSnapshotHasTheMembersOfItsPosition(t *testing.T) {
	l := newLog(position{4, 1}, order.Members{Voters: []uint64{1}})
	l.append(entriesOf(2, 5, 6, 7, 8))
	l.configured(6, confState(order.Members{Voters: []uint64{1}, Learners: []uint64{2}}))
	l.configured(8, confState(order.Members{Voters: []uint64{1, 2}}))
	for i, want := range []string{
		4: "{[1] [] []}", 5: "{[1] [] []}", 6: "{[1] [2] []}", 7: "{[1] [2] []}", 8: "{[1 2] [] []}",
	} {
		l.snapshot = nil
		l.offer(uint64(i))
		if got := fmt.Sprint(members(l.snapshot.GetMetadata().GetConfState())); i > 3 && got != want {
			t.Errorf("at %d: %s, want %s", i, got, want)
		}
	}
	l.compact(7)
	if got := fmt.Sprint(members(l.confAt(7))); got != "{[1] [2] []}" || len(l.confs) != 2 {
		t.Errorf("after compaction: %s, %d kept", got, len(l.confs))
	}
	l.offer(5)
	if l.snapshot.GetMetadata().GetIndex() != 8 {
		t.Errorf("an older offer replaced a newer one")
	}
}

// What was not handed out cannot have been applied.
func TestAppliedBeyondWhatWasHandedOut(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1)
	m := c.elect(1)
	m.shelf.Hold(7, 1)
	for range 3 {
		if err := m.r.Propose(decision(at(7, 1))); err != nil {
			t.Fatal(err)
		}
		m.r.Applied(1 << 40) // nothing is handed out
		m.r.Persisted(m.r.Ready().Persist.Seq)
		m.r.Applied(1 << 40) // one position is
		if s := m.r.Status(); s.Applied != s.Last {
			t.Fatalf("%+v", s)
		}
	}
}

// The log keeps what is not applied, whatever it is told to forget.
func TestCompactKeepsWhatIsNotApplied(t *testing.T) {
	seedElections(t, 1)
	c := newCluster(t, 1, 2, 3)
	leader := c.elect(1)
	c.holds(7, 9, 2, 3)
	applied := leader.place.Position
	leader.shelf.Hold(7, 9)
	for n := uint64(1); n <= 3; n++ {
		if err := leader.r.Propose(decision(at(7, n))); err != nil {
			t.Fatal(err)
		}
	}
	leader.r.Compact(leader.r.Status().Last)
	leader.r.Snapshot(leader.r.Status().Last)
	if got := leader.r.log.base.index; got != applied {
		t.Fatalf("compacted to %d, applied %d", got, applied)
	}
	if leader.r.log.snapshot != nil {
		t.Fatal("took an offer of state that is not applied")
	}
	c.ready(leader)
	c.settle()
	if leader.place.Position != applied+3 {
		t.Fatalf("%+v", leader.r.Status())
	}
}
