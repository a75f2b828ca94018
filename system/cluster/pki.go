package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"metronome/system/access/secretfile"
	"metronome/system/wire"
)

// How long what is issued lives, unless PKI says otherwise.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// Clocks of machines differ: a certificate is valid from a little before it was issued.
	clockSkew = time.Hour
)

// PKI makes a cluster's secrets.
type PKI struct {
	Now   time.Time     // when certificates are issued
	Life  time.Duration // of a peer's certificate; 0: a year
	Renew bool          // issue the peers' certificates again, with new keys
}

// Init makes what is missing of c's secrets: cluster key, CA, and a certificate for every peer in
// the file. It never overwrites a cluster key or a CA. The CA's key lies beside the CA as *.key; no
// node needs it, so keep it elsewhere when done. It returns the files it wrote.
func (p PKI) Init(c *Config) (written []string, err error) {
	steps := []func(*Config) ([]string, error){p.clusterKey, p.authority, p.certificates}
	for _, step := range steps {
		files, err := step(c)
		written = append(written, files...)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (p PKI) clusterKey(c *Config) ([]string, error) {
	path := c.Path(c.Secrets.ClusterKeyFile)
	if exists(path) {
		return nil, nil
	}
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return []string{path}, secretfile.Write(path, []byte(hex.EncodeToString(key)+"\n"))
}

func (c *Config) caKeyPath() string {
	ca := c.Path(c.Secrets.CA)
	return strings.TrimSuffix(ca, filepath.Ext(ca)) + ".key"
}

func (p PKI) authority(c *Config) ([]string, error) {
	path, keyPath := c.Path(c.Secrets.CA), c.caKeyPath()
	if exists(path) {
		return nil, nil
	}
	if exists(keyPath) {
		return nil, fmt.Errorf("%s exists and %s does not: bring the certificate back, or move the key away "+
			"to start anew", keyPath, path)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "metronome CA of " + c.Name},
		NotBefore: p.Now.Add(-clockSkew), NotAfter: p.Now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, key, err := issue(template, nil, nil)
	if err != nil {
		return nil, err
	}
	// The key first: with it alone the next run says what is wrong, without it nothing can be issued.
	return []string{keyPath, path}, errors.Join(secretfile.Write(keyPath, key), secretfile.Write(path, cert))
}

func (p PKI) certificates(c *Config) (written []string, err error) {
	var ca *authority
	for _, peer := range c.Peers() {
		cert, key := c.certPaths(peer)
		if !p.Renew && exists(cert) && exists(key) {
			continue
		}
		if ca == nil {
			if ca, err = c.loadAuthority(); err != nil {
				return written, err
			}
		}
		certPEM, keyPEM, err := p.issuePeer(ca, c.Name, peer)
		if err != nil {
			return written, err
		}
		if err := errors.Join(secretfile.Write(key, keyPEM), secretfile.Write(cert, certPEM)); err != nil {
			return written, err
		}
		written = append(written, key, cert)
	}
	return written, nil
}

func (c *Config) certPaths(peer wire.Peer) (cert, key string) {
	base := filepath.Join(c.Path(c.Secrets.Certs), peer.String())
	return base + ".crt", base + ".key"
}

// identityURI is what a certificate's SAN says: metronome://<cluster>/<peer>.
func identityURI(cluster string, peer wire.Peer) *url.URL {
	return &url.URL{Scheme: "metronome", Host: cluster, Path: "/" + peer.String()}
}

// dnsName is the name that all certificates of a cluster share. The TLS library checks it;
// "internal" is reserved for private use (ICANN, 2024).
func dnsName(cluster string) string { return cluster + ".metronome.internal" }

func (p PKI) issuePeer(ca *authority, cluster string, peer wire.Peer) (cert, key []byte, err error) {
	life := p.Life
	if life == 0 {
		life = leafLife
	}
	return issue(&x509.Certificate{
		Subject:   pkix.Name{CommonName: peer.String() + " of " + cluster},
		NotBefore: p.Now.Add(-clockSkew), NotAfter: p.Now.Add(life),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{identityURI(cluster, peer)},
		DNSNames:              []string{dnsName(cluster)},
	}, ca.cert, ca.key)
}

// authority can issue certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// loadAuthority reads the CA's key, and of the CA's certificates the one that belongs to it.
func (c *Config) loadAuthority() (*authority, error) {
	key, err := readKey(c.caKeyPath())
	if err != nil {
		return nil, fmt.Errorf("the CA's key is needed to issue certificates: %w", err)
	}
	path := c.Path(c.Secrets.CA)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if key.PublicKey.Equal(cert.PublicKey) {
			return &authority{cert, key}, nil
		}
	}
	return nil, fmt.Errorf("no certificate in %s belongs to the key %s", path, c.caKeyPath())
}

// issue makes a key (ECDSA, P-256) and its certificate, signed by parent or by itself.
func issue(cert, parent *x509.Certificate, signer *ecdsa.PrivateKey) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if parent == nil {
		parent, signer = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate of %s: %w", cert.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// maxSecret is far more than any of a cluster's secrets has.
const maxSecret = 1 << 20

// readSecret reads a file that nobody but its owner, and at most a group, may read.
func readSecret(path string) ([]byte, error) {
	b, err := secretfile.Read(path, maxSecret)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: make it with metronome pki init: %w", path, os.ErrNotExist)
	}
	return b, err
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	b, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s holds no key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T: the CA's key must be ECDSA", path, key)
	}
	return ec, nil
}
