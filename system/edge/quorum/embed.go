package quorum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// reach finds the way to the core: addresses, or a cluster file's proxies, or one within this process.
func reach(cfg *Config) (*embedded, []string, error) {
	if cfg.Cluster == "" {
		return nil, cfg.Addresses, nil
	}
	c, err := cluster.Load(cfg.Cluster)
	if err != nil {
		return nil, nil, fmt.Errorf("edge/quorum: %w", err)
	}
	if cfg.Proxy != 0 {
		e, err := embed(c, cfg)
		return e, []string{e.address()}, err
	}
	addresses := cfg.Addresses
	for i := range c.Proxies {
		if a := c.Proxies[i].Resp; a != "" && len(cfg.Addresses) == 0 {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, nil, fmt.Errorf("edge/quorum: no proxy of %s serves clients (resp): run one within the edge "+
			"by its number", cfg.Cluster)
	}
	return nil, addresses, nil
}

// embedded is a proxy of the cluster within this process. What the edge asks of it goes through a
// connection on the loopback, so that there is one way of failing whether it is here or elsewhere.
type embedded struct {
	cluster *cluster.Config
	self    wire.Peer
	cfg     *Config
	listen  net.Addr
	stop    context.CancelFunc
	ended   chan struct{}
	backend *switchboard

	mu  sync.Mutex
	err error // why the proxy does not run at the moment
}

// restartAfter is how long a proxy that failed rests.
const restartAfter = 5 * time.Second

func embed(c *cluster.Config, cfg *Config) (*embedded, error) {
	e := &embedded{cluster: c, cfg: cfg, self: wire.ProxyPeer(cfg.Proxy), ended: make(chan struct{}),
		backend: &switchboard{}}
	p, err := daemon.NewProxy(daemon.ProxyConfig{Cluster: c, Self: e.self, Log: cfg.Log})
	if err != nil {
		return e, fmt.Errorf("edge/quorum: proxy %d within the edge: %w", cfg.Proxy, err)
	}
	e.backend.connect(p.Backend())
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	// Who else is on this machine has no rights to the core: they are to come by the edge.
	cfg.User, cfg.Password, cfg.TLS = "", rand.Text(), nil
	server := resp.NewServer(e.backend, resp.Options{Auth: resp.RequirePass(cfg.Password), Logger: cfg.Log})
	if err := server.Listen("127.0.0.1:0"); err != nil {
		stop()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return e, errors.Join(err, p.Run(ctx)) // closes it
	}
	e.listen = server.Addr()
	var all sync.WaitGroup
	all.Go(func() { _ = server.Serve(ctx) })
	all.Go(func() { e.run(ctx, p) })
	go func() {
		all.Wait()
		close(e.ended)
	}()
	return e, nil
}

// run keeps the proxy running. One that another instance has fenced rests, and then fences that one in turn:
// the operator sees both complain.
func (e *embedded) run(ctx context.Context, p *daemon.Proxy) {
	for p != nil {
		err := p.Run(ctx) // closes it, too
		p = e.again(ctx, err)
	}
}

// again makes another proxy after one that ended, nil when ctx has.
func (e *embedded) again(ctx context.Context, err error) *daemon.Proxy {
	for ctx.Err() == nil {
		e.note(err)
		e.cfg.Log.Error("the proxy within the edge ended", "proxy", e.self.String(), "error", err)
		select {
		case <-time.After(restartAfter):
		case <-ctx.Done():
			return nil
		}
		var p *daemon.Proxy
		p, err = daemon.NewProxy(daemon.ProxyConfig{Cluster: e.cluster, Self: e.self, Log: e.cfg.Log})
		if err == nil {
			e.backend.connect(p.Backend())
			e.note(nil)
			return p
		}
	}
	return nil
}

func (e *embedded) note(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// failure is why the proxy does not run, or nil.
func (e *embedded) failure() error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *embedded) address() string {
	if e == nil || e.listen == nil {
		return ""
	}
	return e.listen.String()
}

func (e *embedded) close() error {
	if e == nil || e.stop == nil {
		return nil
	}
	e.stop()
	<-e.ended
	return nil
}

// switchboard is the backend of whichever proxy runs.
type switchboard struct {
	mu sync.RWMutex
	to resp.Backend
}

func (s *switchboard) connect(to resp.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
}

// Submit implements [resp.Backend].
func (s *switchboard) Submit(pin uint64, ops []resp.Op, c resp.Completer) {
	s.mu.RLock()
	to := s.to
	s.mu.RUnlock()
	to.Submit(pin, ops, c)
}
