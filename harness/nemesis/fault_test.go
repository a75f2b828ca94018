package nemesis

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"metronome/harness/testbed"
	"metronome/system/wire"
)

// smallDisk is what a replica's journal and snapshots fit in.
const smallDisk = 256 << 20

// All kinds of faults against one cluster whose processes have namespaces and disks of their own, while
// clients work: it becomes whole after each, and what clients saw is linearizable.
func TestEveryKind(t *testing.T) {
	n := network(t, 3, 2)
	c := begin(t, Options{Cluster: durable(2, "fsync"), Network: n, Disk: smallDisk})
	w := load(t, c, &Workload{})
	kinds, err := Kinds("mixed")
	must(t, err)
	s := Schedule{Cluster: c, Kinds: kinds, Faults: len(kinds), Pairs: true, Seed: 3,
		Hold: [2]time.Duration{200 * time.Millisecond, 600 * time.Millisecond},
		Told: func(e Injected) {
			w.NextEra()
			t.Logf("%5.1f s %-14s applied in %4d ms, whole %5d ms after %s %s", float64(e.From)/1e9, e.Kind,
				(e.Applied-e.From)/1e6, (e.Whole-e.Healed)/1e6, e.Name, e.Error)
			if e.Error != "" || e.Ended > 0 {
				t.Errorf("seed 3: %s: %d processes ended by themselves; %s", e.Name, e.Ended, e.Error)
			}
		}}
	_, err = s.Run(t.Context())
	must(t, err)
	finish(t, c, w)
	left(t)
}

// left fails a test if a fault left something on this machine.
func left(t *testing.T) {
	t.Helper()
	groups, err := filepath.Glob(testbed.CgroupRoot + "/*/mtn-" + os.Getenv("METRONOME_SANDBOX") + "-*")
	must(t, err)
	if len(groups) > 0 {
		t.Errorf("control groups %v", groups)
	}
}

// A full disk stops its replica's journal and nobody else, and is forgotten when there is room again.
func TestFullDisk(t *testing.T) {
	needNetwork(t)
	c := begin(t, Options{Cluster: durable(1, "fsync"), Disk: smallDisk})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	f := c.FullDisk(wire.ReplicaPeer(2))
	must(t, f.Apply(t.Context()))
	free, err := exec.Command("df", "--output=avail", c.mountPoint(wire.ReplicaPeer(2))).Output()
	must(t, err)
	if got := strings.Fields(string(free)); len(got) != 2 || len(got[1]) > 2 {
		t.Errorf("still free: %q KiB", free)
	}
	progress(t, w, 200)
	must(t, f.Heal(t.Context()))
	progress(t, w, 50)
	finish(t, c, w)
}

// Links that each kind of partition cuts, counted on paper: of three and of five replicas and two proxies.
func TestPartitionsCut(t *testing.T) {
	peers := func(replicas int) *Network {
		n := &Network{peers: []wire.Peer{wire.ProxyPeer(1), wire.ProxyPeer(2)}}
		for i := range replicas {
			n.peers = append(n.peers, wire.ReplicaPeer(i))
		}
		return n
	}
	rng := rand.New(rand.NewPCG(1, 1))
	sees := func(n *Network, lost func(from, to wire.Peer) bool, p wire.Peer) (seen int) {
		for _, q := range n.replicas() {
			if !lost(q, p) && !lost(p, q) {
				seen++ // itself too
			}
		}
		return seen
	}
	for range 50 {
		n := peers(5)
		ring, bridge := n.ringCut(rng), n.bridgeCut(rng)
		across := 0
		for _, p := range n.replicas() {
			if got := sees(n, ring.lost, p); got != 3 {
				t.Errorf("%s: %v sees %d replicas", ring.name, p, got)
			}
			if sees(n, bridge.lost, p) == 5 {
				across++
			}
		}
		if across != 1 {
			t.Errorf("%s: %d replicas see all", bridge.name, across)
		}
		three := peers(3)
		apart := 0
		for _, p := range three.replicas() {
			apart += 3 - sees(three, three.ringCut(rng).lost, p)
			if sees(three, three.bridgeCut(rng).lost, p) < 2 {
				t.Error("of three, one sees nobody")
			}
		}
	}
}

// Every family has a name, and a wrong one is answered with those there are.
func TestKindsAreNamed(t *testing.T) {
	for _, name := range append(groupNames(), "mixed", "mixed-bypass", "kill-leader", "full-disk") {
		if kinds, err := Kinds(name); err != nil || len(kinds) == 0 {
			t.Errorf("%s: %v, %v", name, kinds, err)
		}
	}
	if _, err := Kinds("earthquake"); err == nil || !strings.Contains(err.Error(), "partition") {
		t.Errorf("an unknown nemesis: %v", err)
	}
}

// Replicas and proxies go by monotonic clocks alone, so that a step of the wall clock is nothing to them:
// no code of theirs asks for a date. What jumps of the monotonic clock do, TestEveryKind shows.
func TestNobodyAsksForTheWallClock(t *testing.T) {
	date := regexp.MustCompile(`\.(Unix|UnixNano|UnixMilli|UnixMicro|Format|Date|Round\(0)\(`)
	for _, dir := range []string{"replica", "proxy", "order", "order/raft", "lane", "store", "daemon", "journal",
		"storage", "stream", "node", "client"} {
		files, err := filepath.Glob("../../system/" + dir + "/*.go")
		must(t, err)
		if len(files) == 0 {
			t.Errorf("no code in %s", dir)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			must(t, err)
			if at := date.Find(b); at != nil {
				t.Errorf("%s asks for the wall clock: %s", f, at)
			}
		}
	}
}
