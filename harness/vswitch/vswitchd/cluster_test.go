//go:build dpdk

package vswitchd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"metronome/harness/vswitch"
	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

// memifCluster is three replicas and a proxy, processes of their own, and the switch between them,
// another.
type memifCluster struct {
	config *cluster.Config
	client *redis.Client
	sw     *Client
	nodes  map[string]*exec.Cmd
}

func startCluster(t *testing.T) *memifCluster {
	t.Helper()
	return startQueues(t, cluster.DevOptions{Change: onMemif}, 1)
}

// startQueues starts a cluster whose replicas are behind so many queues of the switch.
func startQueues(t *testing.T, o cluster.DevOptions, queues int) *memifCluster {
	t.Helper()
	dir := t.TempDir()
	m := &memifCluster{nodes: map[string]*exec.Cmd{}}
	var err error
	m.config, err = cluster.Dev(mkdir(t, dir, "c"), o)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--control", filepath.Join(dir, "control.sock")}
	for _, p := range m.config.Peers() {
		port := p.String() + "=" + m.config.Device(p)
		if p.IsReplica() && queues > 1 {
			port += fmt.Sprintf(",queues=%d", queues)
		}
		args = append(args, "--port", port)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"=switch")
	m.run(t, "switch", cmd)
	if m.sw, err = Dial(t.Context(), filepath.Join(dir, "control.sock")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.sw.Close() })
	for _, p := range m.config.Peers() {
		m.start(t, p)
	}
	m.client = redis.NewClient(&redis.Options{Addr: m.config.Proxies[0].Resp, MaxRetries: -1,
		DisableIdentity: true, ReadTimeout: 2 * time.Minute})
	t.Cleanup(func() { _ = m.client.Close() })
	m.eventually(t, "founded", func(ctx context.Context) error {
		_, err := daemon.Ask(ctx, m.config, wire.ReplicaPeer(0), daemon.AdminRequest{Cmd: "init"})
		return err
	})
	m.eventually(t, "a write", func(ctx context.Context) error {
		return m.client.Set(ctx, "first", "1", 0).Err()
	})
	return m
}

func onMemif(c *cluster.Config) {
	c.Durability = "memory"
	c.Port.Kind, c.Port.Mode = "dpdk", "memif"
	for i := range c.Replicas {
		c.Replicas[i].Device = c.Replicas[i].Name + ".sock"
	}
	c.Proxies[0].Device = "proxy-1.sock"
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts a node; it is stopped, and its log shown if the test failed, at the end.
func (m *memifCluster) start(t *testing.T, p wire.Peer) {
	t.Helper()
	cmd := exec.Command(os.Args[0], m.config.Path(cluster.FileName), p.String())
	cmd.Env = append(os.Environ(), childEnv+"=node")
	m.run(t, p.String(), cmd)
}

func (m *memifCluster) run(t *testing.T, name string, cmd *exec.Cmd) {
	t.Helper()
	var log strings.Builder
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.nodes[name] = cmd
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() >= 0 { // not killed by the test, nor waited for by it
			t.Errorf("%s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, log.String())
		}
	})
}

func (m *memifCluster) eventually(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		one, end := context.WithTimeout(ctx, 5*time.Second)
		err := try(one)
		end()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load writes keys in batches and reads each back.
func (m *memifCluster) load(t *testing.T, tag string, batches int) {
	t.Helper()
	const batch = 50
	value := strings.Repeat(tag, 100)
	for b := range batches {
		pipe := m.client.Pipeline()
		for i := range batch {
			pipe.Set(t.Context(), fmt.Sprintf("%s-%d-%d", tag, b, i), fmt.Sprintf("%s-%d-%d", value, b, i), 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatalf("%s: batch %d: %v", tag, b, err)
		}
	}
	for b := range batches {
		pipe := m.client.Pipeline()
		var got []*redis.StringCmd
		for i := range batch {
			got = append(got, pipe.Get(t.Context(), fmt.Sprintf("%s-%d-%d", tag, b, i)))
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatalf("%s: read batch %d: %v", tag, b, err)
		}
		for i, g := range got {
			if want := fmt.Sprintf("%s-%d-%d", value, b, i); g.Val() != want {
				t.Fatalf("%s: key %d of batch %d is %q", tag, i, b, g.Val())
			}
		}
	}
}

// inStep waits until all replicas have applied the same.
func (m *memifCluster) inStep(t *testing.T) {
	t.Helper()
	m.eventually(t, "replicas in step", func(ctx context.Context) error {
		var first *daemon.ClusterStatus
		for seat := range m.config.Replicas {
			a, err := daemon.Ask(ctx, m.config, wire.ReplicaPeer(seat), daemon.AdminRequest{Cmd: "status"})
			if err != nil {
				return err
			}
			if first == nil {
				first = a.Status
			}
			if a.Status.Index != first.Index || a.Status.StateHash != first.StateHash {
				return errors.New("they differ")
			}
		}
		return nil
	})
}

// A whole cluster without the kernel on any datagram's path: right on a clean network, and on one
// that loses, doubles, swaps and damages packets.
func TestClusterThroughSwitch(t *testing.T) {
	m := startCluster(t)
	m.load(t, "clean", 20)
	m.inStep(t)
	bad := vswitch.Impairment{Loss: .01, Duplicate: .01, Reorder: .01, Corrupt: .005}
	if _, err := m.sw.Ask(Request{Cmd: "impair", From: "*", To: "*", Impairment: bad}); err != nil {
		t.Fatal(err)
	}
	m.load(t, "lossy", 40)
	m.inStep(t)
	s, err := m.sw.Ask(Request{Cmd: "stats"})
	if err != nil {
		t.Fatal(err)
	}
	var sum vswitch.LinkStats
	for _, l := range s.Links {
		sum.Lost += l.Lost
		sum.Corrupted += l.Corrupted
		sum.Duplicated += l.Duplicated
	}
	if sum.Lost == 0 || !s.Switch.Balanced || s.Switch.Groups != 1 {
		t.Errorf("%+v\n%+v", sum, s)
	}
	t.Logf("%+v %+v %+v", sum, s.Switch, s.Ports)
	if _, err := m.sw.Ask(Request{Cmd: "clear"}); err != nil {
		t.Fatal(err)
	}
}

// Goal: replicas with an ingest core a queue get their lanes spread by the switch's hash as foretold, lose
// nothing, and come back with all their queues. Method: four lanes, two queues; what each core verified
// is read from the metrics. Lanes 0 and 2 are one core's, 1 and 3 the other's.
func TestIngestCoresThroughSwitch(t *testing.T) {
	m := startQueues(t, cluster.DevOptions{Lanes: 4, Change: func(c *cluster.Config) {
		onMemif(c)
		for i := range c.Replicas {
			c.Replicas[i].Cores = &cluster.Cores{Ingest: []int{0, 0}}
		}
	}}, 2)
	for i := range 4 { // a connection goes to one lane, the next to the next
		_ = m.client.Close()
		m.client = redis.NewClient(&redis.Options{Addr: m.config.Proxies[0].Resp, MaxRetries: -1,
			DisableIdentity: true, ReadTimeout: 2 * time.Minute, PoolSize: 1})
		m.load(t, fmt.Sprint("lane", i), 2)
	}
	m.inStep(t)
	for i := range m.config.Replicas {
		for core := range 2 {
			m.handed(t, i, core)
		}
	}
	victim := wire.ReplicaPeer(2)
	cmd := m.nodes[victim.String()]
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	m.start(t, victim)
	m.load(t, "again", 4)
	m.inStep(t)
}

// handed waits until an ingest core of a replica has handed frames on, without another's help.
func (m *memifCluster) handed(t *testing.T, seat, core int) {
	t.Helper()
	m.eventually(t, fmt.Sprintf("frames at core %d of replica %d", core, seat), func(ctx context.Context) error {
		url := "http://" + m.config.Replicas[seat].Ops + "/metrics"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		text := string(b)
		idle := fmt.Sprintf("metronome_ingest_core_handed_frames_total{core=\"%d\"} 0\n", core)
		direct := fmt.Sprintf("metronome_ingest_core_software{core=\"%d\"} 0\n", core)
		if strings.Contains(text, idle) || !strings.Contains(text, direct) {
			return errors.New("none yet")
		}
		return nil
	})
}

// Nodes are killed in the middle of a burst, and come back: the switch and the others do not notice
// more than a port without a peer.
func TestNodesAreKilled(t *testing.T) {
	m := startCluster(t)
	victim := wire.ReplicaPeer(2)
	for round := range *kills {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					m.load(t, fmt.Sprintf("r%d-%d", round, i), 2)
				}
			}
		}()
		m.eventually(t, "the victim is linked", func(context.Context) error {
			s, err := m.sw.Ask(Request{Cmd: "stats"})
			if err == nil && !s.Ports[2].Up {
				err = errors.New("it is not")
			}
			return err
		})
		time.Sleep(50 * time.Millisecond)
		cmd := m.nodes[victim.String()]
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		time.Sleep(20 * time.Millisecond)
		m.start(t, victim)
		close(stop)
		<-done
		s, err := m.sw.Ask(Request{Cmd: "stats"})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		t.Log(s.Ports[2])
	}
	m.inStep(t)
}

var kills = flag.Int("vswitch.kills", 4, "how often TestNodesAreKilled kills a replica")
