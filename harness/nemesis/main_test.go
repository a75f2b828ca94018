package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/harness/testbed"
	"metronome/harness/vswitch/vswitchd"
	"metronome/internal/buildtest"
	"metronome/internal/require"
	"metronome/system/cluster"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

var binary string // the metronome program, built once

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain is also what "lab vswitch" is, and a sandbox round the tests.
func testMain(m *testing.M) int {
	if len(os.Args) > 1 && os.Args[1] == "vswitch" {
		cmd := vswitchd.Command()
		cmd.SetArgs(os.Args[2:])
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	if os.Geteuid() == 0 {
		outside, code, err := testbed.Sandbox()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if outside {
			return code
		}
	}
	tags := ""
	if dpdk.Version() != "" {
		tags = "dpdk"
	}
	dir, err := buildtest.Programs(tags, "metronome/system/cmd/metronome")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "metronome")
	return m.Run()
}

// patience bounds what a test waits for. Nothing is timed; a machine may be slow.
const patience = 4 * time.Minute

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// begin starts a cluster that ends with the test; if the test fails, the ends of its logs are shown.
func begin(t *testing.T, o Options) *Cluster {
	t.Helper()
	o.Binary, o.Dir = binary, t.TempDir()
	ctx := testContext(t)
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		if t.Failed() {
			for _, p := range c.Config.Peers() {
				b, _ := os.ReadFile(c.LogPath(p))
				t.Logf("%v:\n%s", p, b[max(0, len(b)-1500):])
			}
		}
	})
	must(t, c.Listening(ctx))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needNetwork skips tests that need namespaces and a packet filter.
func needNetwork(t *testing.T) {
	t.Helper()
	if !testbed.Sandboxed() {
		require.Skip(t, "root", errors.New("not in a sandbox: run as root"))
	}
	if _, err := exec.LookPath("nft"); err != nil {
		require.Skip(t, "nft", fmt.Errorf("%w: apt-get install nftables", err))
	}
}

// network is a network that ends with the test, after the cluster in it.
func network(t *testing.T, replicas, proxies int) *Network {
	t.Helper()
	needNetwork(t)
	n, err := NewNetwork(testContext(t), replicas, proxies)
	must(t, err)
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	return n
}

// load starts clients that end with the test if it does not stop them.
func load(t *testing.T, c *Cluster, w *Workload) *Workload {
	t.Helper()
	if w.Addresses == nil {
		w.Addresses = c.Addresses()
	}
	w.Clients, w.Keys, w.Seed, w.Pause, w.Patience = 6, 5, 1, 2*time.Millisecond, 2*time.Second
	w.Start(t.Context())
	t.Cleanup(w.cancel)
	return w
}

// progress waits until clients got more answers.
func progress(t *testing.T, w *Workload, more int) {
	t.Helper()
	want := w.Answered() + more
	must(t, Poll(testContext(t), fmt.Sprintf("%d more answers", more), func(context.Context) error {
		if n := w.Answered(); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	}))
}

// finish stops the clients and judges what they saw, and that all replicas end in one state.
func finish(t *testing.T, c *Cluster, w *Workload) {
	t.Helper()
	h, err := w.Stop()
	must(t, err)
	from := time.Now()
	must(t, c.Settled(testContext(t)))
	settled := time.Since(from)
	must(t, Judge(h))
	t.Logf("%d operations; settled in %v, judged in %v", len(h.Operations), settled, time.Since(from)-settled)
}

// votes waits until a seat's given life votes.
func votes(t *testing.T, c *Cluster, p wire.Peer, life int) {
	t.Helper()
	name := fmt.Sprintf("%v/%d", p, life)
	must(t, Poll(testContext(t), name+" to vote", func(ctx context.Context) error {
		s, err := c.Status(ctx, p)
		if err == nil && (s.Life != name || !slices.Contains(s.Voters, name) || len(s.Learners) > 0) {
			err = fmt.Errorf("life %s, voters %v, learners %v: %s", s.Life, s.Voters, s.Learners, s.NotReady)
		}
		return err
	}))
}

// logged waits until a peer's log says something.
func logged(t *testing.T, c *Cluster, p wire.Peer, text string) {
	t.Helper()
	must(t, Poll(testContext(t), fmt.Sprintf("%q in the log of %v", text, p), func(context.Context) error {
		b, err := os.ReadFile(c.LogPath(p))
		if err == nil && !strings.Contains(string(b), text) {
			err = fmt.Errorf("it ends so:\n%s", b[max(0, len(b)-800):])
		}
		return err
	}))
}

// proxies is a cluster with so many proxies that keeps its state in memory: every start is a new life.
func proxies(n int) cluster.DevOptions { return durable(n, "memory") }

func durable(proxies int, durability string) cluster.DevOptions {
	return cluster.DevOptions{Proxies: proxies, Change: func(c *cluster.Config) { c.Durability = durability }}
}
