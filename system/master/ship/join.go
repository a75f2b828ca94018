package ship

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// Files of a membership in its directory.
const (
	identityFile = "identity.pem" // key and certificate
	caFile       = "ca.crt"
	memberFile   = "master.json"  // where the master is, and the backup key
	pendingFile  = "identity.key" // while joining
	maxFile      = 1 << 20
)

// Membership is what an edge was given when it joined.
type Membership struct {
	Edge      string    `json:"edge"`
	Home      string    `json:"home"`
	Master    string    `json:"master"` // URL
	BackupKey string    `json:"backup_key"`
	Files     pki.Files `json:"-"` // for pki.Open

	// Restorable is whether the master has backups of this edge's earlier life. Join sets it.
	Restorable bool `json:"-"`
}

// Load reads a membership.
func Load(dir string) (*Membership, error) {
	path := filepath.Join(dir, memberFile)
	b, err := secretfile.Read(path, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("ship: %s is no membership: run metronome edge join with a token of metronome "+
			"master enroll: %w", dir, err)
	}
	m := &Membership{}
	if err == nil {
		err = json.Unmarshal(b, m)
	}
	if err != nil {
		return nil, fmt.Errorf("ship: %s: %w", path, err)
	}
	m.Files = pki.Files{Identity: filepath.Join(dir, identityFile), CA: filepath.Join(dir, caFile)}
	return m, nil
}

// Key is the edge's backup key.
func (m *Membership) Key() (vault.Key, error) { return vault.ParseKey(m.BackupKey) }

// Client is an HTTP client that shows the edge's certificate and speaks to no one but its home's
// master.
func Client(k *pki.Keeper) *http.Client {
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: k.ClientTLS(pki.Policy{Roles: []pki.Role{pki.Master}}),
			ForceAttemptHTTP2: true, IdleConnTimeout: 2 * time.Minute, TLSHandshakeTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Signer renews the edge's certificate at its master: for pki.Upkeep.
func Signer(master string, c *http.Client) pki.Signer {
	return func(ctx context.Context, request []byte) ([]byte, error) {
		var out api.RenewReply
		client := api.Client{URL: master, HTTP: c}
		err := client.Call(ctx, http.MethodPost, "/v1/renew", api.RenewRequest{Request: string(request)}, &out)
		return []byte(out.Certificate), err
	}
}

// Joining is what Join needs.
type Joining struct {
	Master string // URL, https://host:port
	Token  string // of metronome master enroll
	Dir    string // where the membership is kept
	Now    func() time.Time
}

// Join makes this machine an edge of the token's home. If the answer is lost it can be called again
// with the same token and directory.
func Join(ctx context.Context, j Joining) (*Membership, error) {
	token, err := join.Parse(strings.TrimSpace(j.Token))
	if err != nil {
		return nil, err
	}
	if err := checkURL(j.Master); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	key, request, err := pending(filepath.Join(j.Dir, pendingFile))
	if err != nil {
		return nil, err
	}
	pin := pki.NewPin(token.Fingerprint, j.Now)
	client := api.Client{URL: j.Master, HTTP: &http.Client{Timeout: time.Minute,
		Transport: &http.Transport{TLSClientConfig: pin.TLS(), ForceAttemptHTTP2: true, DisableKeepAlives: true}}}
	var out api.JoinReply
	err = client.Call(ctx, http.MethodPost, "/v1/join",
		api.JoinRequest{Secret: hex.EncodeToString(token.Secret[:]),
			Request: string(request)}, &out)
	if err != nil {
		return nil, err
	}
	m := &Membership{Edge: out.Edge, Home: out.Home, Master: j.Master, BackupKey: out.BackupKey,
		Restorable: out.Restorable}
	if _, err := m.Key(); err != nil {
		return nil, err
	}
	return m, m.keep(j.Dir, append(key, out.Certificate...), pin.CA())
}

func checkURL(master string) error {
	u, err := url.Parse(master)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("ship: %q is no master's address: it has the form https://host:port", master)
	}
	return nil
}

// pending is the key with which a joining was begun, or a new one.
func pending(path string) (key, request []byte, err error) {
	both, err := secretfile.Read(path, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		if key, request, err = pki.NewRequest(); err != nil {
			return nil, nil, err
		}
		return key, request, secretfile.Write(path, append(append([]byte{}, key...), request...))
	}
	if err != nil {
		return nil, nil, err
	}
	at := strings.Index(string(both), "-----BEGIN CERTIFICATE REQUEST")
	if at < 0 {
		return nil, nil, fmt.Errorf("ship: %s is damaged: remove it, and ask for a new token", path)
	}
	return both[:at:at], both[at:], nil
}

// keep writes everything; the membership's own file last, for it says that the rest is there.
func (m *Membership) keep(dir string, identity, ca []byte) error {
	m.Files = pki.Files{Identity: filepath.Join(dir, identityFile), CA: filepath.Join(dir, caFile)}
	body, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = secretfile.Write(m.Files.CA, ca)
	}
	if err == nil {
		err = secretfile.Write(m.Files.Identity, identity)
	}
	if err == nil {
		err = secretfile.Write(filepath.Join(dir, memberFile), append(body, '\n'))
	}
	if err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	return os.Remove(filepath.Join(dir, pendingFile))
}

// Config is the configuration of a shipper for this membership. Scratch has to be on the store's
// file system, and nobody else's.
func (m *Membership) Config(k *pki.Keeper, s local.Source, scratch string) (Config, error) {
	key, err := m.Key()
	return Config{Edge: m.Edge, Master: m.Master, HTTP: Client(k), Key: key, Source: s, Scratch: scratch,
		Describe: func(r *api.Report) { r.CertDays = k.DaysLeft() }}, err
}
