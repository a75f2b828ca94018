package mastercmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
)

// layout is where things are in a master's directory.
type layout string

func (l layout) caFile() string      { return filepath.Join(string(l), "pki", "ca.crt") }
func (l layout) caKey() string       { return filepath.Join(string(l), "pki", "ca.key") }
func (l layout) identity() string    { return filepath.Join(string(l), "pki", "master.pem") }
func (l layout) socket() string      { return filepath.Join(string(l), "master.sock") }
func (l layout) destination() string { return filepath.Join(string(l), "destination.json") }
func (l layout) vault() string       { return filepath.Join(string(l), "vault") }

// authority opens the CA.
func (l layout) authority() (*pki.Authority, error) {
	ca, err := pki.LoadAuthority(l.caFile(), l.caKey())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no master's directory yet: run metronome master init --dir %s: %w", l, l, err)
	}
	return ca, err
}

// masterName is the id in a master's certificate.
const masterName = "main"

// Init makes a master's directory: a CA, or the one that is there, and a certificate for the
// master.
func Init(dir, home string, hosts []string) error {
	l := layout(dir)
	if err := os.MkdirAll(filepath.Dir(l.caFile()), 0o700); err != nil {
		return err
	}
	unlock, err := secretfile.Lock(l.caFile())
	if err != nil {
		return err
	}
	defer unlock()
	ca, err := l.openOrMakeCA(home)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(l.identity()); err == nil {
		return fmt.Errorf("%s exists: this master was made before; metronome master serve --dir %s starts it",
			l.identity(), dir)
	}
	id, err := ca.Issue(pki.Leaf{Name: pki.Name{Role: pki.Master, ID: masterName}, Hosts: hosts}, time.Now())
	if err != nil {
		return err
	}
	return secretfile.Write(l.identity(), id)
}

func (l layout) openOrMakeCA(home string) (*pki.Authority, error) {
	_, certErr := os.Lstat(l.caFile())
	_, keyErr := os.Lstat(l.caKey())
	if certErr == nil || keyErr == nil { // half of one is an error, and nothing to be overwritten
		return pki.LoadAuthority(l.caFile(), l.caKey())
	}
	ca, err := pki.NewAuthority(home, time.Now())
	if err != nil {
		return nil, err
	}
	key, err := ca.KeyPEM()
	if err == nil {
		err = secretfile.Write(l.caKey(), key)
	}
	if err == nil {
		err = secretfile.Write(l.caFile(), ca.CertPEM())
	}
	return ca, err
}
