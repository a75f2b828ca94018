package arm

import (
	"math"
	"testing"
	"time"

	"metronome/harness/nemesis"
	"metronome/harness/record"
	"metronome/harness/spec"
)

// A real cluster is killed, and everything is found again.
func TestCrash(t *testing.T) {
	e := storeEnv(t)
	g := spec.StoreGroup{Arm: spec.StoreArm{Name: "ours"}, Setup: spec.Setup{Name: "default"},
		Set: spec.Settings{Replicas: 3, Durability: "fsync"}}
	c, err := e.OpenCrash(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Trial(t.Context(), StoreAsk{Workload: spec.Workload{ValueBytes: 64}, RateOPS: 500, Seed: 3,
		Kill: []string{spec.KillReplicas, spec.KillProxy, spec.KillLeader}, Kills: 3})
	if err != nil {
		t.Fatal(err)
	}
	x := r.Crash
	if r.Status != record.StatusOK || x.Kills != 3 || x.LostWrites != 0 || x.PhantomWrites != 0 ||
		x.NotLinearizable != 0 || x.DifferingStates != 0 || x.Unrecovered != 0 {
		t.Errorf("%s: %+v", r.Reason, x)
	}
	if !(x.AckedWrites > 0) || !(x.CheckedOps > 0) || len(r.Kills) != 4 || len(r.Timeline) == 0 ||
		r.DataFS == "tmpfs" {
		t.Errorf("%d kills, %d moments, data on %s: %+v", len(r.Kills), len(r.Timeline), r.DataFS, x)
	}
}

func TestOutages(t *testing.T) {
	var events []nemesis.Event
	for i := range 10 {
		events = append(events, nemesis.Event{Role: nemesis.RoleLeader, Rejoin: time.Second,
			Outage: time.Duration(i+1) * time.Millisecond})
	}
	events = append(events, nemesis.Event{Role: nemesis.RoleProxy, Outage: time.Millisecond, Own: time.Second},
		nemesis.Event{Role: nemesis.RoleNobody, Outage: 2 * time.Millisecond, Rejoin: time.Minute})
	var x record.Crash
	x.FollowerP99 = 7
	outages(&x, events)
	if x.Kills != 11 || x.LeaderP50 != 5 || x.LeaderP99 != 10 || x.ProxyOwnP99 != 1000 ||
		x.ProxyOthersP99 != 1 || x.CalmP99 != 2 || x.RejoinMax != 1000 || !math.IsNaN(x.FollowerP99) ||
		x.Unrecovered != 0 {
		t.Errorf("%+v", x)
	}
	hundred := make([]float64, 200)
	for i := range hundred {
		hundred[i] = float64(200 - i)
	}
	if got := nearestRank(hundred, 0.99); got != 198 {
		t.Errorf("99th percentile of 1 to 200 is %g", got)
	}
}
