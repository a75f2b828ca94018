package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// Server serves one store.
type Server struct {
	cfg     Config
	http    *http.Server
	bodies  budget
	metrics *metrics
	watches atomic.Int64
	process string // of request ids
	request atomic.Uint64
	closing chan struct{} // closed when streams must end
	closed  atomic.Bool
}

// New makes a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	s := &Server{cfg: cfg, metrics: newMetrics(), process: hex.EncodeToString(id[:]),
		closing: make(chan struct{})}
	s.bodies.free.Store(cfg.Limits.BodyBytes)
	l := &s.cfg.Limits
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: l.HeaderTime, ReadTimeout: l.BodyTime,
		WriteTimeout: l.BodyTime + l.WriteTime,
		IdleTimeout:  l.IdleTime, MaxHeaderBytes: l.HeaderBytes, DisableGeneralOptionsHandler: true,
		ConnContext: withConn, ConnState: connState,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers requests on a listener until Close. Without TLS it serves plain HTTP, which is for loopback.
func (s *Server) Serve(l net.Listener, config *tls.Config) error {
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
	}
	err := s.http.Serve(newListener(l, config, &s.cfg.Limits, s.metrics))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("edge: serve: %w", err)
}

// Close ends streams, lets requests in progress end for a while, then breaks them off. The store is the
// caller's to close.
func (s *Server) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.closing)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.ShutdownTime)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("edge: close: %w", err), s.http.Close())
	}
	return nil
}

// call is one request on its way.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	id   string
	who  Principal
	tail string // of the path, escaped: a key, a session
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	full := handling(r.Context())
	c := &call{w: &counted{ResponseWriter: w}, r: r,
		id: s.process + "-" + strconv.FormatUint(s.request.Add(1), 10)}
	route := s.find(r.URL.EscapedPath())
	h := w.Header()
	h.Set("X-Request-Id", c.id)
	h.Set("X-Served-By", s.cfg.Name)
	h.Set("X-Edge-Incarnation", s.cfg.Store.Status().Incarnation)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	defer func() {
		s.recovered(c, recover())
		s.metrics.observe(route, r.Method, c.w.(*counted).status, time.Since(began))
	}()
	if err := s.serve(c, route, full); err != nil {
		s.fail(c, err)
	}
}

func (s *Server) serve(c *call, route *route, full bool) error {
	if full {
		c.w.Header().Set("Connection", "close")
		return NewProblem("busy", "The edge has as many connections as it takes.")
	}
	if route == nil {
		return NewProblem("no-such-route", "Paths are described at /openapi.yaml.")
	}
	handle, ok := route.methods[c.r.Method]
	if !ok {
		return route.refuse(c.r.Method)
	}
	c.tail = c.r.URL.EscapedPath()[len(route.path):]
	if route.open {
		return handle(s, c)
	}
	var err error
	if c.who, err = s.cfg.Access.Authorize(c.r); err != nil {
		return err
	}
	if home := c.who.Home; home != "" && home != s.cfg.Name && s.cfg.Store.Status().Kind == "local" {
		return NewProblem("misdirected", "The home of "+c.who.Name+" is the edge "+home+".").With("home", home)
	}
	return handle(s, c)
}

// fail sends an error. What nobody foresaw is logged.
func (s *Server) fail(c *call, err error) {
	p := problemOf(err)
	if p.Code.Code == "internal" {
		s.cfg.Log.Error("request failed", "request_id", c.id, "method", c.r.Method, "error", err)
	}
	if c.w.(*counted).status != 0 {
		panic(http.ErrAbortHandler) // too late to say so otherwise
	}
	p.write(c.w, c.r, c.id)
}

// recovered makes a panic a problem.
func (s *Server) recovered(c *call, why any) {
	if why == nil {
		return
	}
	if err, ok := why.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	s.cfg.Log.Error("panic", "request_id", c.id, "panic", fmt.Sprint(why), "stack", string(debug.Stack()))
	if c.w.(*counted).status != 0 {
		panic(http.ErrAbortHandler)
	}
	problemOf(errors.New("panic")).write(c.w, c.r, c.id)
}

// counted remembers a reply's status.
type counted struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (c *counted) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *counted) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
