package arm

import (
	"errors"
	"testing"
	"time"

	"metronome/harness/peer"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/harness/testbed"
	"metronome/system/packet"
)

func storeEnv(t *testing.T) StoreEnv {
	t.Helper()
	bed, err := testbed.Open("stores-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	return StoreEnv{Bed: bed, Bin: binaries(t), Logs: t.TempDir()}
}

// Our own store and a library are started, loaded as asked, and stopped; what is missing is told.
func TestStores(t *testing.T) {
	e := storeEnv(t)
	w := spec.Workload{Keys: 100, KeyBytes: 16, ValueBytes: 64}
	for _, a := range []spec.StoreArm{{Name: "ours", Peer: "metronome"}, {Name: "resp", Peer: "metronome-resp"},
		{Name: "library", Peer: "hashicorp-raft", Mode: "64"}} {
		t.Run(a.Name, func(t *testing.T) {
			s, err := e.Open(spec.StoreGroup{Arm: a, Set: spec.Settings{Replicas: 3}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ask := StoreAsk{Workload: w, Warmup: 50 * time.Millisecond, Window: 300 * time.Millisecond,
				Preload: true, Seed: 1}
			closed, err := s.Trial(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			ask.Preload, ask.RateOPS = false, 1000
			open, err := s.Trial(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			ask.RateOPS, ask.Outstanding = 0, 1
			one, err := s.Trial(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []record.StoreTrial{closed, open, one} {
				if r.CompletedOps == 0 || !(r.LatencyP50 > 0) || !(r.CPUNSSystem > 0) || r.FailedOps > 0 ||
					r.Version == "" {
					t.Errorf("row %+v", r)
				}
			}
			if open.OfferedOPS != 1000 || one.Outstanding != 1 || one.Connections != 1 || closed.Outstanding == 1 {
				t.Errorf("offered %g, outstanding %d and %d", open.OfferedOPS, one.Outstanding, closed.Outstanding)
			}
		})
	}
	_, err := e.Open(spec.StoreGroup{Arm: spec.StoreArm{Name: "etcd", Peer: "etcd"}})
	var lacking *packet.ErrUnavailable
	if !errors.As(err, &lacking) || lacking.Next != "make peers" {
		t.Errorf("etcd, which is not built: %v", err)
	}
}

// Every setting that a declaration may hold is one that our store knows.
func TestSettingsAreKnown(t *testing.T) {
	all := spec.Settings{Replicas: 3, Lanes: 2, Multicast: "unicast", RoundInterval: time.Millisecond,
		ForceRoundInterval: true, ApplyPerItem: time.Microsecond, FramesPerSecond: 5, LaneWindowFrames: 64,
		LaneArenaBytes: 1 << 20, ReceiveBuffer: 1 << 20, ValueBytes: 1024,
		Durability: "fsync", FsyncEachFrame: true}
	parsed, err := peer.ParseSettings(all.String())
	if err != nil || len(parsed) != len(peer.SettingNames()) {
		t.Errorf("%d of %d settings: %v", len(parsed), len(peer.SettingNames()), err)
	}
	for _, name := range peer.SettingNames() {
		if _, ok := parsed[name]; !ok {
			t.Errorf("a declaration cannot set %s", name)
		}
	}
}

// The declared arms name systems and modes that exist.
func TestDeclaredStoresExist(t *testing.T) {
	peers := append(peer.All(), peer.Ours()...)
	for _, name := range spec.List("../../experiments") {
		if kind, err := spec.KindOf("../../experiments", name); err != nil || kind != spec.KindStore {
			continue
		}
		e, err := spec.LoadStore("../../experiments", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range e.Arms {
			p, err := peer.Find(peers, a.Peer)
			if err == nil {
				_, err = p.Mode(a.Mode)
			}
			if err != nil {
				t.Errorf("%s: arm %s: %v", name, a.Name, err)
			}
		}
	}
}
