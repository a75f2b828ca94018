package quorum_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/device"
	"metronome/system/device/queue"
	"metronome/system/edge"
	"metronome/system/edge/quorum"
)

// beVariable makes the test's own binary one of the processes of [TestAddAnEdgeUnderLoadKillOne]:
// "replica 0 cluster.yaml", "edge 1 cluster.yaml address dir".
const beVariable = "QUORUM_TEST_BE"

func TestMain(m *testing.M) {
	if be := os.Getenv(beVariable); be != "" {
		if err := become(strings.Split(be, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func become(words []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	if words[0] == "replica" {
		return beReplica(ctx, n, words[2])
	}
	return beEdge(ctx, n, words[2], words[3], words[4])
}

func beReplica(ctx context.Context, n int, file string) error {
	c, err := cluster.Load(file)
	if err != nil {
		return err
	}
	r, err := daemon.NewReplica(daemon.ReplicaConfig{Cluster: c, Self: c.Replicas[n].Peer(),
		Log: slog.Default()})
	if err != nil {
		return err
	}
	go func() { _ = r.Admin(ctx) }()
	return r.Run(ctx)
}

func beEdge(ctx context.Context, n int, file, address, dir string) error {
	s, err := quorum.Open(ctx, quorum.Config{Dir: dir, Cluster: file, Proxy: uint32(n), MinFree: 1,
		Poll: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	server, err := edge.New(edge.Config{Name: "edge-" + strconv.Itoa(n), Store: s, Access: devicesByName{}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return errors.Join(server.Serve(l, nil), s.Close())
}

// devicesByName believes the name, and asks for no password.
type devicesByName struct{}

func (devicesByName) Authorize(r *http.Request) (edge.Principal, error) {
	user, _, _ := r.BasicAuth()
	return edge.Principal{Name: user, May: func(edge.Verb, []byte) bool { return true }}, nil
}

// process is one of ours.
type process struct {
	*exec.Cmd
	out  bytes.Buffer
	done chan struct{}
}

func start(t *testing.T, words ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(exe), done: make(chan struct{})}
	p.Env = append(os.Environ(), beVariable+"="+strings.Join(words, "|"))
	p.Stdout, p.Stderr = &p.out, &p.out
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends when this program is killed
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // its parent is this thread, which waits for it
		err := p.Start()
		if started <- err; err == nil {
			_ = p.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%v:\n%s", words, p.out.String())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.done
}

// freeAddresses are of a host that nobody else on this machine uses.
func freeAddresses(t *testing.T) (a, b string) {
	t.Helper()
	r := rand.Uint32()
	host := fmt.Sprintf("127.%d.%d.%d", 1+r%254, r>>8&0xFF, 1+r>>16%254)
	free, err := cluster.FreeAddresses(host, 2)
	if err != nil {
		t.Fatal(err)
	}
	return free[0], free[1]
}

// dev starts a cluster of three replicas, and founds it.
func dev(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, err := cluster.Dev(dir, cluster.DevOptions{Proxies: 3, Change: func(c *cluster.Config) {
		c.Port.ReceiveBuffer, c.Limits.LaneArenaBytes, c.Limits.LaneWindowFrames = 4<<20, 8<<20, 4096
		c.Storage.Floor, c.Storage.Journal = 16<<20, 64<<20
		c.Timing.PeerTimeout *= 5 // the machine is small, and shared
		c.Timing.ElectionTicks *= 5
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, cluster.FileName)
	for i := range c.Replicas {
		start(t, "replica", strconv.Itoa(i), file)
	}
	eventually(t, "the cluster is founded", func() bool {
		_, err := daemon.Ask(t.Context(), c, c.Replicas[0].Peer(), daemon.AdminRequest{Cmd: "init"})
		if err != nil {
			time.Sleep(50 * time.Millisecond)
		}
		return err == nil
	})
	return file
}

// TestAddAnEdgeUnderLoadKillOne: real replicas, real edges, real devices. Every reading that a device queued
// is in the order exactly once, and each device's in its order.
func TestAddAnEdgeUnderLoadKillOne(t *testing.T) {
	file := dev(t)
	watcher, err := quorum.Open(t.Context(), quorum.Config{Dir: t.TempDir(), Cluster: file, Proxy: 3, MinFree: 1,
		Poll: 20 * time.Millisecond, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, watcher) })
	dir := t.TempDir()
	first, second := freeAddresses(t)
	a := start(t, "edge", "1", file, first, dir)
	f := newFleet(t, "http://"+first, "http://"+second)
	f.until("readings arrive", 200)
	start(t, "edge", "2", file, second, t.TempDir())
	f.until("more arrive", f.arrived()+600)
	a.kill()
	f.until("they go on", f.arrived()+600)
	start(t, "edge", "1", file, first, dir)
	f.finish()
	f.compare(watcher)
}

// fleet is devices that write as fast as edges take it, each a series of its own and a counter.
type fleet struct {
	t       *testing.T
	devices []*device.Device
	queued  []int // readings
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// fleetPending is how many operations a device lets wait: on a slow machine more would take too long.
const fleetSize, fleetPending = 6, 100

func newFleet(t *testing.T, edges ...string) *fleet {
	ctx, stop := context.WithCancel(t.Context())
	f := &fleet{t: t, stop: stop, queued: make([]int, fleetSize)}
	for n := range fleetSize {
		home := append([]string{edges[n%2]}, edges[1-n%2]) // half of them begin at the edge that is not there yet
		d, err := device.Open(device.Config{Dir: t.TempDir(), Client: name(n), Edges: home, FreeFloor: 1,
			Timeout: 10 * time.Second, RetryLeast: 20 * time.Millisecond, RetryMost: 200 * time.Millisecond,
			Linger: 5 * time.Millisecond, BatchOps: 8, SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		f.devices = append(f.devices, d)
	}
	for n := range f.devices {
		f.all.Go(func() { f.load(ctx, n) })
	}
	t.Cleanup(f.all.Wait)
	t.Cleanup(stop)
	return f
}

func name(n int) string { return "device-" + strconv.Itoa(n) }

func (f *fleet) load(ctx context.Context, n int) {
	for i := 1; ctx.Err() == nil; i++ {
		_, err := f.devices[n].Enqueue(device.Write{Key: name(n) + "/" + strconv.Itoa(i), Value: []byte("on")})
		if err == nil {
			_, err = f.devices[n].Enqueue(device.Write{Key: name(n) + "/count", Value: []byte(strconv.Itoa(i))})
		}
		if err != nil {
			f.t.Error(err)
			return
		}
		f.queued[n] = i
		time.Sleep(5 * time.Millisecond)
		for ctx.Err() == nil && f.devices[n].Status().Pending > fleetPending {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// arrived is how many operations the edges have acknowledged.
func (f *fleet) arrived() (total int) {
	for _, d := range f.devices {
		total += int(d.Status().Marks["edge"])
	}
	return total
}

func (f *fleet) until(what string, total int) {
	f.t.Helper()
	eventually(f.t, what, func() bool { return f.arrived() >= total })
}

func (f *fleet) finish() {
	f.stop()
	f.all.Wait()
	ctx, cancel := context.WithTimeout(f.t.Context(), patient)
	defer cancel()
	for n, d := range f.devices {
		if err := d.Flush(ctx, queue.Quorum); err != nil {
			f.t.Fatalf("%s: %v: %+v", name(n), err, d.Status())
		}
	}
}

// compare reads the whole order as an edge followed it.
func (f *fleet) compare(s *quorum.Store) {
	t := f.t
	_ = get(t, s, edge.Quorum, "-")
	end := s.Status().Revision
	seen, counts := make([]int, fleetSize), make([]int, fleetSize)
	for from := uint64(1); from <= end; {
		events, next, err := s.Watch(t.Context(), nil, from, edge.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			f.event(&events[i], seen, counts)
		}
		from = next
	}
	for n := range fleetSize {
		if seen[n] != f.queued[n] || counts[n] != f.queued[n] {
			t.Errorf("%s queued %d readings; the order has %d, and the counter is %d", name(n), f.queued[n], seen[n],
				counts[n])
		}
	}
	t.Logf("%v readings, %d revisions, %+v", f.queued, end, s.Stats())
}

func (f *fleet) event(e *edge.Event, seen, counts []int) {
	var n, i int
	key := string(e.Entry.Key)
	if _, err := fmt.Sscanf(key, "device-%d/%d", &n, &i); err == nil {
		if seen[n]++; seen[n] != i {
			f.t.Fatalf("%s follows reading %d", key, seen[n]-1)
		}
		return
	}
	if _, err := fmt.Sscanf(key, "device-%d/count", &n); err != nil && !errors.Is(err, io.EOF) {
		f.t.Fatalf("%s: %v", key, err)
	}
	count, _ := strconv.Atoi(string(e.Entry.Value))
	if count <= counts[n] {
		f.t.Fatalf("%s went from %d to %d", key, counts[n], count)
	}
	counts[n] = count
}
