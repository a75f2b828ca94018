package edge_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"metronome/system/edge"
	"metronome/system/edge/local"
)

// quiet is where tests log to.
var quiet = slog.New(slog.DiscardHandler)

// server is an edge on a loopback port, without TLS.
type server struct {
	t     *testing.T
	url   string
	addr  string
	edge  *edge.Server
	store edge.Store
}

func serve(t *testing.T, cfg edge.Config) *server {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = openLocal(t, local.Config{})
	}
	if cfg.Name == "" {
		cfg.Name = "hall"
	}
	if cfg.Access == nil {
		cfg.Access = edge.Everybody("tester")
	}
	cfg.Log = quiet
	s, err := edge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l, nil) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	addr := l.Addr().String()
	return &server{t, "http://" + addr, addr, s, cfg.Store}
}

func openLocal(t *testing.T, cfg local.Config) *local.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = 1
	}
	cfg.Log = quiet
	s, err := local.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reply is a response with its body.
type reply struct {
	*http.Response
	body string
}

// ask sends a request; headers are "Name: value".
func (s *server) ask(method, path, body string, headers ...string) *reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &reply{resp, string(bytes.TrimSuffix(b, []byte("\n")))}
}

// want checks a reply's status and, if it is a problem, its code.
func (r *reply) want(t *testing.T, status int, code string) *reply {
	t.Helper()
	got := ""
	if r.Header.Get("Content-Type") == "application/problem+json" && r.Request.Method != "HEAD" {
		var p struct{ Type string }
		if err := json.Unmarshal([]byte(r.body), &p); err != nil {
			t.Fatalf("%v: %s", err, r.body)
		}
		got = strings.TrimPrefix(p.Type, edge.URN)
	}
	if r.StatusCode != status || got != code {
		t.Fatalf("%d %q, want %d %q: %s", r.StatusCode, got, status, code, r.body)
	}
	return r
}

func TestRawValuesAreCurlable(t *testing.T) { overStores(t, rawValuesAreCurlable) }

func rawValuesAreCurlable(t *testing.T, store edge.Store) {
	s := serve(t, edge.Config{Store: store})
	value := "\x00\xff any bytes\r\n."
	r := s.ask("PUT", "/v1/kv/home/lamp/power", value, "Content-Type: image/x-lamp").want(t, 201, "")
	if r.Header.Get("ETag") != `"1"` || r.Header.Get("X-Served-By") != "hall" ||
		r.Header.Get("X-Revision") != "1" {
		t.Errorf("headers %v", r.Header)
	}
	r = s.ask("GET", "/v1/kv/home/lamp/power", "").want(t, 200, "")
	if r.body != value || r.Header.Get("Content-Type") != "image/x-lamp" || r.Header.Get("ETag") != `"1"` {
		t.Errorf("%q %v", r.body, r.Header)
	}
	s.ask("PUT", "/v1/kv/home/lamp/power", "").want(t, 204, "")
	s.ask("DELETE", "/v1/kv/home/lamp/power", "").want(t, 204, "")
	s.ask("DELETE", "/v1/kv/home/lamp/power", "").want(t, 204, "")
	s.ask("GET", "/v1/kv/home/lamp/power", "").want(t, 404, "key-not-found")
}
