package edgeproc

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"metronome/system/access"
	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
)

// furnish makes a folder's certificates and credentials, unless they are there.
func furnish(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, secretFile)); err == nil {
		return nil
	}
	ca, err := pki.NewAuthority("home", time.Now())
	if err != nil {
		return err
	}
	leaf, err := ca.Issue(pki.Leaf{Name: role, Hosts: []string{"127.0.0.1", "localhost"}}, time.Now())
	if err != nil {
		return err
	}
	password := access.NewPassword()
	users, err := credentials(password)
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return errors.Join(secretfile.Write(in(caFile), ca.CertPEM()), secretfile.Write(in(leafFile), leaf),
		secretfile.Write(in(usersFile), users),
		secretfile.Write(in(secretFile), []byte(userName+":"+password+"\n")))
}

// credentials is a credential file with one user, who may do everything with keys.
func credentials(password string) ([]byte, error) {
	hash, err := access.Hash(password, access.DefaultCost)
	if err != nil {
		return nil, err
	}
	f := access.NewFile()
	all := access.Right{Verbs: []string{access.Read.String(), access.Write.String(), access.Delete.String()}}
	if err := f.Add(userName, access.User{Role: access.RoleDevice, Password: hash,
		Rights: []access.Right{all}}); err != nil {
		return nil, err
	}
	return f.Marshal()
}
