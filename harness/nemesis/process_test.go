package nemesis

import (
	"testing"
	"time"

	"metronome/system/wire"
)

// Every replica is replaced while clients write: each comes back as its second life, catches up, votes.
func TestReplicasAreReplacedOneAfterAnother(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(2)})
	w := load(t, c, &Workload{})
	progress(t, w, 100)
	for seat := range 3 {
		p := wire.ReplicaPeer(seat)
		f := c.Crash(p)
		must(t, f.Apply(t.Context()))
		progress(t, w, 50)
		must(t, f.Heal(t.Context()))
		votes(t, c, p, 2)
		progress(t, w, 50)
	}
	t.Logf("longest time without an answer: %v", w.Outage())
	finish(t, c, w)
}

// A proxy is killed under load: what it had acknowledged stays, what it had not is unknown, its lanes are
// closed by its next incarnation.
func TestProxyIsKilled(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(2)})
	w := load(t, c, &Workload{})
	for range 3 {
		progress(t, w, 100)
		f := c.Crash(wire.ProxyPeer(1))
		must(t, f.Apply(t.Context()))
		progress(t, w, 50)
		must(t, f.Heal(t.Context()))
	}
	must(t, c.Listening(testContext(t)))
	progress(t, w, 100)
	finish(t, c, w)
}

func TestPauses(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(1)})
	w := load(t, c, &Workload{Barrier: true})
	progress(t, w, 100)
	w.Outage()
	leader, err := c.Leader(testContext(t))
	must(t, err)
	follower := c.Followers(leader)[0]
	for _, f := range []Fault{c.Pause(follower), c.Pause(leader), c.Pause(wire.ProxyPeer(1))} {
		must(t, f.Apply(t.Context()))
		if f.Name == "pause proxy-1" {
			time.Sleep(200 * time.Millisecond)
		} else {
			progress(t, w, 100)
		}
		must(t, f.Heal(t.Context()))
		progress(t, w, 100)
		t.Logf("%s: longest time without an answer: %v", f.Name, w.Outage())
	}
	finish(t, c, w)
}

// Without a majority nothing is answered, and everything goes on when it is back.
func TestNoMajority(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(1)})
	w := load(t, c, &Workload{})
	progress(t, w, 100)
	leader, err := c.Leader(testContext(t))
	must(t, err)
	for _, pair := range [][]wire.Peer{c.Followers(leader), {leader, c.Followers(leader)[0]}} {
		for _, p := range pair {
			must(t, c.Pause(p).Apply(t.Context()))
		}
		time.Sleep(time.Second)
		for _, p := range pair {
			must(t, c.Pause(p).Heal(t.Context()))
		}
		progress(t, w, 100)
	}
	finish(t, c, w)
}
