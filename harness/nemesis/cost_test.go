package nemesis

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	loadgen "metronome/system/load"
	"metronome/system/wire"
)

// What faults cost at a fixed load, for the log: machines differ, so that only errors fail the test.
func TestCosts(t *testing.T) {
	n := network(t, 3, 2)
	c := begin(t, Options{Cluster: proxies(2), Reserve: 1, Network: n})
	none := func(context.Context) error { return nil }
	nothing := Fault{Name: "nothing", Apply: none, Heal: none}
	const tries = 3 // a machine that is busy with something else is a fault, too
	for i, try := 0, 1; i < 4; try++ {
		what := []string{"nothing", "follower", "leader", "loss"}[i]
		leader, err := c.Leader(testContext(t))
		must(t, err)
		f := map[string]Fault{"nothing": nothing, "follower": c.Pause(c.Followers(leader)[0]),
			"leader": c.Pause(leader), "loss": n.Loss(0.01)}[what]
		r := generate(t, c, f)
		t.Logf("%s: %.0f/s, p50 %.0f µs, p99 %.0f, p99.9 %.0f, longest %.1f ms; failed %d, unknown %d, busy %d",
			f.Name, r.OpsPerS, r.LatencyP50, r.LatencyP99, r.LatencyP999, r.LatencyMax/1e3, r.Failed, r.Unknown,
			r.Busy)
		must(t, c.Settled(testContext(t)))
		if r.Ops > 0 && r.Failed+r.Unknown == 0 {
			i, try = i+1, 0
		} else if try == tries {
			t.Fatalf("%s: %+v", f.Name, r)
		}
	}
}

// generate loads the cluster from proxy-2 while a fault comes and goes.
func generate(t *testing.T, c *Cluster, f Fault) (r loadgen.Result) {
	t.Helper()
	p := wire.ProxyPeer(2)
	must(t, os.RemoveAll(c.LogPath(p)))
	g, err := c.Spawn(p, "bench", "load", "--config", c.File(), "--name", "proxy-2", "--rate", "20000",
		"--reads", "0.2", "--keys", "100000", "--warmup", "500ms", "--length", "2s")
	must(t, err)
	time.Sleep(time.Second)
	must(t, f.Apply(t.Context()))
	time.Sleep(time.Second)
	must(t, f.Heal(t.Context()))
	if code := ends(t, g); code != 0 {
		t.Errorf("the generator ended with %d", code)
	}
	b, err := os.ReadFile(c.LogPath(p))
	must(t, err)
	if i := bytes.IndexByte(b, '{'); i >= 0 {
		b = b[i:]
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return r
}
