package master

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/backup"
	"metronome/system/disk"
	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// Time limits of the server, which slow clients run into.
const (
	headerLimit = 5 * time.Second
	smallLimit  = 30 * time.Second
	largeLimit  = 5 * time.Minute // 4 MiB at 14 KiB/s
	idleLimit   = 90 * time.Second
	maxHeader   = 16 << 10
)

// Serve serves edges until ctx ends. TLS 1.3 and certificates on both sides; only /v1/join and
// /livez know who shows none.
func (m *Master) Serve(ctx context.Context, l net.Listener) error {
	config := m.cfg.Keeper.ServerTLS(m.policy)
	config.MinVersion, config.NextProtos = tls.VersionTLS13, []string{"http/1.1"} // a connection an upload
	return m.serve(ctx, tls.NewListener(l, config), m.Handler())
}

// ServeAdmin serves the commands on this machine: a listener that only the master's own user can
// reach.
func (m *Master) ServeAdmin(ctx context.Context, l net.Listener) error {
	return m.serve(ctx, l, m.AdminHandler())
}

func (m *Master) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if s.Shutdown(last) != nil {
				_ = s.Close()
			}
		case <-done:
		}
	}()
	err := s.Serve(l)
	close(done)
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("master: serve: %w", err)
}

// action answers one request, or says why not.
type action func(w http.ResponseWriter, r *http.Request) error

// routes is a mux of which every error is a problem, its own included.
type routes struct {
	m   *Master
	mux *http.ServeMux
}

func (t routes) handle(pattern string, limit time.Duration, do action) {
	t.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(limit)) // not every connection has deadlines
		_ = control.SetWriteDeadline(time.Now().Add(limit + smallLimit))
		if err := do(w, r); err != nil {
			t.m.refuse(w, r, err)
		}
	})
}

// ServeHTTP finds the route.
func (t routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer t.m.survive(w, r)
	if path.Clean(r.URL.Path) != r.URL.Path { // the mux would redirect
		t.m.refuse(w, r, api.NewProblem("no-such-route", "The path has empty parts, \".\" or \"..\"."))
		return
	}
	if _, pattern := t.mux.Handler(r); pattern != "" {
		t.mux.ServeHTTP(w, r)
		return
	}
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		try := r.Clone(r.Context())
		try.Method = method
		if _, pattern := t.mux.Handler(try); pattern != "" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		t.m.refuse(w, r, api.NewProblem("no-such-route", "See the package master's documentation for the routes."))
		return
	}
	p := api.NewProblem("method-not-allowed", "This path knows "+strings.Join(allow, ", ")+".")
	p.Allow = strings.Join(allow, ", ")
	t.m.refuse(w, r, p)
}

// survive answers for a route that panicked.
func (m *Master) survive(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // it is compared by identity, as net/http does
		panic(what)
	}
	m.cfg.Log.Error("a request failed that should not", "panic", fmt.Sprint(what), "path", r.URL.Path,
		"stack", string(debug.Stack()))
	api.NewProblem("internal", "Something failed that should not; the master's log has it.").Write(w)
}

// Handler serves edges. The connection's TLS state says who they are.
func (m *Master) Handler() http.Handler {
	t := routes{m: m, mux: http.NewServeMux()}
	t.handle("GET /livez", smallLimit, func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "ok\n")
		return err
	})
	t.handle("POST /v1/join", smallLimit, m.join)
	t.handle("POST /v1/renew", smallLimit, m.renew)
	for pattern, do := range map[string]edgeAction{
		"GET /v1/edges/{edge}":                         m.showEdge,
		"POST /v1/edges/{edge}/hello":                  m.hello,
		"POST /v1/edges/{edge}/report":                 m.takeReport,
		"POST /v1/edges/{edge}/restores":               m.countRestore,
		"GET /v1/edges/{edge}/objects/{folder}":        m.listObjects,
		"POST /v1/edges/{edge}/missing":                m.leased(m.missing),
		"GET /v1/edges/{edge}/objects/{folder}/{name}": m.large(m.getObject),
		"PUT /v1/edges/{edge}/chunks/{name}":           m.leased(m.large(m.putChunk)),
		"POST /v1/edges/{edge}/backups":                m.leased(m.large(m.commit)),
		"POST /v1/edges/{edge}/log/{number}":           m.leased(m.large(m.appendLog)),
	} {
		t.handle(pattern, largeLimit, m.asEdge(do))
	}
	return t
}

// edgeAction is an action of an edge that was recognised.
type edgeAction func(w http.ResponseWriter, r *http.Request, b *member) error

// asEdge lets an edge in that is the one of the path, and notes that it lives.
func (m *Master) asEdge(do edgeAction) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		b, peer, err := m.who(r)
		switch {
		case err != nil:
			return err
		case peer.Expired:
			return api.NewProblem("certificate-expired", "POST /v1/renew gives a new one.")
		case b.name != r.PathValue("edge"):
			return api.NewProblem("forbidden", "The certificate is edge "+b.name+"'s, and speaks for no other.")
		}
		b.heard()
		return do(w, r, b)
	}
}

// who recognises an edge by its certificate.
func (m *Master) who(r *http.Request) (*member, pki.Peer, error) {
	peer, err := m.cfg.Keeper.Client(r.TLS, m.policy)
	if err != nil {
		return nil, peer, api.NewProblem("unauthenticated", err.Error()+". metronome master enroll gives a "+
			"token to join.")
	}
	b, err := m.member(peer.Name.ID)
	if errors.Is(err, ErrNotEnrolled) {
		return nil, peer, api.NewProblem("forbidden", err.Error())
	}
	if err != nil {
		return nil, peer, err
	}
	if b.revoked() {
		return nil, peer, api.NewProblem("revoked", "metronome master enroll --again "+b.name+" would let it in "+
			"again.")
	}
	return b, peer, nil
}

// leased lets in whom the lease belongs to.
func (m *Master) leased(do edgeAction) edgeAction {
	return func(w http.ResponseWriter, r *http.Request, b *member) error {
		if err := b.hold(leaseOf(r)); err != nil {
			return err
		}
		return do(w, r, b)
	}
}

// large bounds how many large bodies are in memory.
func (m *Master) large(do edgeAction) edgeAction {
	return func(w http.ResponseWriter, r *http.Request, b *member) error {
		select {
		case m.slots <- struct{}{}:
			defer func() { <-m.slots }()
		default:
			return api.NewProblem("busy", "Too many large requests are worked on; try again in a moment.")
		}
		if r.Method == http.MethodGet {
			return do(w, r, b)
		}
		if free, err := m.cfg.FS.Free(m.cfg.Dir); err == nil && free < m.cfg.MinFree {
			p := api.NewProblem("disk-floor", fmt.Sprintf("%d MiB of disk are free, and %d MiB stay free. Make "+
				"room at the master.", free>>20, m.cfg.MinFree>>20))
			p.RetryAfter = 10 * time.Second
			return p
		}
		return do(w, r, b)
	}
}

// problems says what errors are to clients. The first that matches counts.
var problems = []struct {
	err  error
	code string
}{
	{vault.ErrForeign, "foreign-key"}, {vault.ErrDamaged, "damaged"}, {vault.ErrNoBackup, "no-backup"},
	{vault.ErrNotCovered, "not-covered"}, {backup.ErrNotFound, "not-found"}, {disk.ErrNoSpace, "disk-floor"},
	{join.ErrUnknown, "token-refused"}, {join.ErrExpired, "token-refused"}, {join.ErrUsed, "token-refused"},
	{ErrNotEnrolled, "not-found"},
}

func problemOf(err error) *api.Problem {
	var p *api.Problem
	var gap *vault.GapError
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &gap):
		p = api.NewProblem("log-gap", err.Error())
		p.Reach = &gap.Reach
		return p
	case errors.As(err, &large):
		return api.NewProblem("too-large", fmt.Sprintf("The body may have %d bytes.", large.Limit))
	case errors.As(err, &network) && network.Timeout():
		return api.NewProblem("timeout", "The body did not arrive in time.")
	}
	for _, k := range problems {
		if errors.Is(err, k.err) {
			return api.NewProblem(k.code, err.Error())
		}
	}
	return api.NewProblem("storage-failed", "The master's log has more under this request's id.")
}

// refuse sends why not. What is the master's own fault goes into its log.
func (m *Master) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	copied := *p
	copied.RequestID = newID()
	level := slog.LevelDebug
	if p.Status >= 500 && p.Code() != "busy" {
		level = slog.LevelError
	}
	m.cfg.Log.Log(r.Context(), level, "refused", "request_id", copied.RequestID, "method", r.Method, "path",
		r.URL.Path,
		"from", r.RemoteAddr, "error", err)
	copied.Write(w)
}

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// read reads a body of at most limit bytes.
func read(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	size := min(max(r.ContentLength, 0), int64(limit)) + bytes.MinRead
	b := bytes.NewBuffer(make([]byte, 0, min(size, 1<<20))) // who sends less than it says takes no more
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, int64(limit))); err != nil {
		return nil, bodyError(err)
	}
	return b.Bytes(), nil
}

// bodyError tells a body that could not be read from storage that could not.
func bodyError(err error) error {
	var large *http.MaxBytesError
	var network net.Error
	if errors.As(err, &large) || errors.As(err, &network) {
		return err
	}
	return api.NewProblem("invalid-body", "The body ended early: "+err.Error())
}

// readJSON reads a body of JSON, in which every field is known.
func readJSON(w http.ResponseWriter, r *http.Request, limit int, into any) error {
	b, err := read(w, r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return api.NewProblem("invalid-body", "It is not the JSON that this route takes: "+err.Error())
	}
	return nil
}

func reply(w http.ResponseWriter, status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone if this fails
	return nil
}
