package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"metronome/system/access/secretfile"
)

// maxRenewals bounds the hashes that wait to be renewed; what finds no room is renewed at the next log-in.
const maxRenewals = 16

// renewal is a password that was right, whose hash is cheaper than new ones.
type renewal struct{ name, password, old string }

// Reload reads the credential file again, for SIGHUP. A file that cannot be used is reported, and the one
// in use stays.
func (g *Guard) Reload() error {
	g.loading.Lock()
	defer g.loading.Unlock()
	f, err := ReadFile(g.cfg.File)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: make it with metronome user add NAME --file %s", err, g.cfg.File)
	}
	if err != nil {
		g.count.reloadsFailed.Add(1)
		g.bad.Store(&err)
		return err
	}
	next := f.compile()
	old := g.users.Swap(next)
	g.bad.Store(nil)
	g.count.reloads.Add(1)
	g.reportChange(old, next)
	return nil
}

// Err is why the credential file as it is now is not in use, or nil. With an error the file before it is
// in use, and a server should say it is degraded.
func (g *Guard) Err() error {
	if err := g.bad.Load(); err != nil {
		return *err
	}
	return nil
}

// Run watches the credential file and renews hashes until ctx is done. Without it the guard works with what
// NewGuard and Reload read.
func (g *Guard) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { secretfile.Watch(ctx, g.cfg.Every, g.first, g.reloadLogged, g.cfg.File) })
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-g.renewal:
			if err := g.rehash(r); err != nil {
				g.cfg.Log.Warn("a password's hash was not renewed", "user", r.name, "err", err)
			}
		}
	}
}

func (g *Guard) reloadLogged() {
	if err := g.Reload(); err != nil {
		g.cfg.Log.Error("the new credential file is not used, the old one is", "err", err)
	}
}

// reportChange writes the audit trail of who was added, removed, changed.
func (g *Guard) reportChange(old, next *users) {
	if old == nil {
		g.cfg.Log.Info("credentials loaded", "users", len(next.byName))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(next.byName)) {
		was, is := old.byName[name], next.byName[name]
		switch {
		case was == nil:
			g.cfg.Log.Info("credential added", "user", name, "role", is.principal.role)
		case !was.same(is):
			g.cfg.Log.Info("credential changed", "user", name, "role", is.principal.role,
				"secret", was.hash != is.hash || was.token != is.token)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.byName)) {
		if next.byName[name] == nil {
			g.cfg.Log.Info("credential removed", "user", name)
		}
	}
}

func (u *user) same(other *user) bool {
	return u.hash == other.hash && u.hasToken == other.hasToken && u.token == other.token &&
		u.cert == other.cert && u.principal.role == other.principal.role &&
		u.principal.home == other.principal.home &&
		slices.Equal(u.principal.rights, other.principal.rights)
}

// renew asks Run for a dearer hash of a password that was right, if there is time for it.
func (g *Guard) renew(a *attempt) {
	if g.cfg.KeepHashes || a.user.cost >= a.us.cost {
		return
	}
	select {
	case g.renewal <- renewal{a.name, string(a.password), a.user.hash}:
	default:
	}
}

// rehash replaces a hash in the file, unless it was replaced meanwhile.
func (g *Guard) rehash(r renewal) error {
	now := g.users.Load()
	if u := now.byName[r.name]; u == nil || u.hash != r.old || !g.gate.enter() {
		return nil
	}
	hash, err := g.cfg.hash(r.password, now.cost)
	g.gate.leave()
	if err != nil {
		return err
	}
	err = Edit(g.cfg.File, func(f *File) error {
		u := f.Users[r.name]
		if u.Password != r.old {
			return errors.New("it was changed meanwhile")
		}
		return f.SetSecret(r.name, hash, u.Token)
	})
	if err != nil {
		return err
	}
	g.cache.add(g.keys.credentials([]byte(r.name), []byte(r.password), hash), g.cfg.now())
	g.count.rehashed.Add(1)
	return g.Reload()
}
