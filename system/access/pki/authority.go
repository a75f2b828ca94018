package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"metronome/system/access/secretfile"
)

// How long certificates live, unless a Leaf says otherwise.
const (
	CALife   = 10 * 365 * 24 * time.Hour
	LeafLife = 90 * 24 * time.Hour
	// skew is how much earlier than it was issued a certificate is valid: clocks differ.
	skew = time.Hour
)

// maxHosts bounds the host names of one certificate.
const maxHosts = 32

// Authority is a CA with its key.
type Authority struct {
	home string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf is what a certificate is to say.
type Leaf struct {
	Name  Name          // its Home may be empty: the CA's
	Hosts []string      // DNS names and IP addresses under which it serves
	Life  time.Duration // 0: 90 days; it never outlives the CA
}

// NewAuthority makes a CA for a home.
func NewAuthority(home string, now time.Time) (*Authority, error) {
	if err := checkLabel("home", home, "-"); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: "metronome CA of " + home},
		NotBefore: now.Add(-skew), NotAfter: now.Add(CALife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:     []*url.URL{{Scheme: scheme, Host: home, Path: "/ca"}},
	}, nil, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{home, cert, key}, nil
}

// LoadAuthority reads a CA's key, and the certificate of the bundle that belongs to it.
func LoadAuthority(certPath, keyPath string) (*Authority, error) {
	b, err := secretfile.Read(keyPath, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %w", err)
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %s: %w", keyPath, err)
	}
	certs, err := readBundle(certPath)
	if err != nil {
		return nil, err
	}
	for _, cert := range certs {
		if key.PublicKey.Equal(cert.PublicKey) && cert.IsCA {
			return newAuthority(cert, key)
		}
	}
	return nil, fmt.Errorf("no CA certificate in %s belongs to the key %s", certPath, keyPath)
}

func newAuthority(cert *x509.Certificate, key *ecdsa.PrivateKey) (*Authority, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != scheme || cert.URIs[0].Path != "/ca" {
		return nil, errors.New("the CA names no home: make one with metronome pki ca")
	}
	return &Authority{cert.URIs[0].Host, cert, key}, nil
}

// Home is the home whose CA it is.
func (a *Authority) Home() string { return a.home }

// CertPEM is the CA's certificate, for everybody.
func (a *Authority) CertPEM() []byte { return certPEM(a.cert) }

// KeyPEM is the CA's key, for nobody.
func (a *Authority) KeyPEM() ([]byte, error) { return keyPEM(a.key) }

// Fingerprint is the SHA-256 of the CA's certificate: what a join token pins.
func (a *Authority) Fingerprint() [sha256.Size]byte { return sha256.Sum256(a.cert.Raw) }

// Issue makes a key and its certificate: the content of an identity file.
func (a *Authority) Issue(l Leaf, now time.Time) ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	chain, err := a.issue(l, key.Public(), now)
	if err != nil {
		return nil, err
	}
	return identityPEM(key, chain)
}

// Sign makes a certificate for the key of a request that [NewRequest] made elsewhere, so that the key never
// travels. Of the request only the key is used, and the proof that its holder has it; what the certificate
// says is the caller's to decide.
func (a *Authority) Sign(request []byte, l Leaf, now time.Time) (chainPEM []byte, err error) {
	csr, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	return a.issue(l, csr.PublicKey, now)
}

// issue makes a certificate, in PEM. A master's comes with the CA's, so that who only knows the CA's
// fingerprint can check it.
func (a *Authority) issue(l Leaf, key crypto.PublicKey, now time.Time) ([]byte, error) {
	t, err := a.template(l, now)
	if err != nil {
		return nil, err
	}
	cert, err := sign(t, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	chain := certPEM(cert)
	if l.Name.Role == Master {
		chain = append(chain, a.CertPEM()...)
	}
	return chain, nil
}

func (a *Authority) template(l Leaf, now time.Time) (*x509.Certificate, error) {
	n := l.Name
	if n.Home == "" {
		n.Home = a.home
	}
	if err := n.Check(); err != nil {
		return nil, err
	}
	life := l.Life
	if life == 0 {
		life = LeafLife
	}
	end := now.Add(life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	switch {
	case n.Home != a.home:
		return nil, fmt.Errorf("%v is not of %q, whose CA this is", n, a.home)
	case life < 0 || !now.Before(end):
		return nil, fmt.Errorf("the certificate would end on %s: the CA ends on %s, make a new one with "+
			"metronome pki ca", end.Format(time.DateOnly), a.cert.NotAfter.Format(time.DateOnly))
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: string(n.Role) + " " + n.ID + " of " + n.Home},
		NotBefore: now.Add(-skew), NotAfter: end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages(n.Role),
		URIs:                  []*url.URL{n.uri()},
	}
	return t, addHosts(t, l.Hosts)
}

// usages keeps a device's certificate from serving.
func usages(r Role) []x509.ExtKeyUsage {
	if r == Device {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

func addHosts(t *x509.Certificate, hosts []string) error {
	if len(hosts) > maxHosts {
		return fmt.Errorf("%d host names: at most %d", len(hosts), maxHosts)
	}
	for _, h := range hosts {
		if ip, err := netip.ParseAddr(h); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(ip.Unmap().AsSlice()))
			continue
		}
		if !isHost(h) {
			return fmt.Errorf("%q is neither a host name nor an IP address", h)
		}
		t.DNSNames = append(t.DNSNames, h)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// sign makes a certificate, signed by parent or, without one, by itself.
func sign(t, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key, by)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", t.Subject.CommonName, err)
	}
	return cert, nil
}
