package nemesis

import (
	"testing"
	"time"

	"metronome/system/wire"
)

// Everything a network does to a cluster, one after another, while clients write and read.
func TestNetwork(t *testing.T) {
	n := network(t, 3, 2)
	c := begin(t, Options{Cluster: proxies(2), Network: n})
	w := load(t, c, &Workload{})
	progress(t, w, 100)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	followers := c.Followers(leader)
	for _, f := range []Fault{
		n.Loss(0.01), n.Loss(0.3), n.Twice(0.3),
		n.Partition(followers[0]), n.Partition(leader), n.Partition(wire.ProxyPeer(1)),
		n.Partition(wire.ProxyPeer(2), followers[1]), n.Deaf(leader), n.Deaf(followers[0]),
	} {
		w.Outage()
		from := time.Now()
		must(t, f.Apply(t.Context()))
		progress(t, w, 100)
		during := time.Since(from)
		must(t, f.Heal(t.Context()))
		progress(t, w, 100)
		t.Logf("%s: longest time without an answer %v; %v with the fault, %v after it", f.Name, w.Outage(), during,
			time.Since(from)-during)
	}
	finish(t, c, w)
}
