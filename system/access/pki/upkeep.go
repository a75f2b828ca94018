package pki

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"metronome/system/access/secretfile"
)

// Signer sends a certificate request (PEM) to who holds the CA, and returns the certificate (PEM).
type Signer func(ctx context.Context, request []byte) (chain []byte, err error)

// Upkeep is what Run does.
type Upkeep struct {
	Sign   Signer        // nil: certificates are renewed by others, who replace the file
	Every  time.Duration // between looks at the files; 0: a second
	Again  time.Duration // between attempts to renew; 0: an hour
	Log    *slog.Logger  // nil: slog.Default
	Reload func(error)   // after every reload; may be nil
}

// Run keeps the certificate until ctx is done: it takes up files that change, and renews when two thirds
// of its life are over, trying again and again. It never gives up and never stops the server: a failure is
// logged, and seen in [Keeper.Status].
func (k *Keeper) Run(ctx context.Context, u Upkeep) {
	u.fill()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		reload := func() { u.report(k.Reload()) }
		secretfile.Watch(ctx, u.Every, k.first, reload, k.files.Identity, k.files.CA)
	})
	if u.Sign == nil {
		return
	}
	tick := time.NewTicker(u.Again)
	defer tick.Stop()
	for {
		if err := k.RenewIfDue(ctx, u.Sign); err != nil && ctx.Err() == nil {
			u.Log.Warn("the certificate was not renewed", "name", k.Name().String(), "days_left", k.DaysLeft(),
				"err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (u *Upkeep) fill() {
	if u.Every <= 0 {
		u.Every = time.Second
	}
	if u.Again <= 0 {
		u.Again = time.Hour
	}
	if u.Log == nil {
		u.Log = slog.Default()
	}
}

func (u *Upkeep) report(err error) {
	if err != nil {
		u.Log.Error("the new certificate files are not used, the old ones are", "err", err)
	}
	if u.Reload != nil {
		u.Reload(err)
	}
}

// RenewIfDue renews the certificate if two thirds of its life are over; otherwise it does nothing.
func (k *Keeper) RenewIfDue(ctx context.Context, sign Signer) error {
	if k.now().Before(k.Status().RenewAt) {
		return nil
	}
	return k.Renew(ctx, sign)
}

// Renew makes a new key, has it signed, and takes it into use. What comes back is checked as a peer would
// check it before it replaces anything.
func (k *Keeper) Renew(ctx context.Context, sign Signer) error {
	k.renewing.Lock()
	defer k.renewing.Unlock()
	key, request, err := NewRequest()
	if err != nil {
		return err
	}
	chain, err := sign(ctx, request)
	if err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	identity := append(key, chain...)
	if err := k.acceptable(identity); err != nil {
		return fmt.Errorf("renew the certificate: what came back is of no use: %w", err)
	}
	if err := secretfile.Write(k.files.Identity, identity); err != nil {
		return err
	}
	return k.Reload()
}

// acceptable judges a new identity by the CAs that are trusted now.
func (k *Keeper) acceptable(identity []byte) error {
	next, err := parseMaterial(identity)
	if err != nil {
		return err
	}
	held := k.held.Load()
	name, err := held.verify(next.cert.Leaf, k.now(), x509.ExtKeyUsageClientAuth)
	switch {
	case err != nil:
		return err
	case name != held.name:
		return fmt.Errorf("it names %v, this is %v", name, held.name)
	case !next.cert.Leaf.NotAfter.After(held.cert.Leaf.NotAfter):
		return errors.New("it ends no later than the one in use")
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate.
func Fingerprint(cert *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(cert.Raw) }

// KeyDigest is the SHA-256 of the public key of a certificate request (PEM): it tells one requester from
// another.
func KeyDigest(request []byte) ([sha256.Size]byte, error) {
	csr, err := parseRequest(request)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(csr.RawSubjectPublicKeyInfo), nil
}
