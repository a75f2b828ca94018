package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/cluster"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// coresCluster is a real cluster in this process: three replicas with ingest cores, and a proxy with four
// lanes.
type coresCluster struct {
	config   *cluster.Config
	replicas []*Replica
	proxy    *Proxy
	stops    []func() // of replicas
}

func startCoresCluster(t *testing.T, change func(*cluster.Config)) *coresCluster {
	t.Helper()
	c, err := cluster.Dev(t.TempDir(), cluster.DevOptions{Lanes: 4, Change: func(c *cluster.Config) {
		c.Port.ReceiveBuffer, c.Limits.LaneArenaBytes, c.Limits.LaneWindowFrames = 1<<20, 8<<20, 4096
		c.Limits.RetainBytes = 64 << 20
		c.Storage.Floor, c.Storage.Journal = 1<<20, 64<<20
		c.Timing.PeerTimeout *= 10 // the machine is small, and shared
		c.Timing.ElectionTicks *= 4
		change(c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := &coresCluster{config: c}
	m.found(t)
	if m.proxy, err = NewProxy(ProxyConfig{Cluster: c, Self: wire.ProxyPeer(1), Log: quiet}); err != nil {
		t.Fatal(err)
	}
	m.run(t, m.proxy.Run)
	m.until(t, "lanes", func() error {
		if !m.proxy.View().Core.Open {
			return errors.New("the proxy has none")
		}
		return nil
	})
	return m
}

// run runs a process until what is returned is called, or the test ends.
func (m *coresCluster) run(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// found starts the replicas and makes a cluster of them.
func (m *coresCluster) found(t *testing.T) {
	t.Helper()
	m.replicas, m.stops = nil, nil
	for i := range m.config.Replicas {
		r, err := NewReplica(ReplicaConfig{Cluster: m.config, Self: wire.ReplicaPeer(i), Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		m.replicas, m.stops = append(m.replicas, r), append(m.stops, m.run(t, r.Run))
	}
	m.until(t, "founded", func() error { return m.replicas[0].Initiate(t.Context()) })
}

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

func (m *coresCluster) until(t *testing.T, what string, try func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// answers gathers what became of operations.
type answers chan resp.Done

func (a answers) Complete(done []resp.Done) {
	for _, d := range done {
		a <- d
	}
}

// write puts keys by one lane, each until it is taken.
func (m *coresCluster) write(lane uint64, keys int) error {
	a := make(answers, keys)
	submit := func(i int) {
		it := wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "k-%d-%d", lane, i), Value: make([]byte, 300)}
		m.proxy.Backend().Submit(lane, []resp.Op{{Item: it, Tag: uint64(i)}}, a)
	}
	for i := range keys {
		submit(i)
	}
	for left := keys; left > 0; {
		select {
		case d := <-a:
			switch d.Result.Status {
			case wire.StatusOK:
				left--
			case wire.StatusBusy:
				submit(int(d.Tag))
			default:
				return fmt.Errorf("lane %d, key %d: %v", lane, d.Tag, d.Result.Status)
			}
		case <-time.After(patience):
			return fmt.Errorf("lane %d: %d keys without an answer", lane, left)
		}
	}
	return nil
}

// load writes by all lanes at once, and waits until all replicas have applied the same.
func (m *coresCluster) load(t *testing.T, keys int) {
	t.Helper()
	var lanes sync.WaitGroup
	for lane := range uint64(4) {
		lanes.Go(func() {
			if err := m.write(lane, keys); err != nil {
				t.Error(err)
			}
		})
	}
	lanes.Wait()
	m.until(t, "replicas in step", func() error {
		for _, r := range m.replicas {
			if v := r.View(); v.Status.Keys != 4*keys {
				return fmt.Errorf("%v has %d keys", r.cfg.Self, v.Status.Keys)
			}
		}
		return nil
	})
}

// Goal: replicas with ingest cores do what replicas without do, under the race detector too, and every
// core has its share. Method: a real cluster over sockets in this process: on one port of the group,
// distributed in software; and on several ports, with two, one and no ingest cores side by side and a
// journal, in which frames are durable before the gate counts them (R8).
func TestIngestCoresInACluster(t *testing.T) {
	two, one := &cluster.Cores{Ingest: []int{0, 0}}, &cluster.Cores{Ingest: []int{0}}
	for _, tc := range []struct {
		name, durability, integrity string
		ports                       int
		cores                       [3]*cluster.Cores
	}{
		{"software", "memory", "aead", 1, [3]*cluster.Cores{two, two, two}},
		{"ports", "fsync", "xxh3", 4, [3]*cluster.Cores{two, nil, one}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startCoresCluster(t, func(c *cluster.Config) {
				c.Durability, c.Multicast.Ports, c.Multicast.Group = tc.durability, tc.ports, testGroup(c)
				c.Integrity = tc.integrity
				for i := range c.Replicas {
					c.Replicas[i].Cores = tc.cores[i]
				}
			})
			m.load(t, 300)
			for i, r := range m.replicas {
				m.until(t, "every core had frames", func() error {
					return judgeCores(r.View(), len(m.config.Replicas[i].IngestCPUs()), tc.ports == 1)
				})
			}
		})
	}
}

// testGroup is the cluster's group on ports that are nobody's datagram port: those lie below.
func testGroup(c *cluster.Config) string {
	host, _, _ := strings.Cut(c.Multicast.Group, ":")
	return host + ":14000"
}

func judgeCores(v ReplicaView, cores int, software bool) error {
	if len(v.Cores) != cores {
		return fmt.Errorf("%d ingest cores, want %d", len(v.Cores), cores)
	}
	for i, c := range v.Cores {
		if c.Handed == 0 || c.Software != (software && cores > 1) {
			return fmt.Errorf("core %d: %+v", i, c)
		}
	}
	if v.Status.Ingest.Frames == 0 || v.Port.RxFrames == 0 {
		return fmt.Errorf("the sums lack what cores counted: %+v, %+v", v.Status.Ingest, v.Port)
	}
	return nil
}
