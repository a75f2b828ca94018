package access

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// counters are what happened since the start.
type counters struct {
	cached, certificates, tokens, hashes, failures, limited, turnedAway atomic.Uint64
	reloads, reloadsFailed, rehashed                                    atomic.Uint64
}

// Stats is what a guard did since its start, and what it holds.
type Stats struct {
	Cached        uint64 // requests admitted from the cache
	Tokens        uint64 // requests admitted by a machine secret
	Certificates  uint64 // requests admitted by a client certificate
	Hashes        uint64 // bcrypt comparisons, decoys included
	Failures      uint64 // requests refused for what they claimed
	Limited       uint64 // requests refused for failures before
	TurnedAway    uint64 // requests refused because too many passwords were to be checked
	Reloads       uint64 // credential files taken into use
	ReloadsFailed uint64 // credential files that could not be used
	Rehashed      uint64 // hashes renewed at log-in

	Users     int // in the file in use
	CacheSize int // credentials remembered as right
	Limits    int // addresses and users remembered for failures
}

// Stats is a snapshot for metrics.
func (g *Guard) Stats() Stats {
	c := &g.count
	return Stats{
		Cached: c.cached.Load(), Tokens: c.tokens.Load(), Certificates: c.certificates.Load(),
		Hashes: c.hashes.Load(), Failures: c.failures.Load(), Limited: c.limited.Load(),
		TurnedAway: c.turnedAway.Load(), Reloads: c.reloads.Load(), ReloadsFailed: c.reloadsFailed.Load(),
		Rehashed: c.rehashed.Load(),
		Users:    len(g.users.Load().byName), CacheSize: g.cache.len(),
		Limits: g.byAddr.len() + g.byUser.len(),
	}
}

// Why a request failed, for the audit trail.
const (
	reasonPlain       = "credentials over plain HTTP"
	reasonHeader      = "no Basic header"
	reasonImplausible = "a password that nobody can have"
	reasonToken       = "wrong token"
	reasonPassword    = "wrong password"
	reasonUser        = "unknown user"
	reasonCertificate = "certificate of no user"
)

// fail counts a failure and writes it down.
func (g *Guard) fail(reason string, u *user, addr netip.Addr) {
	g.count.failures.Add(1)
	g.audit.failure(g.cfg.now(), reason, u, addr)
}

// auditBurst bounds the audit trail's lines of one second, for a flood of wrong passwords must not fill a
// disk. What is left out is counted.
const auditBurst = 10

// audit writes failures to the log.
type audit struct {
	log *slog.Logger

	mu      sync.Mutex
	since   time.Time
	lines   int
	leftOut uint64
}

// failure notes one failure. The name is written only if there is such a user: people type passwords into
// the wrong field.
func (a *audit) failure(now time.Time, reason string, u *user, addr netip.Addr) {
	leftOut, ok := a.room(now)
	if !ok {
		return
	}
	name := "(unknown)"
	if u != nil {
		name = u.principal.name
	}
	a.log.Warn("authentication failed", "reason", reason, "user", name, "address", addr.String(),
		"left_out", leftOut)
}

// room reports whether there is room for a line, and how many found none since the last.
func (a *audit) room(now time.Time) (leftOut uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := now.Sub(a.since); d >= time.Second || d < 0 {
		a.since, a.lines = now, 0
	}
	if a.lines >= auditBurst {
		a.leftOut++
		return 0, false
	}
	a.lines++
	leftOut, a.leftOut = a.leftOut, 0
	return leftOut, true
}
