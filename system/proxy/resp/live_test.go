package resp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

// serve starts a server for one test and returns where it listens.
func serve(t testing.TB, backend resp.Backend, o resp.Options) (string, *resp.Server) {
	t.Helper()
	s, stop := start(t, backend, o)
	t.Cleanup(stop)
	return s.Addr().String(), s
}

// start starts a server and returns what stops it.
func start(t testing.TB, backend resp.Backend, o resp.Options) (_ *resp.Server, stop func()) {
	t.Helper()
	s := resp.NewServer(backend, o)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	return s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func connect(t testing.TB, address string) *peer { return newPeer(t, dial(t, address)) }

// eventually waits for what another goroutine will do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// Our own commands, and what we refuse or say otherwise than Redis, each with what we say.
func TestOwnReplies(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{})
	p := connect(t, address)
	long := strings.Repeat("k", wire.MaxKey+1)
	for _, c := range []struct{ line, want string }{
		{"SET k v EX 10", "-ERR SET with EX is not supported: keys do not expire in this store\r\n"},
		{"SET k v px 10", "-ERR SET with px is not supported: keys do not expire in this store\r\n"},
		{"MSETNX a 1", "-ERR MSETNX is not supported: it would need a condition over several keys; use MT.CAS key" +
			" by key\r\n"},
		{"keys *", "-ERR KEYS is not supported: it would hold everything up; use SCAN, or MT.SCAN for keys in" +
			" order\r\n"},
		{"WAIT 1 0", "-ERR WAIT is not supported: an acknowledged write is already held by a majority of the" +
			" replicas\r\n"},
		{"EXPIRE k 1", "-ERR EXPIRE is not supported: keys do not expire in this store\r\n"},
		{"SELECT 1", "-ERR DB index is out of range\r\n"},
		{`GET ""`, "-ERR key is empty: keys are 1 to 1024 bytes\r\n"},
		{"GET " + long, "-ERR key is too long: keys are 1 to 1024 bytes\r\n"},
		{"MGET a " + long, "-ERR key is too long: keys are 1 to 1024 bytes\r\n"},
		{"CLIENT KILL x", "-ERR CLIENT KILL is not supported: no client may end another\r\n"},
		{"CONFIG SET save x", "-ERR CONFIG SET is not supported: the configuration is a file and replicated" +
			" state\r\n"},
		{"CONFIG GET SAVE", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"}, // Redis repeats the case asked for
		{"MT.GET k", "$-1\r\n"},
		{"MT.CAS k 0 one", "*2\r\n:1\r\n:2\r\n"},
		{"MT.CAS k 0 two", "*2\r\n:0\r\n:2\r\n"},
		{"MT.CAS k 0 two GET", "*3\r\n:0\r\n:2\r\n$3\r\none\r\n"},
		{"MT.CAS k 2 two", "*2\r\n:1\r\n:5\r\n"},
		{"MT.CAS nope 7 two GET", "*3\r\n:0\r\n:0\r\n$-1\r\n"},
		{"MT.CAS k x two", "-ERR revision is not an integer: 0 = absent, else what MT.GET or MT.CAS answered\r\n"},
		{"MT.CAS k 1 two PUT", "-ERR syntax error\r\n"},
		{"MT.GET k", "*2\r\n$3\r\ntwo\r\n:5\r\n"},
		{"MSET p/b 1 p/a 2 p/c 3 q 4", "+OK\r\n"},
		{"MT.SCAN p/", "*2\r\n$-1\r\n*3\r\n" +
			"*2\r\n$3\r\np/a\r\n:8\r\n*2\r\n$3\r\np/b\r\n:8\r\n*2\r\n$3\r\np/c\r\n:8\r\n"},
		{"MT.SCAN p/ LIMIT 1 VALUES", "*2\r\n$3\r\np/a\r\n*1\r\n*3\r\n$3\r\np/a\r\n:8\r\n$1\r\n2\r\n"},
		{"MT.SCAN p/ AFTER p/b", "*2\r\n$-1\r\n*1\r\n*2\r\n$3\r\np/c\r\n:8\r\n"},
		{"MT.SCAN p/ LIMIT 0", "-ERR LIMIT is 1 to 4096\r\n"},
		{"MT.SCAN p/ AFTER", "-ERR syntax error\r\n"},
		{"MT.SESSION CLOSE", "-ERR MT.SESSION takes OPEN; a session ends by itself when it is not used\r\n"},
		{"MT.SESSION OPEN", ":12\r\n"},
		{"MT.DO 12 1 1 INCR n", ":1\r\n"},
		{"MT.DO 12 1 1 INCR n", ":1\r\n"},
		{"MT.DO 12 2 1 INCR n", ":2\r\n"},
		{"MT.DO 12 3 3 SET n 7", "+OK\r\n"},
		{"MT.DO 12 1 1 INCR n", "-SESSION FORGOTTEN"},
		{"MT.DO 99 1 1 INCR n", "-SESSION UNKNOWN"},
		{"MT.DO 12 0 0 INCR n", "-ERR MT.DO takes session, number and low mark"},
		{"MT.DO 12 4 3 GET n", "-ERR MT.DO wraps a write, not 'GET'\r\n"},
		{"MT.DO 12 4 3 SET n", "-ERR wrong number of arguments for 'set' command\r\n"},
		{"MT.READ BARRIER GET n", "$1\r\n7\r\n"},
		{"MT.READ ITEM MGET n nope", "*2\r\n$1\r\n7\r\n$-1\r\n"},
		{"MT.READ BOTH GET n", "-ERR MT.READ takes BARRIER or ITEM\r\n"},
		{"MT.READ BARRIER SET n 1", "-ERR MT.READ wraps a read, not 'SET'\r\n"},
		{"MT.READS BARRIER", "+OK\r\n"},
		{"MT.READS BOTH", "-ERR MT.READS takes BARRIER or ITEM\r\n"},
		{"MT.MULTI DEL none GET none", "*2\r\n*3\r\n:0\r\n:0\r\n$-1\r\n*3\r\n:0\r\n:0\r\n$-1\r\n"},
		{"MT.DO 12 9 9 MT.MULTI SET m 1 SET m 2 GET m DEL m", "*4\r\n*3\r\n:0\r\n:22\r\n$0\r\n\r\n" +
			"*3\r\n:1\r\n:22\r\n$0\r\n\r\n*3\r\n:0\r\n:22\r\n$1\r\n2\r\n*3\r\n:1\r\n:0\r\n$0\r\n\r\n"},
		{"MT.DO 12 9 9 MT.MULTI SET other 1", "*4\r\n*3\r\n:0\r\n:22"}, // what was answered under that number
		{"MT.MULTI SET a", "-ERR MT.MULTI takes SET key value, DEL key and GET key"},
		{"MT.MULTI GET a INCR b", "-ERR MT.MULTI takes SET key value, DEL key and GET key"},
		{"MT.MULTI GET a GET " + long, "-ERR key is too long: keys are 1 to 1024 bytes\r\n"},
		{`MT.MULTI GET a GET ""`, "-ERR key is empty: keys are 1 to 1024 bytes\r\n"},
		{"COMMAND GETKEYS mt.cas k 0 v", "*1\r\n$1\r\nk\r\n"},
	} {
		p.send(words(t, c.line))
		if got := p.reply(); !strings.HasPrefix(got, c.want) || strings.HasSuffix(c.want, "\n") && got != c.want {
			t.Errorf("%.60s: %q, want %q", c.line, got, c.want)
		}
	}
}

// INFO has our sections and the callback's, alone or together.
func TestInfo(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{Info: information{}})
	p := connect(t, address)
	all := p.do("INFO")
	for _, want := range []string{"# Server\r\nredis_version:7.", "\r\n\r\n# Clients\r\nconnected_clients:1\r\n",
		"# Memory\r\nsection:memory\r\n", "# Replication\r\nsection:replication\r\n",
		"# Metronome\r\nsection:metronome"} {
		if !strings.Contains(all, want) {
			t.Errorf("INFO lacks %q:\n%s", want, all)
		}
	}
	got := p.do("INFO", "METRONOME")
	if !strings.Contains(got, "# Metronome") || strings.Contains(got, "# Server") {
		t.Errorf("INFO METRONOME: %q", got)
	}
}

type information struct{}

func (information) AppendInfo(dst []byte, section string) []byte {
	return fmt.Appendf(dst, "section:%s\r\n", section)
}

// A value or key that is too long is refused, and what follows it is served.
func TestOversized(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{})
	p := connect(t, address)
	largest := strings.Repeat("v", wire.MaxValue)
	many := make([]string, 0, 2*5000+1)
	many = append(many, "MSET")
	for i := range 5000 {
		many = append(many, fmt.Sprint(i), "v")
	}
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"SET", "k", largest}, "+OK\r\n"},
		{[]string{"STRLEN", "k"}, ":1048576\r\n"},
		{[]string{"GET", "k"}, "$1048576\r\n" + largest + "\r\n"},
		{[]string{"APPEND", "k", "v"}, "-ERR string exceeds maximum allowed size (1048576 bytes)\r\n"},
		{[]string{"SET", "k", largest + "v"}, "-ERR argument of 1048577 bytes is too long: at most 1048576\r\n"},
		{[]string{"SET", "k", largest + largest + largest}, "-ERR argument of 3145728 bytes is too long: at most" +
			" 1048576\r\n"},
		{[]string{"MSET", "a", largest, "b", largest}, "-ERR command is too long: at most 2097152 bytes\r\n"},
		{[]string{"MSET", "a", largest}, "-ERR keys and values are too long together: at most 1048576 bytes in" +
			" one command\r\n"},
		{many, "-ERR command of 10001 arguments is too long: at most 8200\r\n"},
		{append([]string{"EXISTS"}, many[1:6000]...), "-ERR too many keys: at most 4096 in one command\r\n"},
		{[]string{"GET", strings.Repeat("k", 2000)}, "-ERR key is too long: keys are 1 to 1024 bytes\r\n"},
		{[]string{"MGET", "k", "k", "k", "k", "k"}, "-ERR the values are too long together for one reply; ask for" +
			" fewer keys\r\n"},
		{[]string{"PING"}, "+PONG\r\n"},
	} {
		if got := p.do(c.words...); got != c.want {
			t.Errorf("%.40q: %.80q, want %.80q", c.words, got, c.want)
		}
	}
}

// A client that closes its half still gets every reply; then the connection ends.
func TestHalfClosed(t *testing.T) {
	var group sync.WaitGroup
	store := resptest.New()
	store.Defer = func(deliver func()) {
		group.Go(func() {
			time.Sleep(10 * time.Millisecond)
			deliver()
		})
	}
	defer group.Wait()
	address, s := serve(t, store, resp.Options{})
	p := connect(t, address)
	p.send("SET a 1\r\nGET a\r\nPING\r\nGET a")
	if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(p.r)
	if string(got) != "+OK\r\n$1\r\n1\r\n+PONG\r\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	eventually(t, "the connection is counted as ended by its client", func() bool {
		return s.Stats().Closed["client"] == 1 && s.Stats().Connections == 0
	})
}

// What is not RESP ends that connection with a message that arrives although the client goes on
// talking, and no other.
func TestGarbage(t *testing.T) {
	address, s := serve(t, resptest.New(), resp.Options{})
	other := connect(t, address)
	other.do("SET", "k", "v")
	rng := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		p := connect(t, address)
		junk := make([]byte, 10_000)
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		p.send("PING\r\n*1\r\n$x\r\n" + string(junk))
		got, err := io.ReadAll(p.r)
		if string(got) != "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if got := other.do("GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("the other client got %q", got)
	}
	eventually(t, "all are counted", func() bool {
		return s.Stats().Closed["protocol"] == 50 && s.Stats().Errors == 50
	})
}

// A client that does not read is thrown out at the bound of bytes, and another is served meanwhile. The
// server's memory for it is given back.
func TestSlowReader(t *testing.T) {
	store := resptest.New()
	address, s := serve(t, store, resp.Options{Limits: resp.Limits{SoftOutput: 4 << 20, HardOutput: 8 << 20}})
	other := connect(t, address)
	other.do("SET", "k", strings.Repeat("v", wire.MaxValue))
	slow := connect(t, address)
	slow.send(strings.Repeat(array("GET", "k"), 64))
	eventually(t, "the slow reader is thrown out", func() bool { return s.Stats().Closed["slow_reader"] == 1 })
	if got := other.do("STRLEN", "k"); got != ":1048576\r\n" {
		t.Errorf("the other client got %q", got)
	}
	eventually(t, "its memory is given back", func() bool { return s.Stats().Buffers == 0 })
}

// A client that takes no byte for too long is thrown out, however little it has asked for.
func TestStuckReader(t *testing.T) {
	store := resptest.New()
	address, s := serve(t, store, resp.Options{Limits: resp.Limits{WriteTimeout: 100 * time.Millisecond}})
	connect(t, address).do("SET", "k", strings.Repeat("v", wire.MaxValue))
	slow := connect(t, address)
	slow.send(strings.Repeat(array("GET", "k"), 30))
	eventually(t, "the stuck reader is thrown out", func() bool { return s.Stats().Closed["slow_reader"] == 1 })
}

// A client that reads slowly, but does, gets everything: it is held back, not thrown out.
func TestSteadyReader(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{Limits: resp.Limits{InflightOps: 128}})
	p := connect(t, address)
	value := strings.Repeat("v", 100<<10)
	p.do("SET", "k", value)
	const n = 300
	go func() {
		_, _ = io.WriteString(p, strings.Repeat(array("GET", "k"), n))
	}()
	for i := range n {
		if got := p.reply(); len(got) != len("$102400\r\n\r\n")+len(value) {
			t.Fatalf("reply %d of %d bytes", i, len(got))
		}
	}
}

// When the server holds all the bytes it may, clients get a retryable error, and service afterwards.
func TestOverloaded(t *testing.T) {
	address, s := serve(t, resptest.New(), resp.Options{Limits: resp.Limits{Buffers: 256 << 10}})
	p := connect(t, address)
	value := strings.Repeat("v", wire.MaxValue)
	if got := p.do("SET", "k", value); !strings.HasPrefix(got, "-OVERLOADED ") {
		t.Errorf("a large value: %.80q", got)
	}
	if got := p.do("SET", "k", value[:64<<10]); got != "+OK\r\n" {
		t.Errorf("a modest value: %.80q", got)
	}
	eventually(t, "the memory is given back", func() bool { return s.Stats().Buffers == 0 })
}

// The server stops although the backend never answers: what is outstanding is unknown (R28).
func TestStopWithOutstanding(t *testing.T) {
	s, stop := start(t, silentBackend{}, resp.Options{Limits: resp.Limits{Drain: 50 * time.Millisecond}})
	p := connect(t, s.Addr().String())
	p.send("PING\r\nSET a 1\r\nSET b 1\r\nPING\r\n")
	if got := p.reply(); got != "+PONG\r\n" {
		t.Fatal(got)
	}
	stop()
	got, err := io.ReadAll(p.r)
	lines := bytes.Split(got, []byte("\r\n"))
	if len(lines) != 4 || !bytes.HasPrefix(lines[0], []byte("-UNKNOWN ")) ||
		!bytes.HasPrefix(lines[1], []byte("-UNKNOWN ")) || string(lines[2]) != "+PONG" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n := s.Stats().Closed["stopping"]; n != 1 {
		t.Errorf("%d connections counted as stopping", n)
	}
}

type silentBackend struct{}

func (silentBackend) Submit(uint64, []resp.Op, resp.Completer) {}

func TestTooManyConnections(t *testing.T) {
	address, s := serve(t, resptest.New(), resp.Options{Limits: resp.Limits{Connections: 2}})
	a, b := connect(t, address), connect(t, address)
	a.do("PING")
	b.do("PING")
	c := connect(t, address)
	if got, _ := io.ReadAll(c.r); string(got) != "-ERR max number of clients reached\r\n" {
		t.Errorf("%q", got)
	}
	_ = a.Close()
	eventually(t, "a place is free", func() bool { return s.Stats().Connections == 1 })
	if got := connect(t, address).do("PING"); got != "+PONG\r\n" {
		t.Errorf("%q", got)
	}
	if s.Stats().Refused != 1 {
		t.Errorf("%d refused", s.Stats().Refused)
	}
}

func TestIdleTimeout(t *testing.T) {
	address, s := serve(t, resptest.New(), resp.Options{Limits: resp.Limits{IdleTimeout: time.Second}})
	var peers []*peer
	for _, sent := range []string{"", "PING\r\n", "*1\r\n$4\r\nPI"} {
		p := connect(t, address)
		p.send(sent)
		peers = append(peers, p)
	}
	for i, p := range peers {
		if got, err := io.ReadAll(p.r); err != nil || len(got) > 7 {
			t.Errorf("peer %d: %q, %v", i, got, err)
		}
	}
	eventually(t, "three are counted", func() bool { return s.Stats().Closed["idle"] == 3 })
}

// Replies come in the order of the commands although answers come in any order, from any goroutine.
func TestProgramOrder(t *testing.T) {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(5, 5))
	var group sync.WaitGroup
	backend := backendFunc(func(_ uint64, ops []resp.Op, c resp.Completer) {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range rng.Perm(len(ops)) {
			done := []resp.Done{{Tag: ops[i].Tag, Result: wire.Result{Value: bytes.Clone(ops[i].Item.Key)}}}
			pause := time.Duration(rng.IntN(300)) * time.Microsecond
			group.Go(func() {
				time.Sleep(pause)
				c.Complete(done)
			})
		}
	})
	defer group.Wait()
	address, s := serve(t, backend, resp.Options{Limits: resp.Limits{InflightOps: 200}})
	const clients, commands = 4, 3000
	var running sync.WaitGroup
	for n := range clients {
		p := connect(t, address)
		running.Go(func() {
			var all strings.Builder
			for i := range commands {
				if i%7 == 0 {
					all.WriteString(array("ECHO", fmt.Sprintf("%d-%d", n, i)))
				} else {
					all.WriteString(array("GET", fmt.Sprintf("%d-%d", n, i)))
				}
			}
			go func() { _, _ = io.WriteString(p, all.String()) }()
			for i := range commands {
				want := fmt.Sprintf("%d-%d", n, i)
				got, err := readReply(p.r, nil)
				if string(got) != fmt.Sprintf("$%d\r\n%s\r\n", len(want), want) {
					t.Errorf("reply %d of client %d: %q, %v", i, n, got, err)
					return
				}
			}
		})
	}
	running.Wait()
	if st := s.Stats(); st.Stray != 0 || st.Commands != clients*commands {
		t.Errorf("%+v", st)
	}
}

type backendFunc func(pin uint64, ops []resp.Op, c resp.Completer)

func (f backendFunc) Submit(pin uint64, ops []resp.Op, c resp.Completer) { f(pin, ops, c) }

// A backend that answers twice, or what nobody asked, is counted and harms nothing.
func TestStrayAnswers(t *testing.T) {
	backend := backendFunc(func(_ uint64, ops []resp.Op, c resp.Completer) {
		for _, op := range ops {
			c.Complete([]resp.Done{{Tag: op.Tag + 5}, {Tag: op.Tag}, {Tag: op.Tag}})
		}
	})
	address, s := serve(t, backend, resp.Options{})
	p := connect(t, address)
	for range 3 {
		if got := p.do("SET", "a", "1"); got != "+OK\r\n" {
			t.Error(got)
		}
	}
	if n := s.Stats().Stray; n != 6 {
		t.Errorf("%d stray answers counted, want 6", n)
	}
}
