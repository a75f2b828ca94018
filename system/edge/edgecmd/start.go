package edgecmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"metronome/system/access"
	"metronome/system/access/pki"
	"metronome/system/edge"
	"metronome/system/ops"
)

// Edge is a running edge server.
type Edge struct {
	URL, AdminURL string
	Addr          net.Addr
	Server        *edge.Server
	data

	o      *Options
	guard  *access.Guard
	id     *identity
	member *membership // nil: no master
	admin  *ops.Server
	ended  chan error
	cancel context.CancelFunc
	done   <-chan struct{} // closed when it is to end
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// Name is what the edge is called.
func (e *Edge) Name() string { return e.o.Name }

// Start opens the store and serves, until ctx ends. Wait must be called.
func Start(ctx context.Context, o Options) (*Edge, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	e := &Edge{o: &o, ended: make(chan error, 1)}
	ctx, e.cancel = context.WithCancel(ctx)
	e.done = ctx.Done()
	if err := e.start(ctx); err != nil {
		e.cancel()
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *Edge) start(ctx context.Context) (err error) {
	o := e.o
	if e.member, err = openMember(o.Member); err != nil {
		return err
	}
	if err := o.name(e.member); err != nil {
		return err
	}
	if e.id, err = openIdentity(o, e.member); err != nil {
		return err
	}
	authorizer, err := e.openAccess()
	if err != nil {
		return err
	}
	if err := e.openStore(ctx); err != nil {
		return err
	}
	e.Server, err = edge.New(edge.Config{Name: o.Name, Store: e.store, Access: authorizer, Limits: o.Limits,
		Conditional: o.Conditional, Ready: e.reasons, Log: o.Log})
	if err != nil {
		return err
	}
	e.openShipper()
	if err := e.serveAdmin(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("edge: listen: %w: does an edge run here already?", err)
	}
	e.Addr, e.URL = l.Addr(), "https://"+l.Addr().String()
	var config *tls.Config
	if e.id == nil {
		e.URL = "http://" + l.Addr().String()
	} else {
		config = e.id.config
	}
	go func() { e.ended <- e.Server.Serve(l, config) }()
	e.background(ctx)
	return nil
}

// reasons is what keeps the edge from being whole, beside its store.
func (e *Edge) reasons() []edge.Reason { return append(e.id.reasons(), e.member.reasons()...) }

func (e *Edge) openAccess() (edge.Authorizer, error) {
	if e.o.Users == "" {
		e.o.Log.Warn("anybody on this machine may read and write everything")
		return edge.Everybody("anybody"), nil
	}
	cfg := access.Config{File: e.o.Users, PlainLoopback: e.o.Plain, Log: e.o.Log}
	if e.id != nil && e.id.keeper != nil {
		cfg.Certificate = e.id.keeper.UserOf(pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true})
	}
	var err error
	if e.guard, err = access.NewGuard(cfg); err != nil {
		return nil, err
	}
	return Guarded(e.guard), nil
}

// background keeps credentials and certificates fresh, and ships backups.
func (e *Edge) background(ctx context.Context) {
	if e.guard != nil {
		e.wg.Go(func() { e.guard.Run(ctx) })
	}
	if e.id != nil {
		e.wg.Go(func() { e.id.run(ctx, e.o) })
		e.wg.Go(func() { e.warn(ctx) })
	}
	if e.member != nil {
		e.wg.Go(func() { e.member.keep(ctx, e.o) })
		if e.member.shipper != nil {
			e.wg.Go(func() { e.member.shipper.Run(ctx) })
		}
	}
	e.wg.Go(func() { e.hangUps(ctx) })
}

// hangUps reloads at SIGHUP.
func (e *Edge) hangUps(ctx context.Context) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	defer signal.Stop(c)
	for {
		select {
		case <-c:
			e.reload()
		case <-ctx.Done():
			return
		}
	}
}

func (e *Edge) reload() {
	var err error
	if e.guard != nil {
		err = e.guard.Reload()
	}
	if e.id != nil {
		err = errors.Join(err, e.id.reload())
	}
	if err != nil {
		e.o.Log.Error("not taken up; what was there before stays", "error", err)
		return
	}
	e.o.Log.Info("credentials and certificate were read again")
}

// warn speaks up, once a day, weeks before the certificate ends.
func (e *Edge) warn(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if days := e.id.daysLeft(); days < warnBefore.Hours()/24 {
			e.o.Log.Warn("the certificate ends soon: renew it", "days_left", days, "ends", e.id.end())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Wait serves until the context of Start ends or serving fails, and closes everything.
func (e *Edge) Wait() error {
	var err error
	select {
	case err = <-e.ended:
	case <-e.done:
	}
	return errors.Join(err, e.close())
}

// close ends all that was started. What stands on something is closed before it.
func (e *Edge) close() error {
	e.once.Do(func() {
		e.cancel()
		if e.Server != nil {
			e.err = e.Server.Close()
		}
		e.wg.Wait() // the shipper reads the store
		if e.admin != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			e.err = errors.Join(e.err, e.admin.Close(ctx))
		}
		if e.closer != nil {
			e.err = errors.Join(e.err, e.closer.Close())
		}
	})
	return e.err
}
