package access

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"metronome/system/access/secretfile"
)

// Guard decides who makes a request. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	first   secretfile.Sum // of the file before it was read first
	users   atomic.Pointer[users]
	bad     atomic.Pointer[error] // why the file as it is now is not in use
	loading sync.Mutex            // one after the other, so that the file as it is last wins
	decoys  [MaxCost + 1]string
	keys    *keyer
	cache   *successes
	flights flights
	gate    *gate
	byAddr  *limiter
	byUser  *limiter
	proven  *places
	renewal chan renewal
	audit   audit
	count   counters
}

// NewGuard reads the credential file. A file that cannot be used is an error here; later, by [Guard.Reload],
// the one in use stays.
func NewGuard(cfg Config) (*Guard, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	decoys, err := newDecoys()
	if err != nil {
		return nil, err
	}
	l := cfg.Limits
	g := &Guard{
		cfg: cfg, first: secretfile.Digest(cfg.File), decoys: decoys, keys: newKeyer(),
		cache:   newSuccesses(cfg.Cache.Size, cfg.Cache.Life),
		flights: flights{open: map[cacheKey]*flight{}},
		gate:    newGate(cfg.Gate.Width, cfg.Gate.Queue, cfg.Gate.Wait),
		byAddr:  newLimiter(l.AddressBurst, l.AddressEvery, l.Size),
		byUser:  newLimiter(l.UserBurst, l.UserEvery, l.Size),
		proven:  newPlaces(l.Size),
		renewal: make(chan renewal, maxRenewals),
		audit:   audit{log: cfg.Log},
	}
	return g, g.Reload()
}

// Authorize says who makes a request, before anything of it is looked at but its connection and the
// Authorization header. The error is always a *Refusal, to be answered as it is.
func (g *Guard) Authorize(r *http.Request) (*Principal, error) {
	addr := remote(r)
	if r.TLS == nil && (!g.cfg.PlainLoopback || !addr.IsLoopback()) {
		g.fail(reasonPlain, nil, addr)
		return nil, tlsRequired()
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return g.certificate(r, addr)
	}
	var l login
	if err := l.parse(header); err != nil {
		g.fail(reasonHeader, nil, addr)
		return nil, g.unauthenticated(err.Error())
	}
	us := g.users.Load()
	switch {
	case !l.plausible():
		g.fail(reasonImplausible, nil, addr)
		return nil, g.wrong()
	case l.isToken():
		return g.token(us, &l, addr)
	}
	return g.password(r.Context(), us, &l, addr)
}

// certificate admits who proved to hold a certificate that names a user, if that user may log in so.
func (g *Guard) certificate(r *http.Request, addr netip.Addr) (*Principal, error) {
	if g.cfg.Certificate == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, g.unauthenticated("give a user name and a password by HTTP Basic")
	}
	name, ok := g.cfg.Certificate(r.TLS)
	if u := g.users.Load().byName[name]; ok && u != nil && u.cert {
		g.count.certificates.Add(1)
		return &u.principal, nil
	}
	g.fail(reasonCertificate, nil, addr)
	return nil, g.unauthenticated("this client certificate belongs to no user who may log in with one")
}

// token compares a machine secret. It costs a microsecond, so there is neither cache, gate nor limit; and
// nothing of that size is guessed.
func (g *Guard) token(us *users, l *login, addr netip.Addr) (*Principal, error) {
	u := us.byName[string(l.user())]
	var none user
	known := u != nil && u.hasToken
	against := &none.token
	if known {
		against = &u.token
	}
	if sameToken(against, l.password()) && known {
		g.count.tokens.Add(1)
		return &u.principal, nil
	}
	g.fail(reasonToken, u, addr)
	return nil, g.wrong()
}

// password looks into the cache, then checks: once for all requests that bring the same, within the limits.
func (g *Guard) password(ctx context.Context, us *users, l *login, addr netip.Addr) (*Principal, error) {
	u := us.byName[string(l.user())]
	stored := g.decoys[us.decoy]
	if u.hasPassword() {
		stored = u.hash
	}
	key := g.keys.credentials(l.user(), l.password(), stored)
	if u.hasPassword() && g.cache.has(key, g.cfg.now()) {
		g.count.cached.Add(1)
		return &u.principal, nil
	}
	// Copies, so that what is in the cache is answered without the heap.
	a := &attempt{us: us, user: u, name: string(l.user()), password: bytes.Clone(l.password()), addr: addr,
		key: key}
	return g.try(ctx, a)
}

// try checks a password that the cache does not know.
func (g *Guard) try(ctx context.Context, a *attempt) (*Principal, error) {
	g.whose(a)
	if wait := g.wait(a); wait > 0 {
		g.count.limited.Add(1)
		return nil, tooManyAttempts(wait)
	}
	out, shared := g.flights.do(ctx, a.key, func() outcome { return g.check(a) })
	if shared && out == wrong {
		g.charge(a)
	}
	return g.conclude(a, out)
}

func (g *Guard) conclude(a *attempt, out outcome) (*Principal, error) {
	switch out {
	case right:
		g.proven.add(a.place)
		g.renew(a)
		return &a.user.principal, nil
	case wrong:
		reason := reasonPassword
		if a.user == nil {
			reason = reasonUser
		}
		g.fail(reason, a.user, a.addr)
		return nil, g.wrong()
	case limited:
		g.count.limited.Add(1)
		return nil, tooManyAttempts(g.wait(a))
	}
	g.count.turnedAway.Add(1)
	return nil, busy()
}

// wrong is the one answer to wrong passwords, unknown users, users without a password, and passwords that
// nobody can have.
func (g *Guard) wrong() *Refusal { return g.unauthenticated("user name or password is wrong") }

func (g *Guard) unauthenticated(detail string) *Refusal { return unauthenticated(g.cfg.Realm, detail) }

// remote is the address of the connection. Headers that claim another are not believed.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
