package access

import (
	"net/netip"
	"sync"
	"time"
)

// attempt is one password that somebody claims is right.
type attempt struct {
	us       *users // the credentials in use when it came
	user     *user  // nil: there is none of this name
	name     string
	password []byte
	addr     netip.Addr
	key      cacheKey

	byAddr, byUser limitKey // whose failure it would be
	place          limitKey // user and address
}

// whose finds out whose failure this would be. A user at an address where they were before has a limit of
// their own there, so that a stranger's failures elsewhere do not lock them out.
func (g *Guard) whose(a *attempt) {
	name, from := g.keys.name([]byte(a.name)), network(a.addr)
	a.byAddr, a.byUser, a.place = limitKey{addr: from}, limitKey{name: name}, limitKey{name, from}
	if g.proven.has(a.place) {
		a.byUser = a.place
	}
}

// wait is how long until the attempt would be looked at; 0: now.
func (g *Guard) wait(a *attempt) time.Duration {
	now := g.cfg.now()
	return max(g.byAddr.wait(a.byAddr, now), g.byUser.wait(a.byUser, now))
}

// charge counts a failure.
func (g *Guard) charge(a *attempt) {
	now := g.cfg.now()
	g.byAddr.take(a.byAddr, now)
	g.byUser.take(a.byUser, now)
}

// admit takes what a failure would take, or nothing if it is not there.
func (g *Guard) admit(a *attempt) bool {
	now := g.cfg.now()
	if g.byAddr.take(a.byAddr, now) > 0 {
		return false
	}
	if g.byUser.take(a.byUser, now) > 0 {
		g.byAddr.giveBack(a.byAddr)
		return false
	}
	return true
}

// check passes the gate and hashes. Tokens are taken inside the gate and before hashing, so that many
// attempts at once cannot all be looked at before the first has failed.
func (g *Guard) check(a *attempt) outcome {
	if !g.gate.enter() {
		return turnedAway
	}
	defer g.gate.leave()
	if !g.admit(a) {
		return limited
	}
	if !g.matches(a) {
		return wrong
	}
	g.byAddr.giveBack(a.byAddr)
	g.byUser.giveBack(a.byUser)
	g.cache.add(a.key, g.cfg.now())
	return right
}

// matches compares with the user's hash. Every failure costs the same, whoever it is about: as much as the
// highest cost in use. An unknown user's decoy costs that at once; after a cheaper hash, decoys of its cost
// and the following ones make up the difference, for 2^c + 2^c + 2^(c+1) + ... + 2^(m-1) = 2^m.
func (g *Guard) matches(a *attempt) bool {
	if !a.user.hasPassword() {
		g.compare(g.decoys[a.us.decoy], a.password)
		return false
	}
	if g.compare(a.user.hash, a.password) {
		return true
	}
	for cost := a.user.cost; cost < a.us.decoy; cost++ {
		g.compare(g.decoys[cost], a.password)
	}
	return false
}

func (g *Guard) compare(hash string, password []byte) bool {
	g.count.hashes.Add(1)
	return g.cfg.compare([]byte(hash), password) == nil
}

// places remembers where users were before.
type places struct {
	mu    sync.Mutex
	known *lru[limitKey, struct{}]
}

func newPlaces(most int) *places { return &places{known: newLRU[limitKey, struct{}](most)} }

func (p *places) has(k limitKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known.get(k) != nil
}

func (p *places) add(k limitKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.put(k, struct{}{})
}
