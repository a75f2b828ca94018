package nemesis

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/wire"
)

// resident is a process's memory in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib := 0
	_, err = fmt.Sscan(rest, &kib)
	must(t, err)
	return kib << 10
}

// Noise on every port of the cluster is counted, costs nothing that lasts, and disturbs no client.
func TestGarbage(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(1)})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	p := &c.Config.Proxies[0]
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)

	group := dialUDP(t, c.Config.Multicast.Group)
	unicast := dialUDP(t, c.Config.Replicas[0].Datagram)
	nacks := dialUDP(t, p.Datagram)
	for _, frame := range forgeries(t, noise) {
		for _, conn := range []net.Conn{group, unicast, nacks} {
			_, _ = conn.Write(frame) // a port may refuse it
		}
	}
	r := c.Config.Replicas
	for _, addr := range []string{p.Stream, r[0].Stream, p.Ops, r[1].Ops, p.Resp} {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		_, _ = conn.Write(noise)
		_, err = conn.(*net.TCPConn).ReadFrom(bytes.NewReader(noise))
		_ = err // it may have been closed by then
		must(t, conn.Close())
	}
	must(t, Poll(testContext(t), "forged frames to be counted", func(ctx context.Context) error {
		n, err := metric(ctx, c, wire.ReplicaPeer(0), "metronome_ingest_dropped_frames_total")
		if err == nil && n < 10 {
			err = fmt.Errorf("only %g", n)
		}
		return err
	}))
	progress(t, w, 50)
	finish(t, c, w)
}

// forgeries are datagrams that nobody of the cluster has sent.
func forgeries(t *testing.T, noise []byte) [][]byte {
	d, err := wire.NewDigester(wire.ModeXXH3, nil)
	must(t, err)
	all := [][]byte{{}, noise[:1], noise[:63], noise[:64], noise[:1400], make([]byte, 1472), noise[:9000]}
	for i, h := range []wire.Header{
		{Type: wire.TypeData, Cluster: 1, Proxy: 1, Incarnation: 1, Count: 1},
		{Type: wire.TypeHeartbeat, Cluster: 1, Proxy: 1, Incarnation: 1, HighWater: 1 << 60},
		{Type: wire.TypeNack, Cluster: 1, Proxy: 1, Incarnation: 1},
	} {
		frame := make([]byte, wire.HeaderSize+32)
		must(t, wire.Seal(frame, &h, d))
		cut := append([]byte(nil), frame...)
		cut[len(cut)-1-i] ^= 1
		all = append(all, frame, cut, frame[:len(frame)-1])
	}
	return all
}

// Ten thousand connections do nothing, others do not read, are half closed, or send half a command: whoever
// behaves is served.
func TestCrowd(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	crowd := 10_000
	if room := int(limit.Cur) - 500; crowd > room {
		t.Logf("this process may have %d files: a smaller crowd", limit.Cur)
		crowd = room
	}
	c := begin(t, Options{Cluster: proxies(1)})
	addr := c.Addresses()[0]
	w := load(t, c, &Workload{})
	progress(t, w, 20)
	before := resident(t, c.PID(wire.ProxyPeer(1)))
	conns := make([]net.Conn, 0, crowd)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for len(conns) < crowd {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		conns = append(conns, conn)
	}
	for i, first := range []string{
		"PING\r\n", "*2\r\n$3\r\nGET\r\n$1", "GET k\r\n", "*1\r\n$-5\r\n", "*99999999\r\n",
		"SET " + strings.Repeat("k", 2000) + " v\r\n",
	} {
		_, err := conns[i].Write([]byte(first))
		must(t, err)
	}
	must(t, conns[2].(*net.TCPConn).CloseWrite()) // it still gets its answer
	_ = conns[2].SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(conns[2]); err != nil || len(b) == 0 {
		t.Errorf("half closed: %q, %v", b, err)
	}
	slow, err := net.Dial("tcp", addr) // asks for much and reads nothing
	must(t, err)
	defer slow.Close()
	ask(t, addr, "SET big "+strings.Repeat("x", 7000))
	_ = slow.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, err = slow.Write(bytes.Repeat([]byte("GET big\r\n"), 100_000))
	t.Logf("slow reader: %v", err)
	progress(t, w, 100)
	after := resident(t, c.PID(wire.ProxyPeer(1)))
	t.Logf("proxy: %d MiB before, %d MiB with %d connections: %d bytes each", before>>20, after>>20, crowd,
		(after-before)/crowd)
	if after > before+512<<20 {
		t.Errorf("the proxy has grown from %d to %d bytes", before, after)
	}
	finish(t, c, w)
}

// ask sends one inline command and returns the first line of the reply.
func ask(t *testing.T, addr, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Write([]byte(command + "\r\n"))
	must(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	must(t, err)
	return line
}

// flood writes pipelined commands until it is told to stop, and counts replies by their first word. It
// keeps sending whether or not it is answered.
func flood(ctx context.Context, addr string, commands []byte, replies map[string]int, mu *sync.Mutex) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		go func() {
			for {
				if _, err := conn.Write(commands); err != nil {
					return
				}
			}
		}()
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			mu.Lock()
			replies[word]++
			mu.Unlock()
		}
		stop()
		_ = conn.Close()
	}
}

// Many pipelined writers go on while no majority is left: memory stays bounded, every reply is OK, unknown,
// or definitely not executed, and all goes on when the majority is back.
func TestOverloadWithoutMajority(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(1)})
	addr := c.Addresses()[0]
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	command := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n%s\r\n", strings.Repeat("v", 1000))
	commands := bytes.Repeat([]byte(command), 64)
	replies := map[string]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { flood(ctx, addr, commands, replies, &mu) })
	}
	count := func(word string) int {
		mu.Lock()
		defer mu.Unlock()
		return replies[word]
	}
	answered := func(word string, more int) {
		t.Helper()
		want := count(word) + more
		must(t, Poll(ctx, word, func(context.Context) error {
			if count(word) < want {
				mu.Lock()
				defer mu.Unlock()
				return fmt.Errorf("so far %v", replies)
			}
			return nil
		}))
	}
	answered("+OK", 10_000)
	leader, err := c.Leader(ctx)
	must(t, err)
	pair := c.Followers(leader)
	for _, p := range pair {
		must(t, c.Pause(p).Apply(ctx))
	}
	answered("-UNAVAILABLE", 10_000)
	most := resident(t, c.PID(wire.ProxyPeer(1)))
	for range 20 {
		time.Sleep(50 * time.Millisecond)
		most = max(most, resident(t, c.PID(wire.ProxyPeer(1))))
	}
	for _, p := range pair {
		must(t, c.Pause(p).Heal(ctx))
	}
	answered("+OK", 10_000)
	cancel()
	group.Wait()
	t.Logf("replies %v; the proxy had at most %d MiB", replies, most>>20)
	for word := range replies {
		switch word {
		case "+OK", "-UNKNOWN", "-UNAVAILABLE", "-OVERLOADED":
		default:
			t.Errorf("%d replies %q", replies[word], word)
		}
	}
	if most > 1<<30 {
		t.Errorf("the proxy has grown to %d bytes", most)
	}
	must(t, c.Settled(testContext(t)))
}

// An idle cluster sleeps. CPU time is measured over a while, with a wide margin: machines differ.
func TestIdle(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(1)})
	must(t, c.Settled(testContext(t)))
	time.Sleep(time.Second)
	const tries = 5
	for try := 1; ; try++ { // on a busy machine it may have something to do: elections, for instance
		all := used(t, c, 5*time.Second)
		t.Logf("idle cluster: %.2f %% of a CPU", all)
		if all <= 50 {
			return
		}
		if try == tries {
			t.Fatalf("an idle cluster uses %.0f %% of a CPU", all)
		}
	}
}

// used is what all processes of a cluster use for a while, in percent of a CPU.
func used(t *testing.T, c *Cluster, length time.Duration) (all float64) {
	t.Helper()
	peers := c.Config.Peers()
	before := make([]time.Duration, len(peers))
	for i, p := range peers {
		before[i] = cpuTime(t, c.PID(p))
	}
	from := time.Now()
	time.Sleep(length)
	for i, p := range peers {
		share := 100 * float64(cpuTime(t, c.PID(p))-before[i]) / float64(time.Since(from))
		t.Logf("%v: %.2f %% of a CPU", p, share)
		all += share
	}
	return all
}

// cpuTime is what all threads of a process have used.
func cpuTime(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, task.Name()))
		must(t, err)
		ns := int64(0)
		_, err = fmt.Sscan(string(b), &ns)
		must(t, err)
		sum += time.Duration(ns)
	}
	return sum
}
