package access

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// rig is a guard whose clock, hash function and log belong to the test. Its hash function costs nothing:
// the password of a hash is what the test said it is.
type rig struct {
	*Guard
	t    testing.TB
	path string

	mu      sync.Mutex
	now     time.Time
	answers map[string]string // hash to the password that is right
	calls   []string          // hashes that were compared with
	during  func()            // runs within each comparison
	log     bytes.Buffer
}

const (
	alicePassword = "correct horse battery"
	bobPassword   = "another password 1"
)

func fakeHash(cost int, tag string) string {
	return fmt.Sprintf("$2a$%02d$", cost) + tag + strings.Repeat("x", hashLen-7-len(tag))
}

var (
	aliceHash = fakeHash(10, "alice")
	bobHash   = fakeHash(12, "bob")
)

const twoUsers = `version: 1
cost: 10
users:
  alice:
    role: device
    password: ALICE
    rights:
      - prefix: home/a/
        verbs: [read, write]
  bob:
    role: admin
    password: BOB
`

func withHashes(source string) string {
	return strings.NewReplacer("ALICE", aliceHash, "BOB", bobHash).Replace(source)
}

func newRig(t testing.TB, source string, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "users.yaml"), now: time.Unix(1_000_000, 0),
		answers: map[string]string{aliceHash: alicePassword, bobHash: bobPassword}}
	r.write(source)
	cfg := Config{File: r.path, KeepHashes: true, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		now: r.time, compare: r.compare}
	for _, c := range change {
		c(&cfg)
	}
	g, err := NewGuard(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Guard = g
	return r
}

func (r *rig) write(source string) {
	r.t.Helper()
	if err := os.WriteFile(r.path, []byte(withHashes(source)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) compare(hash, password []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, string(hash))
	if r.during != nil {
		r.mu.Unlock()
		r.during()
		r.mu.Lock()
	}
	if right, ok := r.answers[string(hash)]; ok && right == string(password) {
		return nil
	}
	return bcrypt.ErrMismatchedHashAndPassword
}

// work is how many rounds of bcrypt were asked for since the last call.
func (r *rig) work() (rounds int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.calls {
		rounds += 1 << hashCost(h)
	}
	r.calls = nil
	return rounds
}

func request(user, password, from string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://edge/v1/kv/home/a/x", nil)
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	r.RemoteAddr = from + ":4711"
	if strings.Contains(from, ":") {
		r.RemoteAddr = "[" + from + "]:4711"
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return r
}

// try asks as somebody from somewhere and returns the status: 200 or that of the refusal.
func (r *rig) try(user, password, from string) int {
	r.t.Helper()
	return r.status(request(user, password, from))
}

func (r *rig) status(q *http.Request) int {
	r.t.Helper()
	p, err := r.Authorize(q)
	if err == nil {
		if p == nil {
			r.t.Fatal("neither principal nor error")
		}
		return http.StatusOK
	}
	var ref *Refusal
	if !errors.As(err, &ref) {
		r.t.Fatalf("%T is no *Refusal", err)
	}
	return ref.Status
}

func (r *rig) want(status int, user, password, from string) {
	r.t.Helper()
	if got := r.try(user, password, from); got != status {
		r.t.Fatalf("%s from %s: %d, want %d", user, from, got, status)
	}
}
