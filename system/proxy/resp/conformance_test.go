package resp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
)

// peer is a connection that says words and takes whole replies, byte by byte as they came.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newPeer(t testing.TB, c net.Conn) *peer {
	_ = c.SetDeadline(time.Now().Add(3 * time.Minute))
	return &peer{t: t, Conn: c, r: bufio.NewReader(c)}
}

func (p *peer) send(raw string) {
	p.t.Helper()
	if _, err := io.WriteString(p, raw); err != nil {
		p.t.Fatalf("send %.60q: %v", raw, err)
	}
}

// array is a command as clients send it.
func array(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

// reply reads one reply, whatever is in it.
func (p *peer) reply() string {
	p.t.Helper()
	b, err := readReply(p.r, nil)
	if err != nil {
		p.t.Fatalf("reply: %v after %q", err, b)
	}
	return string(b)
}

func readReply(r *bufio.Reader, b []byte) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	b = append(b, line...)
	if err != nil {
		return b, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return b, nil
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(r, body)
		return append(b, body...), err
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return b, nil
	}
	for range n {
		if b, err = readReply(r, b); err != nil {
			return b, err
		}
	}
	return b, nil
}

// do says words and returns the reply.
func (p *peer) do(words ...string) string {
	p.t.Helper()
	p.send(array(words...))
	return p.reply()
}

// startRedis runs a real one for a test.
func startRedis(t testing.TB, args ...string) net.Conn {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(tool(t, "redis-server"), append([]string{"--port", "0", "--unixsocket", socket,
		"--save", "", "--appendonly", "no", "--dir", dir}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		if c, err := net.Dial("unix", socket); err == nil {
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("redis-server did not open its socket in time")
	return nil
}

// Every line is said to a real Redis and to us on one connection each; the replies are the same to the
// byte. A line that starts with "RAW " is Go syntax of the bytes to send, which make one reply.
const shared = `
PING
PING hello
PING a b
ECHO hello
ECHO
echo "a b"
GET k
SET k v
GET k
get k
GET
GET a b
SET k
SET k v NX
SET k v2 XX
SET nope v XX
SET k v3 GET
SET new v GET
SET k v4 XX GET
SET nope v XX GET
SET k v5 NX GET
SET fresh v NX GET
SET fresh2 v NX
SET k v NX XX
SET k v XX NX
SET k v bogus
SET k v KEEPTTL
SET k v KEEPTTL GET
SETNX k v
SETNX k2 v
SETNX k
GETSET k w
GETSET k3 w
GETDEL k3
GETDEL k3
STRLEN k
STRLEN nope
APPEND k xyz
APPEND k4 abc
APPEND k4 ""
STRLEN k4
MSET a 1 b 2 c 3
MSET a 1 b
MSET a
MGET a b c nope
MGET
MGET a
DEL a
DEL a
DEL b c nope b
DEL
UNLINK k4
MSET a 1 b 2
EXISTS a b nope a
EXISTS a
EXISTS nope
EXISTS
INCR n
INCR n
INCRBY n 10
DECR n
DECRBY n 20
DECRBY n -9223372036854775808
INCRBY n 9223372036854775807
INCRBY n 9223372036854775807
INCRBY n abc
INCRBY n +5
INCRBY n 05
INCRBY n " 5"
INCRBY n 99999999999999999999
INCR k
SET m -9223372036854775808
DECR m
INCR m
SET x 1.5
INCR x
SET x 007
INCR x
SET x ""
INCR x
GET x
TYPE k
TYPE nope
TTL k
TTL nope
PTTL k
PTTL nope
DBSIZE
DBSIZE x
SCAN x
SCAN 0 COUNT 0
SCAN 0 COUNT x
SCAN 0 BOGUS 1
SCAN 0 MATCH
SCAN 0 MATCH none:* COUNT 1000
SCAN 0 MATCH fresh2 COUNT 1000
SCAN 0 TYPE hash COUNT 1000
SCAN 0 COUNT 1000 TYPE string MATCH fresh2
SELECT 0
SELECT x
SELECT -1
AUTH
AUTH default x
AUTH nobody x
AUTH x
AUTH a b c
CLIENT
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT SETNAME "a b"
CLIENT SETNAME ""
CLIENT GETNAME
CLIENT GETNAME x
CLIENT BOGUS
CLIENT REPLY ON
CLIENT REPLY BOGUS
CLIENT NO-EVICT ON
CONFIG GET save
CONFIG GET appendonly
CONFIG GET nothing
CONFIG GET
CONFIG
CONFIG BOGUS x
COMMAND INFO bogus
COMMAND DOCS bogus
COMMAND GETKEYS get k
COMMAND GETKEYS mset a 1 b 2
COMMAND GETKEYS mget a b c
COMMAND GETKEYS ping
COMMAND GETKEYS ping x
COMMAND GETKEYS bogus x
COMMAND GETKEYS get
COMMAND BOGUS
COMMAND COUNT x
INFO nothing
BOGUS
BOGUS a "b c" d
bogus "line\nend"
HELLO 9
HELLO x
HELLO 2 BOGUS
HELLO 2 SETNAME "a b"
HELLO 2 AUTH nobody x
RESET
RAW "CLIENT REPLY SKIP\r\nHELLO 3 SETNAME three\r\nPING\r\n"
GET nope
GET a
MGET a nope
SET q v NX GET
CLIENT GETNAME
CONFIG GET save
CONFIG GET nothing
TTL nope
COMMAND INFO bogus
COMMAND DOCS bogus
RESET
GET nope
CLIENT GETNAME
RAW "\r\n\r\nPING\r\n"
RAW "*0\r\n*-1\r\nGET a\n"
RAW "SET   q  \"x\\x41\\n\\\"\"   \r\n"
RAW "GET 'q'\r\n"
RAW "CLIENT REPLY SKIP\r\nGET a\r\nPING one\r\n"
RAW "CLIENT REPLY OFF\r\nGET a\r\nSET a 5\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\n"
RAW "CLIENT REPLY SKIP\r\nCLIENT GETNAME\r\nCLIENT GETNAME\r\n"
GET a
QUIT
`

// What ends the connection in Redis ends it here, with the same last words.
var protocolErrors = []string{
	"*a\r\n",
	"*1\r\n+PING\r\n",
	"*1\r\nPING\r\n",
	"*1\r\n$-5\r\n",
	"*1\r\n$x\r\n",
	"*1\r\n$999999999999\r\n",
	"*99999999999\r\n",
	"GET \"a\r\n",
	"GET 'a'b\r\n",
	"PING\r\n*1\r\n$x\r\n",
}

func words(t testing.TB, line string) string {
	t.Helper()
	if raw, ok := strings.CutPrefix(line, "RAW "); ok {
		s, err := strconv.Unquote(raw)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return s
	}
	var all []string
	for rest := line; rest != ""; {
		if rest[0] == '"' {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			word, _ := strconv.Unquote(quoted)
			all = append(all, word)
			rest = strings.TrimPrefix(rest[len(quoted):], " ")
			continue
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		all = append(all, word)
	}
	return array(all...)
}

func TestRepliesAreThoseOfRedis(t *testing.T) {
	redis := newPeer(t, startRedis(t))
	address, _ := serve(t, resptest.New(), resp.Options{})
	us := newPeer(t, dial(t, address))
	for line := range strings.SplitSeq(strings.TrimSpace(shared), "\n") {
		raw := words(t, line)
		redis.send(raw)
		us.send(raw)
		want, got := redis.reply(), us.reply()
		if got != want {
			t.Errorf("%s\n   we say %q\nRedis says %q", line, got, want)
		}
	}
}

func TestProtocolErrorsAreThoseOfRedis(t *testing.T) {
	_ = tool(t, "redis-server")
	address, _ := serve(t, resptest.New(), resp.Options{})
	first := startRedis(t)
	for _, raw := range protocolErrors {
		redisConn, err := net.Dial("unix", first.RemoteAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		redis, us := newPeer(t, redisConn), newPeer(t, dial(t, address))
		redis.send(raw)
		us.send(raw)
		want, _ := io.ReadAll(redis.r)
		got, err := io.ReadAll(us.r)
		if string(got) != string(want) || err != nil {
			t.Errorf("%q\n   we say %q (%v)\nRedis says %q", raw, got, err, want)
		}
		_ = redis.Close()
	}
}
