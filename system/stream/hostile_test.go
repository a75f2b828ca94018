package stream

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/cluster"
	"metronome/system/wire"
)

// raw is a TLS connection to a node, with a peer's certificate, that says what the test wants.
func raw(t testing.TB, c *cluster.Config, as wire.Peer, n *node) *tls.Conn {
	t.Helper()
	id, err := c.Identity(as)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", n.Addr().String(), id.ClientTLS(n.cfg.Self))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.NetConn().Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// says sends a hello and returns the reason of the refusal, or "".
func says(t testing.TB, conn *tls.Conn, h []byte) string {
	t.Helper()
	if err := writeFrame(conn, kindHello, h); err != nil {
		t.Fatal(err)
	}
	k, content, err := readFrame(conn, MaxHello+helloFixed)
	if err != nil {
		return err.Error()
	}
	if k == kindBye {
		return string(content)
	}
	if err := writeFrame(conn, kindPing, make([]byte, pingBytes)); err != nil {
		t.Fatal(err)
	}
	return ""
}

func (n *node) helloAs(from wire.Peer, instance uint64) []byte {
	h := hello{n.cfg.Cluster, from, n.cfg.Self, instance, nil}
	return h.append(nil)
}

// TestHelloIsJudged connects with a good certificate and hellos that are not: each is told why.
func TestHelloIsJudged(t *testing.T) {
	c := dev(t, 3)
	n := start(t, c, r1, func(cfg *Config) {
		delete(cfg.Addresses, p1)
		cfg.Check = func(_ wire.Peer, b []byte) error {
			if string(b) == "old" {
				return errors.New("feature level 1 is too old")
			}
			return nil
		}
	})
	hello := func(h hello) []byte { return h.append(nil) }
	tag := n.cfg.Cluster
	other := hello(hello2(tag, r2, r1))
	other[3] = 9
	for _, tc := range []struct {
		name string
		as   wire.Peer
		said []byte
		want string
	}{
		{"another role", p1, hello(hello2(tag, r2, r1)),
			"the certificate of proxy-1 is used to connect as replica-2"},
		{"another seat", r2, hello(hello2(tag, r0, r1)),
			"the certificate of replica-2 is used to connect as replica-0"},
		{"not in the file", p1, hello(hello2(tag, p1, r1)), "proxy-1 is not in the cluster file of replica-1"},
		{"to somebody else", r2, hello(hello2(tag, r2, r0)), "this is replica-1, not replica-0"},
		{"wrong direction", r0, hello(hello2(tag, r0, r1)), "replica-0 is to be dialled by replica-1"},
		{"another cluster key", r2, hello(hello2(tag+1, r2, r1)), "the cluster keys differ"},
		{"another version", r2, other, "version 9 of the stream protocol meets version 1"},
		{"refused by Check", r2, hello(hello3(tag, r2, r1, "old")), "feature level 1 is too old"},
		{"no hello", r2, []byte("GET / HTTP/1.1\r\n"), "EOF"},
		{"a short hello", r2, hello(hello2(tag, r2, r1))[:10], "EOF"},
		{"a good one", r2, hello(hello2(tag, r2, r1)), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := says(t, raw(t, c, tc.as, n), tc.said)
			if got != tc.want && (tc.want == "" || !strings.Contains(got, tc.want)) {
				t.Errorf("told %q, want %q", got, tc.want)
			}
		})
	}
	wait(t, "count", func() bool { return n.Strangers().Hello == 10 })
	if !strings.Contains(n.logs.String(), "cause=hello") || strings.Count(n.logs.String(), "cause=hello") > 1 {
		t.Errorf("the log is to be told once:\n%s", n.logs.String())
	}
}

func hello2(tag uint32, from, to wire.Peer) hello { return hello3(tag, from, to, "") }

func hello3(tag uint32, from, to wire.Peer, user string) hello {
	return hello{tag, from, to, 1, []byte(user)}
}

// broken starts two nodes that must not connect, and returns what the dialling one logs.
func broken(t *testing.T, a, b *node) string {
	t.Helper()
	wait(t, "a failure", func() bool { return b.stats(r0).Failures >= 2 })
	if h := slices.Concat(a.history(r1), b.history(r0)); len(h) != 0 {
		t.Errorf("they connected: %q", h)
	}
	return b.logs.String()
}

func expect(t *testing.T, log string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(log, w) {
			t.Errorf("the log does not say %q:\n%s", w, log)
		}
	}
}

func TestAnotherCA(t *testing.T) {
	c, foreign := dev(t, 2), dev(t, 2)
	a := start(t, c, r0)
	b := start(t, foreign, r1, func(cfg *Config) { cfg.Addresses[r0] = a.Addr().String() })
	expect(t, broken(t, a, b), "its certificate comes from another CA", "metronome pki")
}

// TestAnotherCAOfTheDialler has the dialler trust both CAs, so that the other side is the one to
// refuse.
func TestAnotherCAOfTheDialler(t *testing.T) {
	c, foreign := dev(t, 2), dev(t, 2)
	ca, err := os.ReadFile(c.Path(c.Secrets.CA))
	if err != nil {
		t.Fatal(err)
	}
	path := foreign.Path(foreign.Secrets.CA)
	own, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(own, ca...), 0o600); err != nil {
		t.Fatal(err)
	}
	a := start(t, c, r0)
	b := start(t, foreign, r1, func(cfg *Config) { cfg.Addresses[r0] = a.Addr().String() })
	expect(t, broken(t, a, b), "does not accept this process's certificate")
	if a.Strangers().TLS == 0 {
		t.Error("not counted")
	}
}

// TestAnotherClusterOfTheSameCA: a CA may serve two clusters; their certificates do not mix.
func TestAnotherClusterOfTheSameCA(t *testing.T) {
	c := dev(t, 2)
	foreign := *c
	foreign.Name = "prod"
	foreign.Secrets.Certs = t.TempDir()
	if _, err := (cluster.PKI{Now: time.Now()}).Init(&foreign); err != nil {
		t.Fatal(err)
	}
	a := start(t, c, r0)
	b := start(t, &foreign, r1)
	expect(t, broken(t, a, b), "valid for dev.metronome.internal, not prod.metronome.internal")
}

// TestAnotherProcessAnswers: the addresses of two peers are exchanged.
func TestAnotherProcessAnswers(t *testing.T) {
	c := dev(t, 3)
	a := start(t, c, r2, func(cfg *Config) { delete(cfg.Addresses, r1) })
	b := start(t, c, r1, func(cfg *Config) { cfg.Addresses[r0] = a.Addr().String() })
	expect(t, broken(t, a, b), "expected replica-0, but the certificate is that of replica-2")
}

// TestDiallerRefuses: the side that dials may refuse, too, and the other one hears why.
func TestDiallerRefuses(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0)
	b := start(t, c, r1, func(cfg *Config) {
		cfg.Check = func(_ wire.Peer, hello []byte) error { return fmt.Errorf("not you, %q", hello) }
	})
	expect(t, broken(t, a, b), "not you", "hello of replica-0")
	expect(t, a.logs.String(), "it refuses this process: not you")
}

func TestSomethingElseAnswers(t *testing.T) {
	c := dev(t, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
		}
	}()
	b := start(t, c, r1, func(cfg *Config) { cfg.Addresses[r0] = l.Addr().String() })
	wait(t, "a failure", func() bool { return b.stats(r0).Failures >= 2 })
	expect(t, b.logs.String(), "something else than a metronome process talks there")
}

// TestTwoProcessesOfOneIdentity: the one that came first keeps its connection, the second is told.
func TestTwoProcessesOfOneIdentity(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0)
	first := start(t, c, r1)
	wait(t, "connection", func() bool { return a.Up(r1) && first.Up(r0) })
	second := start(t, c, r1, func(cfg *Config) { cfg.Listen = "127.0.0.1:0" })
	wait(t, "refusals", func() bool { return second.stats(r0).Failures >= 3 })
	expect(t, second.logs.String(), "replica-1 is connected already", "another process use its certificate?")
	if h := a.history(r1); len(h) != 1 {
		t.Errorf("the first one was disturbed: %q", h)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the second one's turn", func() bool { return second.Up(r0) })
}

// TestReconnection: a process whose old connection the other side still believes in gets a new one.
func TestReconnection(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0, func(cfg *Config) { cfg.Timeout = time.Hour })
	for i := range 3 {
		if got := says(t, raw(t, c, r1, a), a.helloAs(r1, 7)); got != "" {
			t.Fatalf("connection %d is refused: %s", i, got)
		}
		wait(t, "up", func() bool { return len(a.history(r1)) == 2*i+1 && a.Up(r1) })
	}
	want := []string{"up", "down: replica-1 connected anew", "up", "down: replica-1 connected anew", "up"}
	if h := a.history(r1); !slices.Equal(h, want) {
		t.Errorf("states %q", h)
	}
	if got := says(t, raw(t, c, r1, a), a.helloAs(r1, 8)); !strings.Contains(got, "connected already") {
		t.Errorf("another instance is told %q", got)
	}
}

// TestBrokenPeer has a peer with a good certificate and hello break the rules afterwards.
func TestBrokenPeer(t *testing.T) {
	const most = 100_000
	header := func(k kind, n int) []byte { return appendHeader(nil, k, n) }
	part := append(header(kindPart, partBytes), make([]byte, partBytes)...)
	for name, tc := range map[string]struct {
		sent []byte
		want string
	}{
		"a length beyond MaxMessage": {header(kindUrgent, most+1), "a frame of 100001 bytes"},
		"the longest length":         {header(kindUrgent, maxMaxMessage), "a frame of 268435455 bytes"},
		"endless bulk":               {bytes.Repeat(part, most/partBytes+1), "protocol violated: bulk of"},
		"an empty message":           {header(kindUrgent, 0), "protocol violated: kind 0 of 0 bytes"},
		"an empty part":              {header(kindPart, 0), "protocol violated: bulk of 0 and 0 bytes"},
		"a short ping":               {append(header(kindPing, 1), 1), "protocol violated: kind 3"},
		"an unknown kind":            {header(15, 0), "protocol violated: kind 15"},
		"a second hello":             {header(kindHello, 0), "protocol violated: kind 6"},
		"bye":                        {append(header(kindBye, 4), "\x1bso!"...), "it refuses this process: ?so!"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dev(t, 2)
			a := start(t, c, r0, func(cfg *Config) { cfg.MaxMessage = most })
			conn := raw(t, c, r1, a)
			if got := says(t, conn, a.helloAs(r1, 7)); got != "" {
				t.Fatal(got)
			}
			_, _ = conn.Write(tc.sent) // the node may hang up before the end
			wait(t, "down", func() bool { return len(a.history(r1)) == 2 })
			if h := a.history(r1); !strings.Contains(h[1], tc.want) {
				t.Errorf("states %q, want %q", h, tc.want)
			}
		})
	}
}

// TestGarbage: whatever is not TLS with a certificate of this cluster is turned away, counted, and
// told to the log once; peers are not disturbed.
func TestGarbage(t *testing.T) {
	c := dev(t, 2)
	a, b := start(t, c, r0), start(t, c, r1)
	wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
	garbage := [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("*1\r\n$4\r\nPING\r\n"), make([]byte, 4096),
		append([]byte{22, 3, 1, 255, 255}, make([]byte, 70_000)...), {22, 3, 1, 0, 5, 1, 0, 0, 1, 0}}
	const rounds = 10
	for range rounds {
		for _, g := range garbage {
			conn, err := net.Dial("tcp", a.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(g)
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%.20q: not hung up on", g)
			}
			_ = conn.Close()
		}
		// TLS without a certificate: the client learns of it when it reads.
		conn, err := tls.Dial("tcp", a.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without a certificate: %v", err)
		}
	}
	want := uint64(rounds * (len(garbage) + 1))
	wait(t, "count", func() bool { return a.Strangers().TLS == want })
	if n := strings.Count(a.logs.String(), "cause=tls"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, a.logs.String())
	}
	if h := slices.Concat(a.history(r1), b.history(r0)); len(h) != 2 {
		t.Errorf("the peers were disturbed: %q", h)
	}
}

// TestSlowHandshake: who connects and says nothing, or one byte now and then, is hung up on.
func TestSlowHandshake(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0, func(cfg *Config) { cfg.Timeout = 2 * time.Second })
	silent, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	slow, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	id, err := c.Identity(r1)
	if err != nil {
		t.Fatal(err)
	}
	hold, err := tls.Dial("tcp", a.Addr().String(), id.ClientTLS(r0)) // past TLS, and no hello
	if err == nil {                                                   // which may take too long
		defer func() { _ = hold.NetConn().Close() }()
	}
	wait(t, "count", func() bool {
		_, _ = slow.Write([]byte{22})
		time.Sleep(50 * time.Millisecond)
		return a.Strangers().Slow+a.Strangers().TLS == 3
	})
	conns := []net.Conn{silent}
	if hold != nil {
		conns = append(conns, hold)
	}
	for _, conn := range conns {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("not hung up on")
		}
	}
}

// TestManyConnections: with a thousand strangers about, memory and goroutines stay bounded and a
// peer still gets in.
func TestManyConnections(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, 1000)
	for i := range conns {
		conn, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte{22, 3, 1}) // the beginning of a hello, then nothing
		conns[i] = conn
	}
	b := start(t, c, r1)
	wait(t, "a peer gets in", func() bool { return a.Up(r1) && b.Up(r0) })
	wait(t, "crowded", func() bool { return a.Strangers().Crowded >= uint64(len(conns)-maxWaiting) })
	a.Transport.mu.Lock()
	waiting := len(a.waiting)
	a.Transport.mu.Unlock()
	if waiting > maxWaiting {
		t.Errorf("%d connections wait, %d places", waiting, maxWaiting)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// TestAnnouncedLengthCostsNothing: a header that announces much does not reserve it.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	s := splitter{most: maxMaxMessage}
	s.tail += copy(s.room(), appendHeader(nil, kindUrgent, maxMaxMessage))
	if _, _, ok, err := s.next(); ok || err != nil {
		t.Fatal(ok, err)
	}
	if s.room(); len(s.buf) > 2*readBytes {
		t.Errorf("%d bytes are reserved", len(s.buf))
	}
}
