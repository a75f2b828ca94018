package mastercmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"metronome/system/access"
	"metronome/system/access/pki"
	"metronome/system/master"
	"metronome/system/master/page"
	"metronome/system/ops"
)

// Running is a master that serves.
type Running struct {
	URL      string // for edges
	PageURL  string // for people; "" = none
	AdminURL string // for metrics; "" = none
	Master   *master.Master

	o      Options
	cfg    master.Config
	admin  *ops.Server
	guard  *access.Guard
	ctx    context.Context //nolint:containedctx // of what runs, until Wait
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ended  chan error
}

// Start starts a master, until ctx ends. Wait must be called.
func Start(ctx context.Context, o Options) (*Running, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Running{o: o, ended: make(chan error, 4)}
	var err error
	if r.cfg, err = r.o.config(); err != nil {
		return nil, err
	}
	if err := layout(o.Dir).keep(r.o.Place); err != nil {
		return nil, err
	}
	if r.Master, err = master.Open(r.cfg); err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if err := r.start(); err != nil {
		r.cancel()
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *Running) start() error {
	l, err := net.Listen("tcp", r.o.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w: does a master run here already?", err)
	}
	r.URL = "https://" + l.Addr().String()
	r.serve(func() error { return r.Master.Serve(r.ctx, l) })
	socket, err := listen(layout(r.o.Dir).socket())
	if err != nil {
		return err
	}
	r.serve(func() error { return r.Master.ServeAdmin(r.ctx, socket) })
	if err := r.servePage(); err != nil {
		return err
	}
	if err := r.serveAdmin(); err != nil {
		return err
	}
	r.Master.Run(r.ctx)
	r.wg.Go(func() { r.cfg.Keeper.Run(r.ctx, pki.Upkeep{Sign: r.sign(), Again: r.o.RenewEvery, Log: r.o.Log}) })
	return nil
}

func (r *Running) serve(do func() error) {
	r.wg.Go(func() {
		if err := do(); err != nil {
			r.ended <- err
		}
	})
}

// sign renews the master's own certificate, which it does itself. nil: others do.
func (r *Running) sign() pki.Signer {
	ca := r.cfg.Authority
	if ca == nil {
		return nil
	}
	hosts := r.hosts()
	return func(_ context.Context, request []byte) ([]byte, error) {
		return ca.Sign(request, pki.Leaf{Name: r.cfg.Keeper.Name(), Hosts: hosts}, time.Now())
	}
}

// hosts are the names that the certificate has now.
func (r *Running) hosts() (hosts []string) {
	list, err := pki.Describe(layout(r.o.Dir).identity(), time.Now())
	if err != nil || len(list) == 0 {
		return nil
	}
	return list[0].Hosts
}

// servePage serves the page: over TLS to administrators, or plainly on a loopback.
func (r *Running) servePage() error {
	if r.o.Page == "" {
		return nil
	}
	var h http.Handler = page.New(r.Master.Status)
	scheme, config := "http", (*tls.Config)(nil)
	if r.o.Users != "" {
		var err error
		if r.guard, err = access.NewGuard(access.Config{File: r.o.Users, Realm: "metronome master",
			Log: r.o.Log}); err != nil {
			return err
		}
		r.wg.Go(func() { r.guard.Run(r.ctx) })
		h = r.guard.Require(access.Admin, "", h)
		scheme, config = "https", r.cfg.Keeper.ServerTLS(pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true})
		config.ClientAuth = tls.NoClientCert // people show passwords
	}
	l, err := net.Listen("tcp", r.o.Page)
	if err != nil {
		return fmt.Errorf("page: listen: %w", err)
	}
	r.PageURL = scheme + "://" + l.Addr().String() + "/"
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(r.o.Log.Handler(), slog.LevelDebug)}
	r.wg.Go(func() {
		<-r.ctx.Done()
		_ = s.Close()
	})
	r.serve(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

// Wait serves until the context of Start ends or serving fails, and closes everything.
func (r *Running) Wait() error {
	var err error
	select {
	case err = <-r.ended:
	case <-r.ctx.Done():
	}
	return errors.Join(err, r.close())
}

func (r *Running) close() error {
	r.cancel()
	r.wg.Wait()
	var err error
	if r.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = r.admin.Close(ctx)
	}
	return errors.Join(err, r.Master.Close())
}
