package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/access/secretfile"
	"metronome/system/wire"
)

var r0, r1, p1 = wire.ReplicaPeer(0), wire.ReplicaPeer(1), wire.ProxyPeer(1)

// dev makes a cluster on this machine.
func dev(t *testing.T) *Config {
	t.Helper()
	c, err := Dev(filepath.Join(t.TempDir(), "c"), DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func identity(t *testing.T, c *Config, self wire.Peer) *Identity {
	t.Helper()
	id, err := c.Identity(self)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDev(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	host := loopback()
	c, err := Dev(dir, DevOptions{Replicas: 5, Proxies: 2, Lanes: 20, Resp: host + ":16379"})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Replicas) != 5 || len(c.Proxies) != 2 || c.Proxies[1].Lanes != 20 ||
		c.Proxies[0].Resp != host+":16379" || c.Proxies[1].Resp != host+":16380" {
		t.Errorf("%+v", c)
	}
	again, err := Load(filepath.Join(dir, FileName))
	if err != nil || again.Digest() != c.Digest() || again.Replicas[4] != c.Replicas[4] {
		t.Errorf("loads as %+v (%v)", again, err)
	}
	for _, p := range c.Peers() {
		identity(t, c, p)
	}
	for _, addr := range c.StreamAddresses() {
		_, port, _ := net.SplitHostPort(addr)
		if n, _ := strconv.Atoi(port); n < devPortsFrom || n >= 32768 {
			t.Errorf("port %d may be taken by outgoing connections", n)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = l.Close()
	}
	if _, err := Dev(dir, DevOptions{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a cluster was overwritten: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, _ := d.Info(); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDevLeavesAskedPorts: a port that a proxy is to have is given to nobody else.
func TestDevLeavesAskedPorts(t *testing.T) {
	free := ports{host: loopback()}
	defer free.release()
	for n := devPortsFrom; n < devPortsFrom+devPorts; n += 2 {
		free.asked = append(free.asked, net.JoinHostPort("0.0.0.0", strconv.Itoa(n)))
	}
	for range 20 {
		for _, addr := range []string{free.tcp(), free.udp()} {
			_, port, _ := net.SplitHostPort(addr)
			if n, _ := strconv.Atoi(port); (n-devPortsFrom)%2 == 0 {
				t.Errorf("%s was asked for by somebody else", addr)
			}
		}
	}
	if free.err != nil {
		t.Error(free.err)
	}
}

// TestDevsAreApart: what is free for one cluster, for it was not started yet, is not drawn for another.
func TestDevsAreApart(t *testing.T) {
	a, b := dev(t), dev(t)
	host := func(c *Config) string {
		host, _, err := net.SplitHostPort(c.Replicas[0].Stream)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("%q, %v", c.Replicas[0].Stream, err)
		}
		return host
	}
	if host(a) == host(b) {
		t.Errorf("both are on %s", host(a))
	}
	free, err := FreeAddresses("127.0.0.1", 200)
	slices.Sort(free)
	if err != nil || len(slices.Compact(free)) != 200 {
		t.Errorf("%d free addresses of 200: %v", len(free), err)
	}
}

// TestDevErrors: what cannot be is refused before anything is written.
func TestDevErrors(t *testing.T) {
	for want, o := range map[string]DevOptions{
		"journal":          {Change: func(c *Config) { c.Storage.Journal = 1 }},
		"use at most 15":   {Replicas: 16},
		`resp "nowhere"`:   {Resp: "nowhere"},
		"lanes: 65":        {Lanes: 65},
		"port of 1 to 655": {Resp: "127.0.0.1:70000"},
	} {
		dir := filepath.Join(t.TempDir(), "c")
		if _, err := Dev(dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if exists(dir) {
			t.Errorf("%s: something was written", want)
		}
	}
}

// TestInitMakesWhatIsMissing and nothing else.
func TestInitMakesWhatIsMissing(t *testing.T) {
	c := dev(t)
	run := func(p PKI) string {
		t.Helper()
		p.Now = time.Now()
		files, err := p.Init(c)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, filepath.Base(f))
		}
		return strings.Join(names, " ")
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ca, key := read(c.Path(c.Secrets.CA)), read(c.Path(c.Secrets.ClusterKeyFile))
	if got := run(PKI{}); got != "" {
		t.Errorf("wrote %s again", got)
	}
	if err := os.Remove(c.Path("secrets/replica-1.crt")); err != nil {
		t.Fatal(err)
	}
	if got := run(PKI{}); got != "replica-1.key replica-1.crt" {
		t.Errorf("wrote %s", got)
	}
	identity(t, c, r1)
	want := "replica-0.key replica-0.crt replica-1.key replica-1.crt replica-2.key replica-2.crt " +
		"proxy-1.key proxy-1.crt"
	if got := run(PKI{Renew: true, Life: time.Hour}); got != want {
		t.Errorf("renewed %s", got)
	}
	if left := time.Until(identity(t, c, p1).NotAfter()); left <= 0 || left > time.Hour {
		t.Errorf("valid for %v", left)
	}
	if ca != read(c.Path(c.Secrets.CA)) || key != read(c.Path(c.Secrets.ClusterKeyFile)) {
		t.Error("CA or cluster key were overwritten")
	}
}

// TestSecretErrors breaks secrets one by one; each error says what to do.
func TestSecretErrors(t *testing.T) {
	write := func(name, content string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if err := os.WriteFile(c.Path("secrets/"+name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if err := os.Remove(c.Path("secrets/" + name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, m os.FileMode) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if err := os.Chmod(c.Path("secrets/"+name), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	move := func(from, to string) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if err := os.Rename(c.Path("secrets/"+from), c.Path("secrets/"+to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	issueAt := func(now time.Time) func(*testing.T, *Config) {
		return func(t *testing.T, c *Config) {
			if _, err := (PKI{Now: now, Renew: true}).Init(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		damage []func(*testing.T, *Config)
		want   string
	}{
		{"no cluster key", list(remove("cluster.key")), "make it with metronome pki init"},
		{"short cluster key", list(write("cluster.key", "abcd")), "must hold 32 bytes in hexadecimal"},
		{"open cluster key", list(mode("cluster.key", 0o644)), "is open to others (-rw-r--r--): chmod 600"},
		{"no CA", list(remove("ca.crt")), "make it with metronome pki init"},
		{"empty CA", list(write("ca.crt", "")), "holds no certificate in PEM"},
		{"no certificate", list(remove("replica-0.crt")), "make it with metronome pki init"},
		{"no key", list(remove("replica-0.key")), "make it with metronome pki init"},
		{"open key", list(mode("replica-0.key", 0o660)), "chmod 600"},
		{"another peer's key", list(move("proxy-1.key", "replica-0.key")), "private key does not match"},
		{"another peer's certificate",
			list(move("proxy-1.key", "replica-0.key"), move("proxy-1.crt", "replica-0.crt")),
			"it names proxy-1"},
		{"expired", list(issueAt(time.Now().Add(-2 * leafLife))), "metronome pki renew"},
		{"not valid yet", list(issueAt(time.Now().Add(48 * time.Hour))), "metronome pki renew"},
		{"another CA", list(remove("ca.crt"), remove("ca.key"), func(t *testing.T, c *Config) {
			if _, err := (PKI{Now: time.Now()}).Init(c); err != nil {
				t.Fatal(err)
			}
		}), "it was not issued by this CA: issue it again with metronome pki renew"},
		{"another cluster", list(func(_ *testing.T, c *Config) { c.Name = "other" }),
			`of cluster "dev", this is cluster "other"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dev(t)
			for _, f := range tc.damage {
				f(t, c)
			}
			if _, err := c.Identity(r0); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	c := dev(t)
	if _, err := c.Identity(wire.ReplicaPeer(7)); err == nil ||
		!strings.Contains(err.Error(), "replica-7 is not in the cluster file: it has replica-0,") {
		t.Errorf("a stranger's identity: %v", err)
	}
}

func list(f ...func(*testing.T, *Config)) []func(*testing.T, *Config) { return f }

// TestInitErrors: half a CA is not replaced.
func TestInitErrors(t *testing.T) {
	for file, want := range map[string]string{
		"ca.crt": "bring the certificate back", "ca.key": "the CA's key is needed",
	} {
		c := dev(t)
		if err := os.Remove(c.Path("secrets/" + file)); err != nil {
			t.Fatal(err)
		}
		_, err := (PKI{Now: time.Now(), Renew: true}).Init(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", file, err)
		}
	}
	c := dev(t)
	other := dev(t)
	b, err := os.ReadFile(other.caKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := secretfile.Write(c.caKeyPath(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := (PKI{Renew: true}).Init(c); err == nil || !strings.Contains(err.Error(), "belongs to the key") {
		t.Errorf("a foreign CA key: %v", err)
	}
}

// shake is a TLS handshake over loopback, and who each side saw.
func shake(t *testing.T, server, client *tls.Config, id *Identity) (
	seen wire.Peer, serverErr, clientErr error,
) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), client)
		if err == nil { // TLS 1.3: the server's verdict comes with the first byte
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		done <- err
	}()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Server(raw, server)
	if serverErr = conn.Handshake(); serverErr == nil {
		seen, serverErr = id.PeerOf(conn.ConnectionState())
		_, _ = conn.Write([]byte{1})
	}
	_ = conn.Close()
	return seen, serverErr, <-done
}

// TestHandshakes: everybody of the cluster is known by role and number, and nobody else gets in
// (R22).
func TestHandshakes(t *testing.T) {
	c := dev(t)
	server := identity(t, c, r0)
	for _, p := range c.Peers() {
		seen, err, cerr := shake(t, server.ServerTLS(), identity(t, c, p).ClientTLS(r0), server)
		if err != nil || cerr != nil || seen != p {
			t.Errorf("%v is seen as %v: %v, %v", p, seen, err, cerr)
		}
	}
	if _, _, err := shake(t, server.ServerTLS(), identity(t, c, p1).ClientTLS(r1), server); err == nil ||
		!strings.Contains(err.Error(), "expected replica-1, but the certificate is that of replica-0") {
		t.Errorf("connected to another one: %v", err)
	}
	foreign := identity(t, dev(t), p1)
	if _, err, _ := shake(t, server.ServerTLS(), identity(t, c, p1).ClientTLS(r0), foreign); err != nil {
		t.Errorf("PeerOf asks for the name only: %v", err)
	}
	if _, err, cerr := shake(t, server.ServerTLS(), foreign.ClientTLS(r0), server); err == nil || cerr == nil {
		t.Errorf("another CA's certificate is taken: %v, %v", err, cerr)
	}
	noCert := &tls.Config{InsecureSkipVerify: true}
	if _, err, cerr := shake(t, server.ServerTLS(), noCert, server); err == nil || cerr == nil {
		t.Errorf("no certificate is taken: %v, %v", err, cerr)
	}
	old := identity(t, c, p1).ClientTLS(r0)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err, cerr := shake(t, server.ServerTLS(), old, server); err == nil || cerr == nil {
		t.Errorf("TLS 1.2 is taken: %v, %v", err, cerr)
	}
}

// TestCertificatesThatNameNobody are refused even if the CA signed them.
func TestCertificatesThatNameNobody(t *testing.T) {
	c := dev(t)
	id := identity(t, c, r0)
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, uris := range [][]string{nil, {"metronome://dev/replica-0", "metronome://dev/replica-1"},
		{"https://dev/replica-0"}, {"metronome://prod/replica-0"}, {"metronome://dev/replica-00"},
		{"metronome://dev/replica-99"}, {"metronome://dev/edge-1"}, {"metronome://dev/replica-0/x"},
		{"metronome://dev/replica-0?x=1"}, {"metronome://dev:1/replica-0"}, {"metronome://u@dev/replica-0"},
		{"metronome:replica-0"}, {"metronome://dev//replica-0"}, {"metronome://dev/replica-%30"}} {
		cert := &x509.Certificate{}
		for _, u := range uris {
			cert.URIs = append(cert.URIs, parse(u))
		}
		if p, err := id.peerOf(cert); err == nil {
			t.Errorf("%q names %v", uris, p)
		}
	}
	if _, err := id.PeerOf(tls.ConnectionState{}); err == nil {
		t.Error("no certificate names somebody")
	}
}

// TestRotation replaces the CA step by step; at every step everybody can connect to everybody,
// whether reloaded already or not.
func TestRotation(t *testing.T) {
	c := dev(t)
	a, b := identity(t, c, r0), identity(t, c, r1)
	talk := func(step string) {
		t.Helper()
		for _, pair := range [][2]*Identity{{a, b}, {b, a}} {
			s, cl := pair[0], pair[1]
			if seen, err, cerr := shake(t, s.ServerTLS(), cl.ClientTLS(s.Self()), s); err != nil || cerr != nil ||
				seen != cl.Self() {
				t.Fatalf("%s: %v, %v", step, err, cerr)
			}
		}
	}
	reload := func(step string) {
		t.Helper()
		for _, id := range []*Identity{a, b} {
			if err := id.Reload(); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			talk(step)
		}
	}
	path := c.Path(c.Secrets.CA)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A new CA, beside the old one.
	if err := errors.Join(os.Remove(path), os.Remove(c.caKeyPath())); err != nil {
		t.Fatal(err)
	}
	if _, err := (PKI{Now: time.Now()}).authority(c); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Join([][]byte{old, fresh}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	reload("both CAs")
	if _, err := (PKI{Now: time.Now(), Renew: true}).Init(c); err != nil {
		t.Fatal(err)
	}
	reload("issued anew")
	if err := os.WriteFile(path, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	reload("the new CA alone")
	// A reload that fails changes nothing.
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err == nil {
		t.Error("a CA that did not issue the certificate is taken")
	}
	talk("after a failed reload")
}

// TestTag pins the derivation: it is part of every frame.
func TestTag(t *testing.T) {
	key := make([]byte, keyBytes)
	if got := Tag("dev", key); got != 0x811f5b5d {
		t.Errorf("tag %#x", got)
	}
	other := bytes.Clone(key)
	other[31] = 1
	if Tag("dev", key) == Tag("dew", key) || Tag("dev", key) == Tag("dev", other) {
		t.Error("another name or key has the same tag")
	}
	c := dev(t)
	a, b := identity(t, c, r0), identity(t, c, p1)
	if a.Tag() != b.Tag() || !bytes.Equal(a.Ring().encode(), b.Ring().encode()) {
		t.Error("peers of one cluster differ in tag or key")
	}
}

// TestWhatWasReadLastIsUsed: of reloads at the same time, one that read the files before they were replaced
// does not undo one that read them after.
func TestWhatWasReadLastIsUsed(t *testing.T) {
	c := dev(t)
	id := identity(t, c, r0)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = id.Reload() // may meet a new key beside an old certificate
				}
			}
		})
	}
	defer others.Wait()
	defer close(stop)
	for i := range 5 {
		if _, err := (PKI{Now: time.Now(), Renew: true}).Init(c); err != nil {
			t.Fatal(err)
		}
		if err := id.Reload(); err != nil {
			t.Fatal(err)
		}
		fresh := id.held.Load().cert.Leaf
		for range 20 {
			time.Sleep(100 * time.Microsecond)
			if now := id.held.Load().cert.Leaf; now.SerialNumber.Cmp(fresh.SerialNumber) != 0 {
				t.Fatalf("round %d: an older certificate came back", i)
			}
		}
	}
}
