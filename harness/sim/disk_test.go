package sim

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/wire"
)

// What a message promises of stable storage is read from the bytes as replicas write them: were it
// misread, nothing would be looked for on any disk.
func TestPromisesAreReadFromMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *raftpb.Message
		want Promise
	}{
		{"accepted", &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), Term: new(uint64(7)), Index: new(uint64(9))},
			Promise{Term: 7, Position: 9}},
		{"rejected", &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), Term: new(uint64(7)), Index: new(uint64(9)),
			Reject: new(true)}, Promise{}},
		{"voted", &raftpb.Message{Type: raftpb.MsgVoteResp.Enum(), Term: new(uint64(8))}, Promise{Term: 8}},
		{"would vote", &raftpb.Message{Type: raftpb.MsgPreVoteResp.Enum(), Term: new(uint64(8))}, Promise{}},
		{"alive", &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), Term: new(uint64(8))}, Promise{Alive: true}},
	} {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.m)
		if err != nil {
			t.Fatal(err)
		}
		message := append(append([]byte{byte(wire.KindOrder)}, make([]byte, orderHeader)...), b...)
		if got := Store().(Keeper).Promise(message); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if got := Store().(Keeper).Promise([]byte{byte(wire.KindOrder)}); got != (Promise{}) {
		t.Errorf("a stump: %+v", got)
	}
}

// Damage stays within one block: more could hide what was promised together with all that testifies
// to it.
func TestDamageStaysWithinABlock(t *testing.T) {
	n := nemesis{rng: rand.New(rand.NewPCG(1, 2))}
	touched := 0
	for range 500 {
		before := make([]byte, 1+n.rng.IntN(20_000))
		for i := range before[:len(before)/2] {
			before[i] = byte(n.rng.Uint32())
		}
		after := n.rot(bytes.Clone(before))
		first, last := -1, -1
		for i := range before {
			if before[i] != after[i] {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first >= 0 {
			touched++
		}
		if first/4096 != last/4096 || len(after) != len(before) {
			t.Fatalf("damage from %d to %d, length %d to %d", first, last, len(before), len(after))
		}
	}
	if touched < 400 {
		t.Errorf("%d of 500 were changed", touched)
	}
}

// Every kind of disk fault, and every way on from it, is reached in a few seeds: a simulation that
// never gets there proves nothing about it.
func TestDisksAreReached(t *testing.T) {
	sum, missing := Coverage{}, []string{"power of all replicas lost", "disk wiped", "disk damaged",
		"power lost between two operations on the disk", "process ended by an error of its disk",
		"process ended by a full disk", "life continued from its disk", "life ended with its disk",
		"life continued from a saved snapshot", "disk looked at, as a power failure would leave it",
		"restored from a backup", "session found expired", "piece of a snapshot behind its first",
		"transfer of state begun anew, of another snapshot"}
	for seed := uint64(0); seed < 60 && len(missing) > 0; seed++ {
		for _, profile := range []string{"disk-all", "disk-restore"} {
			sum.Merge(runStore(t, seed, profile).Coverage)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return sum[name] > 0 })
	}
	if len(missing) > 0 {
		t.Errorf("never: %v", missing)
	}
}
