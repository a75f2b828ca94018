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

// identity is the certificate that devices see: a keeper's, or a plain pair of files.
type identity struct {
	config *tls.Config
	keeper *pki.Keeper // nil for a pair
	joined bool        // the keeper is the membership's, which keeps it
	pair   atomic.Pointer[tls.Certificate]
	reload func() error
}

func openIdentity(o *Options, m *membership) (*identity, error) {
	switch {
	case o.Plain:
		return nil, nil
	case o.Cert == "":
		return kept(m.keeper, true), nil
	case o.CA != "":
		k, err := pki.Open(pki.Files{Identity: o.Cert, CA: o.CA}, nil)
		if err != nil {
			return nil, err
		}
		return kept(k, false), nil
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

// kept is a keeper's certificate. The master's heartbeats come with its own; it is nobody's user.
func kept(k *pki.Keeper, joined bool) *identity {
	policy := pki.Policy{Roles: []pki.Role{pki.Device, pki.Master}, Optional: true}
	return &identity{config: k.ServerTLS(policy), keeper: k, joined: joined, reload: k.Reload}
}

// run takes up files that change.
func (i *identity) run(ctx context.Context, o *Options) {
	if i.keeper != nil && !i.joined {
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
