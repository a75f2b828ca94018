package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pin connects to a home's master before there is a certificate or even a CA: all that is known is the
// CA's fingerprint, from a join token. The master shows its CA's certificate, and it must be that one.
type Pin struct {
	config *tls.Config

	mu sync.Mutex
	ca *x509.Certificate // as the last connection showed it
}

// NewPin is for one fingerprint. now tells the time; nil: time.Now. A machine without a clock's battery
// must have set its clock before.
func NewPin(fingerprint [sha256.Size]byte, now func() time.Time) *Pin {
	if now == nil {
		now = time.Now
	}
	p := &Pin{}
	p.config = &tls.Config{
		MinVersion:             tls.VersionTLS13,
		InsecureSkipVerify:     true, // VerifyConnection verifies, against the fingerprint
		SessionTicketsDisabled: true,
		Time:                   now,
		NextProtos:             []string{"h2", "http/1.1"},
		VerifyConnection: func(cs tls.ConnectionState) error {
			ca, err := pinned(cs.PeerCertificates, fingerprint, now())
			if err == nil {
				p.mu.Lock()
				p.ca = ca
				p.mu.Unlock()
			}
			return err
		},
	}
	return p
}

// TLS is the configuration to connect with.
func (p *Pin) TLS() *tls.Config { return p.config }

// CA is the CA's certificate in PEM, to be kept from now on; nil before a connection stood.
func (p *Pin) CA() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ca == nil {
		return nil
	}
	return certPEM(p.ca)
}

// pinned checks that the first certificate is a master's, issued by a CA with the fingerprint that is
// among the others.
func pinned(chain []*x509.Certificate, fingerprint [32]byte, now time.Time) (*x509.Certificate, error) {
	for _, ca := range chain {
		if !ca.IsCA || Fingerprint(ca) != fingerprint {
			continue
		}
		m := &material{roots: x509.NewCertPool()}
		m.roots.AddCert(ca)
		a, err := newAuthority(ca, nil)
		if err != nil {
			return nil, err
		}
		m.name.Home = a.home
		name, err := m.verify(chain[0], now, x509.ExtKeyUsageServerAuth)
		if err == nil && name.Role != Master {
			err = fmt.Errorf("%v answers, and no master: check the address", name)
		}
		return ca, err
	}
	return nil, errors.New("the server's CA is not the one of the join token: " +
		"check the address, or ask for a new token")
}
