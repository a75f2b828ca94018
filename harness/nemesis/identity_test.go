package nemesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"metronome/system/cluster"
	"metronome/system/wire"
)

// variant writes the cluster file with one change beside the original, and returns its path.
func variant(t *testing.T, c *Cluster, name, old, now string) string {
	t.Helper()
	b, err := os.ReadFile(c.File())
	must(t, err)
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("no %q in %s", old, b)
	}
	path := filepath.Join(filepath.Dir(c.File()), name)
	must(t, os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(now), 1), 0o600))
	return path
}

// ends waits for the end of a process, and returns its exit code.
func ends(t *testing.T, p *Process) int {
	t.Helper()
	code, err := p.Wait(testContext(t))
	must(t, err)
	return code
}

// spareFile is the cluster file with proxy-1 at the addresses of a proxy that is not started.
func spareFile(t *testing.T, c *Cluster) string {
	t.Helper()
	b, err := os.ReadFile(c.File())
	must(t, err)
	from, to := &c.Config.Proxies[0], &c.Config.Proxies[1]
	for _, a := range [][2]string{
		{from.Stream, to.Stream}, {from.Datagram, to.Datagram}, {from.Resp, to.Resp}, {from.Ops, to.Ops},
	} {
		b = bytes.ReplaceAll(b, []byte(a[0]), []byte("@"))
		b = bytes.ReplaceAll(b, []byte(a[1]), []byte(a[0]))
		b = bytes.ReplaceAll(b, []byte("@"), []byte(a[1]))
	}
	path := filepath.Join(filepath.Dir(c.File()), "spare.yaml")
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

// Two processes are told to be proxy-1: the older is fenced and says so, the younger serves.
func TestTwoProxiesWithOneIdentity(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(2), Reserve: 1})
	p := wire.ProxyPeer(1)
	w := load(t, c, &Workload{})
	progress(t, w, 100)
	w.cancel() // its clients would be left without a proxy
	young, err := c.Spawn(wire.ProxyPeer(2), "proxy", "--config", spareFile(t, c), "--name", "proxy-1")
	must(t, err)
	code, err := c.Wait(testContext(t), p)
	must(t, err)
	if code != 1 {
		t.Errorf("the older ended with %d", code)
	}
	logged(t, c, p, "another instance with this number was opened and has fenced this one")
	w2 := load(t, c, &Workload{Addresses: []string{c.Config.Proxies[1].Resp}})
	progress(t, w2, 100)
	if young.Ended() {
		t.Error("the younger ended, too")
	}
	young.Kill()
	h, err := w.Stop()
	must(t, err)
	must(t, Judge(h))
	h, err = w2.Stop()
	must(t, err)
	if len(h.Operations) == 0 {
		t.Error("the younger served nobody")
	}
}

// What does not belong to the cluster is refused with a reason that names the remedy, and harms nobody.
func TestStrangers(t *testing.T) {
	c := begin(t, Options{Cluster: proxies(2), Reserve: 1})
	w := load(t, c, &Workload{})
	progress(t, w, 50)
	dir := filepath.Dir(c.File())
	p2 := wire.ProxyPeer(2)

	t.Run("another cluster file", func(t *testing.T) {
		file := variant(t, c, "skew.yaml", "integrity: xxh3", "integrity: crc32c")
		other, err := c.Spawn(p2, "proxy", "--config", file, "--name", "proxy-2")
		must(t, err)
		logged(t, c, p2, "give all processes the same file")
		logged(t, c, wire.ReplicaPeer(0), "give all processes the same file")
		other.Kill()
		ends(t, other)
	})
	t.Run("certificate of another peer", func(t *testing.T) {
		must(t, os.Mkdir(filepath.Join(dir, "stolen"), 0o700))
		for to, from := range map[string]string{"proxy-2.crt": "proxy-1.crt", "proxy-2.key": "proxy-1.key"} {
			copyFile(t, filepath.Join(dir, "secrets", from), filepath.Join(dir, "stolen", to))
		}
		file := variant(t, c, "stolen.yaml", "certs: secrets", "certs: stolen")
		other, err := c.Spawn(p2, "proxy", "--config", file, "--name", "proxy-2")
		must(t, err)
		if code := ends(t, other); code != 1 {
			t.Errorf("exit code %d", code)
		}
		logged(t, c, p2, "proxy-1")
	})
	t.Run("certificate of another CA", func(t *testing.T) {
		alien, err := cluster.Dev(t.TempDir(), cluster.DevOptions{Proxies: 2})
		must(t, err)
		must(t, os.Mkdir(filepath.Join(dir, "alien"), 0o700))
		for _, f := range []string{"proxy-2.crt", "proxy-2.key", "ca.crt"} {
			copyFile(t, alien.Path(filepath.Join("secrets", f)), filepath.Join(dir, "alien", f))
		}
		b, err := os.ReadFile(variant(t, c, "alien.yaml", "certs: secrets", "certs: alien"))
		must(t, err)
		file := filepath.Join(dir, "alien.yaml")
		must(t, os.WriteFile(file, bytes.ReplaceAll(b, []byte("secrets/ca.crt"), []byte("alien/ca.crt")), 0o600))
		other, err := c.Spawn(p2, "proxy", "--config", file, "--name", "proxy-2")
		must(t, err)
		logged(t, c, p2, "certificate")
		logged(t, c, wire.ReplicaPeer(0), "certificate")
		other.Kill()
		ends(t, other)
	})
	t.Run("another cluster key", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join(dir, "secrets", "cluster.key"))
		must(t, err)
		i := bytes.IndexFunc(b, func(r rune) bool { return r >= '0' && r <= '9' })
		b[i] = '0' + (b[i]-'0'+1)%10
		must(t, os.WriteFile(filepath.Join(dir, "secrets", "other.key"), b, 0o600))
		file := variant(t, c, "key.yaml", "secrets/cluster.key", "secrets/other.key")
		other, err := c.Spawn(p2, "proxy", "--config", file, "--name", "proxy-2")
		must(t, err)
		logged(t, c, p2, "cluster key")
		other.Kill()
		ends(t, other)
	})
	t.Run("the same ports", func(t *testing.T) {
		other, err := c.Spawn(p2, "replica", "--config", c.File(), "--name", "replica-0")
		must(t, err)
		if code := ends(t, other); code != 1 {
			t.Errorf("exit code %d", code)
		}
		logged(t, c, p2, "is another process of this cluster running here?")
		if _, err := c.Status(t.Context(), wire.ReplicaPeer(0)); err != nil {
			t.Errorf("the one that was there first has lost its socket: %v", err)
		}
	})
	progress(t, w, 50)
	finish(t, c, w)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// metric is the sum of a peer's metrics whose line begins with a prefix.
func metric(ctx context.Context, c *Cluster, p wire.Peer, prefix string) (sum float64, err error) {
	addr := ""
	if r := c.Config.Replica(p); r != nil {
		addr = r.Ops
	} else {
		addr = c.Config.Proxy(p).Ops
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	found := false
	for _, m := range regexp.MustCompile(`(?m)^(\S+(?: [^ \n]+)*) (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		if strings.HasPrefix(m[1], prefix) {
			var v float64
			if _, err := fmt.Sscan(m[2], &v); err != nil {
				return 0, err
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		return 0, errors.New("no metric " + prefix)
	}
	return sum, nil
}

func dialUDP(t *testing.T, addr string) net.Conn {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp4", addr)
	must(t, err)
	// A multicast leaves by the interface of the source, routes or none.
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, to)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
