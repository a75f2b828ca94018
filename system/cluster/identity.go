package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/wire"
)

const keyBytes = 32

// Identity is a process's proof of who it is, and its judgement of others. It may be shared between
// goroutines.
type Identity struct {
	cfg  *Config
	self wire.Peer
	held atomic.Pointer[material]
	mu   sync.Mutex // of Reload: what was read last is what is used
}

// material is what Reload replaces.
type material struct {
	cert  tls.Certificate
	roots *x509.CertPool
	ring  *Ring
}

// Identity loads the secrets of self, and checks them as a peer would.
func (c *Config) Identity(self wire.Peer) (*Identity, error) {
	if c.Replica(self) == nil && c.Proxy(self) == nil {
		return nil, fmt.Errorf("%s is not in the cluster file: it has %s", self, join(c.Peers()))
	}
	id := &Identity{cfg: c, self: self}
	return id, id.Reload()
}

func join(peers []wire.Peer) string {
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}

// Self is whose identity it is.
func (id *Identity) Self() wire.Peer { return id.self }

// Ring are the keys of frames.
func (id *Identity) Ring() *Ring { return id.held.Load().ring }

// Tag is the cluster's tag.
func (id *Identity) Tag() uint32 { return id.Ring().Tag }

// NotAfter is when the certificate ends.
func (id *Identity) NotAfter() time.Time { return id.held.Load().cert.Leaf.NotAfter }

// Reload reads certificate, CA and the keys of frames again. On an error the old ones stay in use.
// Connections that stand are not touched; new ones use what was read.
func (id *Identity) Reload() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	m, err := id.load()
	if err == nil {
		id.held.Store(m)
	}
	return err
}

func (id *Identity) load() (*material, error) {
	ring, err := id.cfg.Ring()
	if err != nil {
		return nil, err
	}
	if was := id.held.Load(); was != nil && was.ring.Tag != ring.Tag {
		return nil, fmt.Errorf("cluster key: %s is another cluster's now: bring the old one back; keys are "+
			"changed by metronome cluster rotate-key", id.cfg.Path(id.cfg.Secrets.ClusterKeyFile))
	}
	caPath := id.cfg.Path(id.cfg.Secrets.CA)
	ca, err := os.ReadFile(caPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("CA: %s does not exist: make it with metronome pki init: %w", caPath, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	m := &material{roots: x509.NewCertPool(), ring: ring}
	if !m.roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("CA: %s holds no certificate in PEM", caPath)
	}
	certPath, keyPath := id.cfg.certPaths(id.self)
	key, err := readSecret(keyPath)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", id.self, err)
	}
	cert, err := os.ReadFile(certPath)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w: make it with metronome pki init", id.self, err)
	}
	if m.cert, err = tls.X509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("certificate of %s: %s: %w", id.self, certPath, err)
	}
	if err := id.checkOwn(m); err != nil {
		return nil, fmt.Errorf("certificate of %s: %s: %w", id.self, certPath, err)
	}
	return m, nil
}

// checkOwn refuses at start what every peer would refuse later.
func (id *Identity) checkOwn(m *material) error {
	peer, err := id.peerOf(m.cert.Leaf)
	switch {
	case err != nil:
		return err
	case peer != id.self:
		return fmt.Errorf("it names %s", peer)
	}
	_, err = m.cert.Leaf.Verify(x509.VerifyOptions{Roots: m.roots, DNSName: dnsName(id.cfg.Name),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: issue it again with metronome pki renew", err)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w: it was not issued by this CA: issue it again with metronome pki renew", err)
	}
	return err
}

// ServerTLS accepts peers of this cluster and nobody else. Who it is that came tells PeerOf.
func (id *Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := id.held.Load()
			return &tls.Config{
				MinVersion:                  tls.VersionTLS13,
				Certificates:                []tls.Certificate{m.cert},
				ClientAuth:                  tls.RequireAndVerifyClientCert,
				ClientCAs:                   m.roots,
				SessionTicketsDisabled:      true, // every connection is judged anew
				DynamicRecordSizingDisabled: true, // bulk from the first byte
				VerifyConnection: func(cs tls.ConnectionState) error {
					_, err := id.PeerOf(cs)
					return err
				},
			}, nil
		},
	}
}

// ClientTLS connects to one peer: it refuses whoever else answers.
func (id *Identity) ClientTLS(to wire.Peer) *tls.Config {
	m := id.held.Load()
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{m.cert},
		RootCAs:                     m.roots,
		ServerName:                  dnsName(id.cfg.Name),
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			peer, err := id.PeerOf(cs)
			if err == nil && peer != to {
				err = fmt.Errorf("expected %s, but the certificate is that of %s: compare the addresses "+
					"in the cluster file with who runs there", to, peer)
			}
			return err
		},
	}
}

// PeerOf is who is at the other end of a connection, as its certificate says.
func (id *Identity) PeerOf(cs tls.ConnectionState) (wire.Peer, error) {
	if len(cs.PeerCertificates) == 0 {
		return 0, errors.New("the peer showed no certificate")
	}
	return id.peerOf(cs.PeerCertificates[0])
}

func (id *Identity) peerOf(cert *x509.Certificate) (wire.Peer, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "metronome" {
		return 0, fmt.Errorf("the certificate of %q names no peer: it needs one URI, metronome://%s/<peer>",
			cert.Subject.CommonName, id.cfg.Name)
	}
	uri := cert.URIs[0]
	if uri.Host != id.cfg.Name {
		return 0, fmt.Errorf("the certificate is of cluster %q, this is cluster %q", uri.Host, id.cfg.Name)
	}
	peer, err := wire.ParsePeer(strings.TrimPrefix(uri.Path, "/"))
	if err != nil || uri.String() != identityURI(id.cfg.Name, peer).String() {
		return 0, fmt.Errorf("the certificate's identity %q names no peer", uri)
	}
	return peer, nil
}
