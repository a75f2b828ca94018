package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/nemesis"
	loadgen "metronome/system/load"
	"metronome/system/wire"
)

// nonIdeal is one load at a fixed rate over a network that loses datagrams: submitted from within a proxy
// process, in whose place it runs, so that nothing but the store's own network is between.
func (t *task) nonIdeal(ctx context.Context) (o factorial.Outcome, err error) {
	c, done, err := t.start(ctx)
	if err != nil {
		return o, err
	}
	defer done()
	f, err := t.loss(c.Network())
	if err != nil {
		return o, err
	}
	p := wire.ProxyPeer(proxies)
	if err := stopProxy(ctx, c, p); err != nil {
		return o, err
	}
	if err := f.Apply(ctx); err != nil {
		return o, err
	}
	r, err := t.generate(ctx, c, p)
	if err = errors.Join(err, f.Heal(context.WithoutCancel(ctx))); err != nil {
		return o, err
	}
	o.Values = map[string]float64{"achieved_ops": r.OpsPerS,
		"p50_us": r.LatencyP50, "p99_us": r.LatencyP99, "p999_us": r.LatencyP999, "max_us": r.LatencyMax,
		"failed_ops": float64(r.Failed + r.Unknown + r.Busy), "late_ops": float64(r.Unsent)}
	if r.Ops == 0 {
		o.Void = "nothing was answered"
	}
	return o, nil
}

// stopProxy ends a proxy so that a generator can take its place.
func stopProxy(ctx context.Context, c *nemesis.Cluster, p wire.Peer) error {
	return c.Crash(p).Apply(ctx)
}

// loss is the network's fault at this point.
func (t *task) loss(n *nemesis.Network) (f nemesis.Fault, err error) {
	percent, err := t.Cell.Float("loss")
	if err != nil {
		return f, err
	}
	pattern, err := t.Cell.Get("pattern")
	if err != nil {
		return f, err
	}
	nothing := func(context.Context) error { return nil }
	switch {
	case percent == 0:
		return nemesis.Fault{Name: "no loss", Apply: nothing, Heal: nothing}, nil
	case pattern == "random":
		return n.Loss(percent / 100), nil
	case pattern == "bursts":
		return n.Bursts(percent/100, 16), nil
	case pattern == "twice":
		return n.Twice(percent / 100), nil
	case pattern == "slow-lane":
		return n.Reorder(percent / 100), nil
	}
	return f, fmt.Errorf("factor pattern: there is no %q; next: random, bursts, twice or slow-lane", pattern)
}

// generate runs the generator in a proxy's place.
func (t *task) generate(ctx context.Context, c *nemesis.Cluster, p wire.Peer) (r loadgen.Result, err error) {
	rate, err := t.Cell.Get("rate")
	if err != nil {
		return r, err
	}
	value, err := t.Cell.Int("value_bytes")
	if err != nil {
		return r, err
	}
	if err := os.RemoveAll(c.LogPath(p)); err != nil {
		return r, fmt.Errorf("log of the generator: %w", err)
	}
	g, err := c.Spawn(p, "bench", "load", "--config", c.File(), "--name", p.String(), "--rate", rate,
		"--reads", "0", "--keys", "100000", "--value-bytes", strconv.Itoa(value), "--warmup", "1s",
		"--length", t.Cell.Length.String())
	if err != nil {
		return r, err
	}
	return generated(ctx, c, p, g, t.Cell.Length+time.Minute)
}

// generated waits for a generator's end, and reads what it says last.
func generated(ctx context.Context, c *nemesis.Cluster, p wire.Peer, g *nemesis.Process,
	limit time.Duration,
) (r loadgen.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	code, err := g.Wait(ctx)
	if err != nil {
		g.Kill()
		return r, err
	}
	b, err := os.ReadFile(c.LogPath(p))
	if err != nil {
		return r, fmt.Errorf("what the generator says: %w", err)
	}
	if i := bytes.IndexByte(b, '{'); i >= 0 {
		b = b[i:]
	}
	if err := json.Unmarshal(b, &r); err != nil || code != 0 {
		return r, fmt.Errorf("the generator ended with %d: %w: %s", code, err, b[:min(len(b), 500)])
	}
	return r, nil
}
