package fleet

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// sshdDir is where sshd(8) confines itself. A daemon's start script would make it; there is no
// daemon.
const sshdDir = "/run/sshd"

// sshDir is where a fleet's SSH keys are.
func (s *state) sshDir() string { return filepath.Join(s.Dir, "ssh") }

// makeSSH makes fresh keys for both sides, which only this fleet knows, and sshd's settings.
func makeSSH(s *state) error {
	dir := s.sshDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of SSH keys: %w", err)
	}
	host, errHost := writeKey(filepath.Join(dir, "host"))
	user, errUser := writeKey(filepath.Join(dir, "user"))
	files := map[string]string{
		"authorized_keys": user,
		"known_hosts":     "* " + host,
		"sshd_config": fmt.Sprintf("HostKey %[1]s/host\nAuthorizedKeysFile %[1]s/authorized_keys\n"+
			"PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"+
			"StrictModes no\nUsePAM no\nPidFile none\nLogLevel ERROR\nSubsystem sftp internal-sftp\n", dir),
	}
	errs := []error{errHost, errUser, os.MkdirAll(sshdDir, 0o755)}
	for name, text := range files {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("make SSH keys: %w", err)
	}
	return nil
}

// writeKey writes a fresh private key and returns its public half as SSH writes it.
func writeKey(path string) (public string, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(key, "metronome fleet")
	if err != nil {
		return "", err
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", err
	}
	return string(ssh.MarshalAuthorizedKey(sshPub)), os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
