package master_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/master"
	"metronome/system/master/api"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

// world is a home: a CA, a master that serves on a loopback, and edges.
type world struct {
	t    testing.TB
	dir  string
	ca   *pki.Authority
	cfg  master.Config
	m    *master.Master
	url  string
	stop func()

	mu   sync.Mutex
	skew time.Duration // of every clock here
}

func quiet() *slog.Logger {
	if testing.Verbose() && os.Getenv("MASTER_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// jump moves every clock.
func (w *world) jump(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += by
}

func newWorld(t testing.TB, change ...func(*master.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.ca, err = pki.NewAuthority("villa", time.Now()); err != nil {
		t.Fatal(err)
	}
	k := w.keeper("master", pki.Leaf{Name: pki.Name{Role: pki.Master, ID: "main"}, Hosts: []string{"127.0.0.1"}})
	w.cfg = master.Config{Dir: filepath.Join(w.dir, "master"), Keeper: k, Authority: w.ca, Now: w.now,
		MinFree:    1,
		DrillEvery: -1, CheckEvery: -1, Log: quiet()}
	for _, f := range change {
		f(&w.cfg)
	}
	w.start("127.0.0.1:0")
	t.Cleanup(func() { w.stop() })
	return w
}

// keeper issues a certificate and opens it.
func (w *world) keeper(file string, l pki.Leaf) *pki.Keeper {
	w.t.Helper()
	identity, err := w.ca.Issue(l, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	files := pki.Files{Identity: filepath.Join(w.dir, file+".pem"), CA: filepath.Join(w.dir, "ca.crt")}
	if err := secretfile.Write(files.Identity, identity); err != nil {
		w.t.Fatal(err)
	}
	if err := secretfile.Write(files.CA, w.ca.CertPEM()); err != nil {
		w.t.Fatal(err)
	}
	k, err := pki.Open(files, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// listen waits for an address that somebody may have for a moment, between two uses.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		l, err = net.Listen("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) start(address string) {
	w.t.Helper()
	m, err := master.Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	l := listen(w.t, address)
	ctx, cancel := context.WithCancel(context.Background())
	m.Run(ctx)
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	w.m, w.url = m, "https://"+l.Addr().String()
	w.stop = func() {
		w.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := m.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// restart stops the master, lets do what it likes, and starts it at the same address.
func (w *world) restart(do func()) {
	address := w.url[len("https://"):]
	w.stop()
	do()
	w.start(address)
}

// token enrols an edge.
func (w *world) token(edge string) string {
	w.t.Helper()
	tokens := master.TokensIn(w.cfg.Dir)
	tokens.Now = w.now
	token, err := master.RegistryIn(w.cfg.Dir).Enroll(edge, w.ca, tokens,
		master.Enrolment{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return token.Text()
}

// home is an edge with its store and its shipper.
type home struct {
	w      *world
	name   string
	dir    string
	member *ship.Membership
	keeper *pki.Keeper
	store  *local.Store
	ship   *ship.Shipper
	cfg    ship.Config
	end    func()
}

func (w *world) join(name string) *home {
	w.t.Helper()
	h := &home{w: w, name: name, dir: filepath.Join(w.dir, "edge-"+name), end: func() {}}
	h.enter()
	w.t.Cleanup(func() { h.close() })
	return h
}

// enter joins the master, anew or for the first time.
func (h *home) enter() {
	h.w.t.Helper()
	var err error
	h.member, err = ship.Join(context.Background(), ship.Joining{Master: h.w.url, Token: h.w.token(h.name),
		Dir: filepath.Join(h.dir, "member"), Now: h.w.now})
	if err != nil {
		h.w.t.Fatal(err)
	}
	if h.member, err = ship.Load(filepath.Join(h.dir, "member")); err == nil {
		h.keeper, err = pki.Open(h.member.Files, h.w.now)
	}
	if err != nil {
		h.w.t.Fatal(err)
	}
}

func (h *home) data() string { return filepath.Join(h.dir, "data") }

// open opens the store.
func (h *home) open() *home {
	h.w.t.Helper()
	var err error
	h.store, err = local.Open(local.Config{Dir: h.data(), BackedUp: true, MinFree: 1, Cache: 4 << 20,
		MemTable: 1 << 20,
		Now:      h.w.now, Log: quiet()})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return h
}

func (h *home) config() ship.Config {
	key, err := h.member.Key()
	if err != nil {
		h.w.t.Fatal(err)
	}
	return ship.Config{Edge: h.name, Master: h.w.url, HTTP: ship.Client(h.keeper), Key: key, Source: h.store,
		Scratch: filepath.Join(h.dir, "scratch"), Every: 5 * time.Millisecond, Promise: time.Second,
		Backoff: 20 * time.Millisecond, Now: h.w.now, Log: quiet()}
}

// begin starts a shipper.
func (h *home) begin(change ...func(*ship.Config)) *home {
	h.w.t.Helper()
	h.cfg = h.config()
	for _, f := range change {
		f(&h.cfg)
	}
	var err error
	if h.ship, err = ship.New(h.cfg); err != nil {
		h.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.ship.Run(ctx) }()
	h.end = func() {
		cancel()
		<-done
		h.cfg.HTTP.CloseIdleConnections() // one that was never used keeps a master for two seconds when it stops
		h.end = func() {}
	}
	return h
}

func (h *home) close() {
	h.end()
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.w.t.Error(err)
		}
		h.store = nil
	}
}

// put writes keys k<from> … k<to-1>, with values that name the round.
func (h *home) put(round string, from, to int) {
	h.w.t.Helper()
	for i := from; i < to; {
		b := &edge.Batch{}
		for ; i < to && len(b.Ops) < 100; i++ {
			b.Ops = append(b.Ops, edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "k%06d", i),
				Value: fmt.Appendf(nil, "%s %d", round, i)})
		}
		if _, err := h.store.Apply(context.Background(), b); err != nil {
			h.w.t.Fatal(err)
		}
	}
}

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

// wait waits until something is so.
func (w *world) wait(what string, so func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s; %+v", patience, what, w.m.Status().Edges)
		}
	}
}

// safe waits until everything is in a backup.
func (h *home) safe() {
	h.w.t.Helper()
	h.w.wait("all is backed up", func() bool {
		st := h.store.Status()
		return st.BackedUp.Known && st.BackedUp.At >= st.Revision && h.ship.State().State == "shipping"
	})
}

// show is the edge as the master shows it.
func (h *home) show() api.Edge {
	for _, e := range h.w.m.Status().Edges {
		if e.Name == h.name {
			return e
		}
	}
	h.w.t.Fatalf("the master shows no %s", h.name)
	return api.Edge{}
}

// restored restores to a directory of its own, at the edge.
func (h *home) restored(t vault.Target) (*vault.Restored, string, error) {
	h.w.t.Helper()
	dir := filepath.Join(h.w.t.TempDir(), "restored")
	done, err := ship.Restore(context.Background(), h.member, ship.Client(h.keeper),
		vault.Restoration{Target: t, Dir: dir, Log: quiet()})
	return done, dir, err
}

// contents is all that a store in a directory holds.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	s, err := local.Open(local.Config{Dir: dir, MinFree: 1, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	return holds(t, s)
}

func holds(t testing.TB, s *local.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	l := edge.Listing{Limit: edge.MaxPage, Client: "test"}
	for {
		page, err := s.List(context.Background(), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			got[string(e.Key)] = string(e.Value)
		}
		if page.Next == "" {
			return got
		}
		l = edge.Listing{Client: "test", Cursor: page.Next}
	}
}

// admin has a master do something for an edge, and returns what it says.
func admin(m *master.Master, edge, what string) (string, error) {
	r := httptest.NewRequest(http.MethodPost, api.EdgePath(edge, what), nil)
	w := httptest.NewRecorder()
	m.AdminHandler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return "", fmt.Errorf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String(), nil
}

func targetNewest() vault.Target { return vault.Target{} }

func targetOf(backup uint64) vault.Target { return vault.Target{Backup: backup} }

func everySecond(c *ship.Config) { c.Every, c.Promise = time.Second, 10*time.Second }
