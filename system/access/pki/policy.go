package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy is who may be at the other end of a connection.
type Policy struct {
	Roles []Role // empty: nobody
	ID    string // empty: any of these roles
	// Optional lets in who shows no certificate: they prove themselves otherwise, by HTTP Basic. Who shows
	// one that does not hold is refused all the same. Servers only.
	Optional bool
	// Grace is how long after its end a certificate still connects. [Peer.Expired] then says so, and the
	// caller decides what is left to do for it: to be renewed.
	Grace time.Duration
}

// Peer is who is at the other end.
type Peer struct {
	Name    Name
	Expired bool // admitted by grace
}

// ErrNoCertificate is the error of a connection without a client certificate.
var ErrNoCertificate = errors.New("no certificate was shown")

// ServerTLS accepts connections as the policy says. It has a floor of TLS 1.3, or of 1.2 where certificates
// are optional, for devices' libraries. What the keeper reloads holds for the next connection.
func (k *Keeper) ServerTLS(p Policy) *tls.Config {
	c := k.base(p.Optional)
	c.ClientAuth = tls.RequireAnyClientCert
	if p.Optional {
		c.ClientAuth = tls.RequestClientCert
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &k.held.Load().cert, nil }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := k.judge(&cs, p, x509.ExtKeyUsageClientAuth)
		if p.Optional && errors.Is(err, ErrNoCertificate) {
			return nil
		}
		return err
	}
	return c
}

// ClientTLS connects to whom the policy names, wherever they live: it is the name in the certificate that
// counts, and not the address, which changes at home. What the keeper reloads holds for the next
// connection.
func (k *Keeper) ClientTLS(p Policy) *tls.Config {
	c := k.base(false)
	c.InsecureSkipVerify = true // VerifyConnection verifies, against the CAs of the moment, and names not hosts
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &k.held.Load().cert, nil
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := k.judge(&cs, p, x509.ExtKeyUsageServerAuth)
		return err
	}
	return c
}

// base is common to both ends. There are no session tickets: every connection is judged anew, by the
// certificates of the moment.
func (k *Keeper) base(old bool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, Time: k.now,
		NextProtos: []string{"h2", "http/1.1"}}
	if old {
		c.MinVersion = tls.VersionTLS12
	}
	return c
}

// Client is who came over a connection of ServerTLS with the same policy. It verifies again, for the
// certificate may have ended since, and the caller's listener may be another.
func (k *Keeper) Client(cs *tls.ConnectionState, p Policy) (Peer, error) {
	if cs == nil {
		return Peer{}, ErrNoCertificate
	}
	return k.judge(cs, p, x509.ExtKeyUsageClientAuth)
}

// UserOf makes a function that says which user a connection's certificate names: its id. It is what a
// guard of package access asks.
func (k *Keeper) UserOf(p Policy) func(*tls.ConnectionState) (user string, ok bool) {
	return func(cs *tls.ConnectionState) (string, bool) {
		peer, err := k.Client(cs, p)
		return peer.Name.ID, err == nil
	}
}

func (k *Keeper) judge(cs *tls.ConnectionState, p Policy, usage x509.ExtKeyUsage) (Peer, error) {
	if len(cs.PeerCertificates) == 0 {
		return Peer{}, ErrNoCertificate
	}
	leaf, now := cs.PeerCertificates[0], k.now()
	peer := Peer{Expired: now.After(leaf.NotAfter)}
	at := now
	if peer.Expired && now.Sub(leaf.NotAfter) <= p.Grace {
		at = leaf.NotAfter
	}
	var err error
	if peer.Name, err = k.held.Load().verify(leaf, at, usage); err != nil {
		return Peer{}, err
	}
	return peer, p.admits(peer.Name)
}

func (p Policy) admits(n Name) error {
	if !slices.Contains(p.Roles, n.Role) {
		return fmt.Errorf("%v came, and only %v may", n, p.Roles)
	}
	if p.ID != "" && p.ID != n.ID {
		return fmt.Errorf("%v is there, and %s %s was expected: compare the addresses", n, n.Role, p.ID)
	}
	return nil
}
