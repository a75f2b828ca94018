package nemesis

import (
	"errors"
	"os"
	"testing"
	"time"

	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

// bypassing starts a cluster on DPDK ports through the switch, which is this program.
func bypassing(t *testing.T, o Options) *Cluster {
	t.Helper()
	if dpdk.Version() == "" {
		require.Skip(t, "dpdk", &packet.ErrUnavailable{What: "dpdk", Why: "this build has none",
			Next: "make setup"})
	}
	exe, err := os.Executable()
	must(t, err)
	o.Switch, o.Seed = exe, 5
	return begin(t, o)
}

// What only the switch can do to datagrams, and what it does in nftables' place, while clients work: nobody
// waits for the fault's end, and what they saw is linearizable.
func TestBypass(t *testing.T) {
	n := network(t, 3, 2)
	c := bypassing(t, Options{Cluster: proxies(2), Network: n})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	follower := c.Followers(leader)[0]
	delay, err := c.Delay(2 * time.Millisecond)
	must(t, err)
	corrupt, err := c.Corrupt(0.1)
	must(t, err)
	for _, f := range []Fault{
		c.DeadQueue(follower), c.DeadQueue(wire.ProxyPeer(1)), n.Loss(0.1), n.Bursts(0.1, 8),
		n.Twice(0.3), n.Reorder(0.1), delay, corrupt, n.Partition(follower), n.Deaf(follower),
	} {
		w.Outage()
		from := time.Now()
		must(t, f.Apply(t.Context()))
		progress(t, w, 50)
		must(t, f.Heal(t.Context()))
		progress(t, w, 20)
		t.Logf("%s: longest time without an answer %v; %v in all", f.Name, w.Outage(), time.Since(from))
	}
	s, err := c.SwitchStats()
	must(t, err)
	cuts := uint64(0)
	for _, l := range s.Links {
		cuts += l.Cut
	}
	if s.Switch.Dead == 0 || cuts == 0 || !s.Switch.Balanced {
		t.Errorf("dead %d, cut %d: %+v", s.Switch.Dead, cuts, s.Switch)
	}
	finish(t, c, w)
}

// The leader's receive queue dies, which nobody is told: its streams go on, and it still leads.
func TestDeadQueueOfTheLeader(t *testing.T) {
	c := bypassing(t, Options{Cluster: proxies(1)})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	f := c.DeadQueue(leader)
	must(t, f.Apply(t.Context()))
	progress(t, w, 50)
	must(t, f.Heal(t.Context()))
	progress(t, w, 50)
	finish(t, c, w)
}

// What needs the switch says so where there is none.
func TestWithoutSwitch(t *testing.T) {
	c := &Cluster{}
	_, delay := c.Delay(1)
	_, corrupt := c.Corrupt(1)
	_, stats := c.SwitchStats()
	for _, err := range []error{c.DeadQueue(wire.ReplicaPeer(0)).Apply(t.Context()), delay, corrupt, stats} {
		if !errors.Is(err, errNoSwitch) {
			t.Errorf("%v", err)
		}
	}
}
