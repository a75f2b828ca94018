package nemesis

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"metronome/harness/vswitch"
	"metronome/internal/require"
	"metronome/system/cluster"
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
		c.DeadQueue(follower, 0), c.DeadQueue(wire.ProxyPeer(1), 0), n.Loss(0.1), n.Bursts(0.1, 8),
		n.Twice(0.3), n.Reorder(0.1), delay, corrupt, n.Partition(follower), n.Deaf(follower),
	} {
		befall(t, w, f)
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

// befall applies a fault and heals it; writes go on meanwhile and after it.
func befall(t *testing.T, w *Workload, f Fault) {
	t.Helper()
	w.Outage()
	from := time.Now()
	must(t, f.Apply(t.Context()))
	progress(t, w, 50)
	must(t, f.Heal(t.Context()))
	progress(t, w, 20)
	t.Logf("%s: longest time without an answer %v; %v in all", f.Name, w.Outage(), time.Since(from))
}

// Kernel sockets joined by the switch: multicast and streams pass it, what befalls datagrams befalls streams
// too if it is told to, a cut is a cut of everything, and this program reaches everybody all the time.
func TestKernelPorts(t *testing.T) {
	needNetwork(t)
	n, err := NewSwitchedNetwork(testContext(t), 3, 2)
	must(t, err)
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	c := bypassing(t, Options{Cluster: proxies(2), Network: n})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	follower := c.Followers(leader)[0]
	weather, err := c.Impair("bad weather", vswitch.Impairment{Loss: .01, Duplicate: .05, Corrupt: .01,
		Reorder: .05, Delay: vswitch.Span(500 * time.Microsecond), Jitter: vswitch.Span(500 * time.Microsecond)})
	must(t, err)
	for _, f := range []Fault{n.Loss(0.1), weather, n.Partition(follower), n.Deaf(follower)} {
		befall(t, w, f)
	}
	s, err := c.SwitchStats()
	must(t, err)
	var all vswitch.LinkStats
	for _, l := range s.Links {
		all.Lost, all.Cut, all.Held = all.Lost+l.Lost, all.Cut+l.Cut, all.Held+l.Held
	}
	if len(s.Links) != 20 || all.Lost == 0 || all.Cut == 0 || all.Held == 0 ||
		!s.Switch.Balanced || s.Switch.Groups == 0 {
		t.Errorf("%d links, %+v: %+v", len(s.Links), all, s.Switch)
	}
	finish(t, c, w)
}

// Of the leader's two receive queues, each with an ingest core, one dies, then the other, which nobody is
// told: its streams go on, it still leads, and lanes that the dead queue got are repaired past it.
func TestDeadQueueOfTheLeader(t *testing.T) {
	o := cluster.DevOptions{Proxies: 2, Lanes: 4, Change: func(c *cluster.Config) {
		c.Durability = "memory"
		for i := range c.Replicas {
			c.Replicas[i].Cores = &cluster.Cores{Ingest: []int{0, 0}}
		}
	}}
	c := bypassing(t, Options{Cluster: o})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	for queue := range c.queues(leader) {
		before, err := c.SwitchStats()
		must(t, err)
		f := c.DeadQueue(leader, queue)
		must(t, f.Apply(t.Context()))
		progress(t, w, 50)
		must(t, f.Heal(t.Context()))
		after, err := c.SwitchStats()
		must(t, err)
		t.Logf("%s: it swallowed %d datagrams", f.Name, after.Switch.Dead-before.Switch.Dead)
		if queue == 1 && after.Switch.Dead == 0 {
			t.Error("neither queue got a datagram")
		}
	}
	progress(t, w, 50)
	finish(t, c, w)
}

// What needs the switch says so where there is none.
func TestWithoutSwitch(t *testing.T) {
	c := &Cluster{Config: &cluster.Config{}}
	_, delay := c.Delay(1)
	_, corrupt := c.Corrupt(1)
	_, stats := c.SwitchStats()
	for _, err := range []error{c.DeadQueue(wire.ReplicaPeer(0), 0).Apply(t.Context()), delay, corrupt, stats} {
		if !errors.Is(err, errNoSwitch) {
			t.Errorf("%v", err)
		}
	}
}
