package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/access/secretfile"
)

// Files are where a process keeps its identity.
type Files struct {
	Identity string // key and certificate in one file, mode 0600
	CA       string // certificates of one or more CAs that are trusted; two while one replaces the other
}

// Keeper holds a process's certificate and judges those of others. Files that change are taken up without
// a restart; files that cannot be used leave what is held in place. It is safe for concurrent use.
type Keeper struct {
	files Files
	first secretfile.Sum // of the files before they were read first
	now   func() time.Time
	held  atomic.Pointer[material]
	bad   atomic.Pointer[error] // why the files as they are now are not in use

	loading  sync.Mutex // one after the other, so that the files as they are last win
	renewing sync.Mutex // one renewal at a time
}

// material is what Reload replaces.
type material struct {
	cert  tls.Certificate
	name  Name
	roots *x509.CertPool
	cas   []*x509.Certificate
}

// Open reads an identity. One that has expired is read as well: only [Keeper.Status] minds, and whoever is
// at the other end. now tells the time; nil: time.Now.
func Open(files Files, now func() time.Time) (*Keeper, error) {
	if now == nil {
		now = time.Now
	}
	k := &Keeper{files: files, first: secretfile.Digest(files.Identity, files.CA), now: now}
	return k, k.Reload()
}

// Reload reads the files again. On an error the old material stays in use. Connections that stand are not
// touched; new ones use what was read.
func (k *Keeper) Reload() error {
	k.loading.Lock()
	defer k.loading.Unlock()
	m, err := k.files.load()
	if err != nil {
		k.bad.Store(&err)
		return err
	}
	k.held.Store(m)
	k.bad.Store(nil)
	return nil
}

// Err is why the files as they are now are not in use, or nil.
func (k *Keeper) Err() error {
	if err := k.bad.Load(); err != nil {
		return *err
	}
	return nil
}

func (f Files) load() (*material, error) {
	b, err := secretfile.Read(f.Identity, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: make one with metronome pki leaf, or enroll", err)
	}
	m, err := parseMaterial(b)
	if err != nil {
		return nil, fmt.Errorf("certificate: %s: %w", f.Identity, err)
	}
	if m.cas, err = readBundle(f.CA); err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	m.roots = x509.NewCertPool()
	for _, ca := range m.cas {
		m.roots.AddCert(ca)
	}
	if _, err := m.verify(m.cert.Leaf, m.cert.Leaf.NotAfter, x509.ExtKeyUsageAny); err != nil {
		return nil, fmt.Errorf("certificate: %s: %w", f.Identity, err)
	}
	return m, nil
}

func parseMaterial(b []byte) (*material, error) {
	cert, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(cert.Leaf)
	return &material{cert: cert, name: name}, err
}

// verify checks a certificate's chain and home, and returns whom it names.
func (m *material) verify(leaf *x509.Certificate, at time.Time, usage x509.ExtKeyUsage) (Name, error) {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: m.roots, CurrentTime: at,
		Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return Name{}, explain(err, leaf, at)
	}
	name, err := nameOf(leaf)
	if err == nil && name.Home != m.name.Home {
		err = fmt.Errorf("the certificate is of home %q, this is home %q", name.Home, m.name.Home)
	}
	return name, err
}

// explain says what to do about a certificate that does not hold.
func explain(err error, leaf *x509.Certificate, at time.Time) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && at.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate of %q is valid from %s, and the clock here says %s: set the clock",
			leaf.Subject.CommonName, leaf.NotBefore.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %q ended on %s: issue it again with metronome pki leaf",
			leaf.Subject.CommonName, leaf.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %q was not issued by a CA that is trusted here",
			leaf.Subject.CommonName)
	}
	return err
}

// Name is who this process is.
func (k *Keeper) Name() Name { return k.held.Load().name }

// Fingerprints are those of the CAs that are trusted.
func (k *Keeper) Fingerprints() (list [][32]byte) {
	for _, ca := range k.held.Load().cas {
		list = append(list, Fingerprint(ca))
	}
	return list
}
