package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/factorial"
	"metronome/harness/load/kv"
	"metronome/harness/load/kv/resp"
	"metronome/system/access/pki"
	"metronome/system/packet"
)

// server is a store under load.
type server struct {
	target kv.Target
	pid    int
	stop   func() error
}

// servers is how each arm's store is started, with its data in a folder.
var servers = map[string]func(ctx context.Context, env factorial.Env, dir string) (*server, error){
	"edge": startEdge, "etcd": startEtcd, "redis": startRedis,
}

func startEdge(ctx context.Context, env factorial.Env, dir string) (*server, error) {
	e, err := edgeproc.Start(ctx, edgeproc.Config{Command: []string{filepath.Join(env.Bin, "metronome"), "edge"},
		Dir: dir, Log: filepath.Join(env.Logs, "edge.log"), CPU: -1})
	if errors.Is(err, os.ErrNotExist) {
		return nil, &packet.ErrUnavailable{What: "the edge", Why: err.Error(), Next: "make build"}
	}
	if err != nil {
		return nil, err
	}
	t, err := targetOf(e)
	if err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return &server{t, e.Pid(), e.Stop}, nil
}

// targetOf is an edge to be loaded.
func targetOf(e *edgeproc.Edge) (*httpTarget, error) {
	u, err1 := url.Parse(e.URL)
	config, err2 := trusting(e.CA)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &httpTarget{u.Host, config, newEdgeDialect(u.Host, e.User, e.Password)}, nil
}

// startEtcd is one member with its data on disk, which fsyncs every commit, and its JSON gateway over TLS.
func startEtcd(ctx context.Context, env factorial.Env, dir string) (*server, error) {
	binary := filepath.Join(env.Bin, "peers", "etcd")
	if _, err := os.Stat(binary); err != nil {
		return nil, &packet.ErrUnavailable{What: "etcd", Why: "it is not built: " + err.Error(), Next: "make peers"}
	}
	id, config, err := certificates(dir)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	client, peer := "https://"+loopback(ports[0]), "http://"+loopback(ports[1])
	c, err := start(filepath.Join(env.Logs, "etcd.log"), binary, "--name", "m0", "--data-dir",
		filepath.Join(dir, "data"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--cert-file", id, "--key-file", id, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "m0="+peer, "--max-txn-ops", strconv.Itoa(kv.MaxBatch),
		"--quota-backend-bytes", "8589934592", "--log-level", "warn", "--log-outputs", "stderr")
	if err != nil {
		return nil, err
	}
	t := &httpTarget{loopback(ports[0]), config, etcdDialect{loopback(ports[0])}}
	return await(ctx, c, &server{t, c.pid(), c.stop})
}

// startRedis is one server that fsyncs its append-only file for everything it acknowledges, over TLS.
func startRedis(ctx context.Context, env factorial.Env, dir string) (*server, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, &packet.ErrUnavailable{What: "redis", Why: err.Error(), Next: "apt-get install redis-server"}
	}
	id, config, err := certificates(dir)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	c, err := start(filepath.Join(env.Logs, "redis.log"), binary, "--bind", "127.0.0.1", "--port", "0",
		"--tls-port", strconv.Itoa(ports[0]), "--tls-cert-file", id, "--tls-key-file", id, "--tls-ca-cert-file",
		filepath.Join(dir, caFile), "--tls-auth-clients", "no", "--dir", dir, "--daemonize", "no", "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no")
	if err != nil {
		return nil, err
	}
	t := &resp.Target{Addr: loopback(ports[0]), TLS: config}
	return await(ctx, c, &server{t, c.pid(), c.stop})
}

// await waits until a server answers an operation.
func await(ctx context.Context, c *child, s *server) (*server, error) {
	one := kv.Default()
	one.Keys, one.WarmupNS, one.WindowNS, one.DrainNS = 1, 0, int64(time.Millisecond), int64(time.Second)
	err := c.ready(ctx, func(ctx context.Context) error {
		r, err := kv.Run(ctx, s.target, one, nil)
		if err == nil && r.Answered == 0 {
			err = fmt.Errorf("no operation was answered: %v", r.Errors)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return s, nil
}

const caFile = "ca.crt"

// certificates makes a CA and a server's identity, certificate and key in one file, in a folder.
func certificates(dir string) (identity string, client *tls.Config, err error) {
	ca, err := pki.NewAuthority("home", time.Now())
	if err != nil {
		return "", nil, err
	}
	leaf, err := ca.Issue(pki.Leaf{Name: pki.Name{Role: pki.Edge, ID: "hall"},
		Hosts: []string{"127.0.0.1", "localhost"}}, time.Now())
	if err != nil {
		return "", nil, err
	}
	identity = filepath.Join(dir, "server.pem")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, caFile), ca.CertPEM(), 0o600),
		os.WriteFile(identity, leaf, 0o600)); err != nil {
		return "", nil, fmt.Errorf("write the certificates: %w", err)
	}
	client, err = trusting(filepath.Join(dir, caFile))
	return identity, client, err
}

// trusting is a client's configuration that trusts the CA of a file.
func trusting(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}}, nil
}
