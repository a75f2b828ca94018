package replica

import (
	"errors"
	"strings"
	"testing"

	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

func ordered(t *testing.T, seat int, consensus string) *Replica {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a key for tests"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Cluster: 7, Seat: seat, Seats: 3, Nonce: uint64(seat) + 1, Digest: d,
		Consensus: consensus,
		Lane:      lane.Config{Window: 64, Arena: 1 << 18}, MaxItem: 1 << 10, Store: store.Config{Slots: 16}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Where members are fixed, a replica without state is told so by the cluster, and no life is minted
// that would supersede the one whose state may come back (R1).
func TestNobodyJoinsWhereMembersAreFixed(t *testing.T) {
	member, lost := ordered(t, 0, "multipaxos"), ordered(t, 1, "multipaxos")
	if err := member.Found([]int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	lost.Tick(1)
	if err := lost.Ready(); !errors.Is(err, errNoMember) {
		t.Fatalf("before it knows of a cluster: %v", err)
	}
	exchange(lost, member)
	exchange(member, lost)
	err := lost.Ready()
	if !errors.Is(err, order.ErrStatic) || !strings.Contains(err.Error(), "restore a backup") {
		t.Fatalf("told: %v", err)
	}
	if lost.ID() != 0 || member.state.lives[1].life != 1 {
		t.Fatalf("life %x, minted %d", lost.ID(), member.state.lives[1].life)
	}
}

// exchange hands one replica's messages for another to it.
func exchange(from, to *Replica) {
	var out node.Output
	from.Output(&out)
	for _, m := range out.Messages {
		if m.To == wire.ReplicaPeer(to.cfg.Seat) {
			to.Message(1, wire.ReplicaPeer(from.cfg.Seat), m.Bytes)
		}
	}
}

func TestAnAlgorithmThatThereIsNotIsRefused(t *testing.T) {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a key for tests"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Seats: 3, Digest: d, Consensus: "paxos", MaxItem: 1 << 10,
		Lane: lane.Config{Window: 64, Arena: 1 << 18}})
	if err == nil || !strings.Contains(err.Error(), "use raft or multipaxos") {
		t.Fatal(err)
	}
}

// The mark on a journal tells algorithms and their quorums apart; raft's is what it was before there were
// others.
func TestOwnersAreToldApart(t *testing.T) {
	if Owner(7, 1, "", 0) != Owner(7, 1, "raft", 0) {
		t.Error(Owner(7, 1, "", 0), Owner(7, 1, "raft", 0))
	}
	seen := map[string]bool{Owner(7, 1, "raft", 0): true}
	for _, name := range []string{"multipaxos", "baxos"} {
		for _, accepts := range []int{0, 2, 3} {
			if mark := Owner(7, 1, name, accepts); seen[mark] {
				t.Errorf("%q twice", mark)
			} else {
				seen[mark] = true
			}
		}
	}
}

// Where everyone leads, one that follows waits anew whenever a round takes the lane on: only a lane that
// stands still is taken over.
func TestARoundThatTakesALaneOnLetsOthersWait(t *testing.T) {
	var l laneState
	for i, step := range []struct {
		now    int64
		at     uint64
		beyond bool
		since  int64
	}{{10, 0, true, 10}, {20, 0, true, 10}, {30, 5, true, 30}, {40, 5, true, 30}, {50, 9, false, 0},
		{60, 9, true, 60}} {
		if l.wait(step.now, step.at, step.beyond); l.waits != step.since {
			t.Errorf("step %d: waits since %d", i, l.waits)
		}
	}
}
