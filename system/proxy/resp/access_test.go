package resp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"metronome/internal/require"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
)

const guarded = `
GET k
PING
BOGUS
GET
SELECT 0
HELLO
HELLO 3
AUTH wrong
AUTH default wrong
AUTH nobody secret
HELLO 2 AUTH default wrong
AUTH secret
GET k
RESET
GET k
AUTH default secret
GET k
RAW "CLIENT REPLY SKIP\r\nHELLO 3 AUTH default secret SETNAME x\r\nPING\r\n"
GET k
CLIENT GETNAME
`

// With a password set, a stranger gets the answers that a real Redis gives him.
func TestAuthIsThatOfRedis(t *testing.T) {
	redis := newPeer(t, startRedis(t, "--requirepass", "secret"))
	address, s := serve(t, resptest.New(), resp.Options{Auth: resp.RequirePass("secret")})
	us := connect(t, address)
	for line := range strings.SplitSeq(strings.TrimSpace(guarded), "\n") {
		raw := words(t, line)
		redis.send(raw)
		us.send(raw)
		want, got := redis.reply(), us.reply()
		if got != want {
			t.Errorf("%s\n   we say %q\nRedis says %q", line, got, want)
		}
	}
	if n := s.Stats().WrongPass; n != 4 {
		t.Errorf("%d wrong passwords counted, want 4", n)
	}
}

// A stranger cannot make the server hold more than a little.
func TestStrangersAreHeldShort(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{Auth: resp.RequirePass("secret")})
	for _, raw := range []string{"*11\r\n", "*2\r\n$4\r\nAUTH\r\n$16385\r\n"} {
		p := connect(t, address)
		p.send(raw)
		got, err := io.ReadAll(p.r)
		if !strings.HasPrefix(string(got), "-ERR Protocol error: unauthenticated ") || err != nil {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	address, s := serve(t, resptest.New(), resp.Options{TLS: config})
	client := &tls.Config{RootCAs: pool, ServerName: "proxy", MinVersion: tls.VersionTLS13}
	c, err := tls.Dial("tcp", address, client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := newPeer(t, c)
	value := strings.Repeat("v", 300<<10)
	for range 3 {
		if got := p.do("SET", "k", value); got != "+OK\r\n" {
			t.Fatal(got)
		}
		if got := p.do("GET", "k"); len(got) < len(value) {
			t.Fatalf("%d bytes", len(got))
		}
	}
	p.send("*x\r\n")
	got, err := io.ReadAll(p.r)
	if string(got) != "-ERR Protocol error: invalid multibulk length\r\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	plain := connect(t, address) // a client without TLS is let go
	plain.send("PING\r\n")
	_, _ = io.ReadAll(plain.r)
	eventually(t, "both are counted", func() bool {
		st := s.Stats()
		return st.Closed["broken"] == 1 && st.Closed["protocol"] == 1
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"proxy"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Ten thousand connections that have been used and are idle now cost little memory, and one more is
// served at once.
func TestIdleConnectionsCostLittle(t *testing.T) {
	const want, each = 10_000, 16 << 10
	n := min(want, openFiles()/2-200)
	if n < 1000 {
		require.Skip(t, "files", fmt.Errorf("%d open files are too few: ulimit -n 21000", openFiles()))
	}
	address, s := serve(t, resptest.New(), resp.Options{})
	before := memory()
	conns := make([]net.Conn, n)
	var buf [16]byte
	for i := range conns {
		c := dial(t, address)
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadFull(c, buf[:7]); err != nil {
			t.Fatal(got, err)
		}
		conns[i] = c
	}
	used := memory() - before
	t.Logf("%d idle connections: %d bytes each, both ends in this process", n, used/int64(n))
	if used > int64(n)*each {
		t.Errorf("%d idle connections hold %d bytes each, want at most %d", n, used/int64(n), each)
	}
	if got := connect(t, address).do("PING"); got != "+PONG\r\n" || s.Stats().Connections != n+1 {
		t.Errorf("%q with %d connections", got, s.Stats().Connections)
	}
}

func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, 1<<20))
}

func memory() int64 {
	runtime.GC()
	runtime.GC() // pools keep what they hold over one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Listening where somebody else does says so, and what to do.
func TestListenTwice(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{})
	err := resp.NewServer(resptest.New(), resp.Options{}).Listen(address)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--resp") {
		t.Errorf("%v", err)
	}
}
