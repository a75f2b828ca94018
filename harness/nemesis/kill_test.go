package nemesis

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"metronome/system/wire"
)

// kills lets a killer loose on a cluster under load, and judges everything that clients saw.
func kills(t *testing.T, c *Cluster, roles []Role, n int, seed uint64) {
	t.Helper()
	history := load(t, c, &Workload{})
	w := &Writers{Addresses: c.Addresses(), Workers: 8, RateOPS: 3000, Bytes: 64, Patience: 5 * time.Second}
	must(t, w.Start(t.Context()))
	t.Cleanup(w.Close)
	k := Killer{Cluster: c, Writers: w, Rand: rand.New(rand.NewPCG(seed, 1)), Told: func(e Event) {
		history.NextEra()
		t.Logf("%8s %-10s down %4d ms, rejoined in %4d, outage %4d, own clients' %4d; %d unknown, %d refused",
			e.Role, e.Names(), e.Down.Milliseconds(), e.Rejoin.Milliseconds(), e.Outage.Milliseconds(),
			e.Own.Milliseconds(), e.Unknown, e.Refused)
	}}
	events, err := k.Run(t.Context(), roles, n)
	must(t, err)
	if last := events[len(events)-1]; last.Err != nil {
		t.Errorf("seed %d: %s %s: %v", seed, last.Role, last.Names(), last.Err)
	}
	for _, e := range events {
		if e.Ended > 0 {
			t.Errorf("seed %d: %d processes ended by themselves after a kill of %s", seed, e.Ended, e.Names())
		}
	}
	w.Halt()
	finish(t, c, history)
	a, err := w.Audit(testContext(t))
	must(t, err)
	if a.Acknowledged == 0 || a.Lost > 0 || a.Phantoms > 0 {
		t.Errorf("seed %d: %+v", seed, a)
	}
	t.Logf("%+v", a)
}

// Whoever is killed, one at a time: what was acknowledged is there, what was refused is not.
func TestKills(t *testing.T) {
	kills(t, begin(t, Options{Cluster: proxies(2)}), []Role{RoleLeader, RoleFollower, RoleProxy}, 5, 7)
}

// With journals, also all replicas at once: everybody comes back as who it was, and goes on.
func TestDurableReplicasAreKilled(t *testing.T) {
	c := begin(t, Options{Cluster: durable(2, "fsync")})
	kills(t, c, []Role{RoleReplicas, RoleReplicas, RoleLeader, RoleProxy}, 8, 5)
	for seat := range 3 {
		votes(t, c, wire.ReplicaPeer(seat), 1)
	}
}

// A gap is measured from the beginning to the end of the time asked for, its ends included.
func TestGap(t *testing.T) {
	w := &Writers{sides: []*side{{acked: []int64{10, 20, 50, 90}}, {}}}
	for _, tc := range []struct{ from, to, want time.Duration }{
		{0, 100, 40}, {15, 45, 25}, {55, 60, 5}, {20, 21, 1}, {90, 200, 110}, {30, 95, 40}, {300, 400, 100},
	} {
		if got := w.Gap(0, tc.from, tc.to); got != tc.want {
			t.Errorf("from %d to %d: %d, want %d", tc.from, tc.to, got, tc.want)
		}
	}
	if got := w.Gap(1, 5, 9); got != 4 {
		t.Errorf("without any answer: %d", got)
	}
	if got := w.Timeline(50); !slices.Equal(got[0], []int{2, 2}) || len(got[1]) != 0 {
		t.Errorf("timeline %v", got)
	}
}

// Every way in which a write may be found, or not.
func TestAuditCounts(t *testing.T) {
	var a Audit
	for _, tc := range []struct {
		o                outcome
		there, asWritten bool
	}{
		{acknowledged, true, true}, {acknowledged, false, false}, {acknowledged, true, false},
		{unknown, true, true}, {unknown, false, false}, {unknown, true, false},
		{refused, false, false}, {refused, true, true},
	} {
		a.count("k", tc.o, tc.there, tc.asWritten)
	}
	want := Audit{Acknowledged: 3, Unknown: 3, Refused: 2, Found: 5, Lost: 2, Phantoms: 2,
		First: "k was acknowledged and is lost"}
	if a != want {
		t.Errorf("%+v", a)
	}
}
