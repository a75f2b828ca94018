package edgecmd

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"metronome/system/access/pki"
	"metronome/system/edge"
)

// warnBefore is when an edge with a certificate of somebody else's PKI begins to complain.
const warnBefore = pki.WarnBefore

// identity is the edge's certificate: a keeper's, or a plain pair of files.
type identity struct {
	config *tls.Config
	keeper *pki.Keeper // nil for a pair
	policy pki.Policy
	pair   atomic.Pointer[tls.Certificate]
	reload func() error
}

func openIdentity(o *Options) (*identity, error) {
	if o.Plain {
		return nil, nil
	}
	if o.CA != "" {
		k, err := pki.Open(pki.Files{Identity: o.Cert, CA: o.CA}, nil)
		if err != nil {
			return nil, err
		}
		policy := pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true}
		return &identity{config: k.ServerTLS(policy), keeper: k, policy: policy, reload: k.Reload}, nil
	}
	i := &identity{}
	key := o.Key
	if key == "" {
		key = o.Cert
	}
	i.reload = func() error {
		pair, err := tls.LoadX509KeyPair(o.Cert, key)
		if err != nil {
			return fmt.Errorf("certificate: %w: it stays as it was", err)
		}
		i.pair.Store(&pair)
		return nil
	}
	i.config = &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.pair.Load(), nil }}
	return i, i.reload()
}

// run takes up files that change.
func (i *identity) run(ctx context.Context, o *Options) {
	if i != nil && i.keeper != nil {
		i.keeper.Run(ctx, pki.Upkeep{Log: o.Log})
	}
}

// reasons says what keeps clients from trusting the edge. It goes on serving all the same: an expired
// certificate must not silence a house.
func (i *identity) reasons() []edge.Reason {
	if i == nil {
		return nil
	}
	end := i.end()
	if left := time.Until(end); left < 0 {
		return []edge.Reason{{Part: "certificate", Text: "it has expired on " + end.Format(time.DateOnly) +
			": renew it"}}
	}
	return nil
}

func (i *identity) end() time.Time {
	if i.keeper != nil {
		return i.keeper.Status().NotAfter
	}
	return i.pair.Load().Leaf.NotAfter
}

// daysLeft is for metrics and the log.
func (i *identity) daysLeft() float64 {
	if i == nil {
		return 0
	}
	return time.Until(i.end()).Hours() / 24
}
