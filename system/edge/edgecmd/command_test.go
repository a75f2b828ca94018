package edgecmd

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func options(t *testing.T) Options {
	o := Defaults()
	o.Name, o.Data, o.Listen, o.Admin, o.MinFree = "hall", t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", 1
	o.Log = slog.New(slog.DiscardHandler)
	return o
}

func start(t *testing.T, o Options) *Edge {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	e, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := e.Wait(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func ask(t *testing.T, method, url, body, user, password string) (status int, text string, h http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header
}

func TestCredentialsAreHeldToTheirPrefix(t *testing.T) {
	o := options(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), 10)
	if err != nil {
		t.Fatal(err)
	}
	o.Plain, o.Users = true, filepath.Join(t.TempDir(), "users.yaml")
	file := "version: 1\ncost: 10\nusers:\n  lamp:\n    role: device\n    password: " + string(hash) +
		"\n    rights:\n      - prefix: home/lamp/\n        verbs: [read, write]\n" +
		"  guest:\n    role: device\n    home: attic\n    password: " + string(hash) + "\n    rights: []\n"
	if err := os.WriteFile(o.Users, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, o)
	for _, c := range []struct {
		method, path, user, password string
		status                       int
		says                         string
	}{
		{"PUT", "/v1/kv/home/lamp/power", "lamp", "secret", 201, ""},
		{"GET", "/v1/kv/home/lamp/power", "lamp", "secret", 200, ""},
		{"GET", "/v1/kv/home/lamp/power", "lamp", "wrong", 401, "unauthenticated"},
		{"GET", "/v1/kv/home/lamp/power", "", "", 401, "unauthenticated"},
		{"DELETE", "/v1/kv/home/lamp/power", "lamp", "secret", 403, "forbidden"},
		{"PUT", "/v1/kv/home/door", "lamp", "secret", 403, "forbidden"},
		{"PUT", "/v1/kv/home/lamp%2F..%2Fdoor", "lamp", "secret", 400, "invalid-key"},
		{"GET", "/v1/kv?prefix=home/", "lamp", "secret", 403, "forbidden"},
		{"GET", "/v1/kv?prefix=home/lamp/", "lamp", "secret", 200, ""},
		{"GET", "/v1/status", "guest", "secret", 421, "attic"},
		{"GET", "/livez", "", "", 200, ""},
	} {
		status, body, h := ask(t, c.method, e.URL+c.path, "", c.user, c.password)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s as %s: %d %s, want %d with %q", c.method, c.path, c.user, status, body, c.status, c.says)
		}
		if challenge := h.Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(challenge, "Basic realm=") {
			t.Errorf("%s %s: WWW-Authenticate %q", c.method, c.path, challenge)
		}
	}
}

func TestOperatorsSeeMetricsElsewhere(t *testing.T) {
	o := options(t)
	o.Plain, o.Users, o.Profile = true, "", true
	e := start(t, o)
	for path, says := range map[string]string{
		"/metrics": "metronome_edge_commits_total", "/readyz": "ok", "/livez": "ok", "/debug/pprof/cmdline": "",
	} {
		status, body, _ := ask(t, "GET", e.AdminURL+path, "", "", "")
		if status != 200 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if status, _, _ := ask(t, "GET", e.URL+"/metrics", "", "", ""); status != 404 {
		t.Errorf("metrics are shown to devices: %d", status)
	}
}

func TestRefusedOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"plain HTTP beyond the loopback": {func(o *Options) { o.Plain, o.Listen = true, "0.0.0.0:0" }, "loopback"},
		"every address":                  {func(o *Options) { o.Plain, o.Listen = true, ":0" }, "loopback"},
		"no certificate":                 {func(*Options) {}, "certificate"},
		"nobody asked for passwords":     {func(o *Options) { o.Cert, o.Users = "x", "" }, "--users"},
		"unknown store":                  {func(o *Options) { o.Plain, o.Store = true, "cloud" }, "--store"},
		"a cluster without its store":    {func(o *Options) { o.Plain, o.Cluster = true, "c" }, "metronome"},
		"a store without its cluster":    {func(o *Options) { o.Plain, o.Store = true, "metronome" }, "--cluster"},
		"two ways to the core": {func(o *Options) {
			o.Plain, o.Store, o.Cluster, o.Core = true, "metronome", "c", []string{"h:1"}
		}, "not both"},
		"a proxy of no cluster": {func(o *Options) {
			o.Plain, o.Store, o.Core, o.Proxy = true, "metronome", []string{"h:1"}, 2
		}, "--proxy"},
		"no credential file": {func(o *Options) { o.Plain, o.Users = true, "/nowhere/users.yaml" },
			"users.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			c.change(&o)
			_, err := Start(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one about %s", err, c.says)
			}
		})
	}
}

// try is ask that may fail.
func try(method, url, body string) (status int, text string, err error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
