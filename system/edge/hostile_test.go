package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/local"
)

// raw writes bytes to a server and reads one reply, of any method but HEAD.
func raw(t testing.TB, addr, request string) *reply {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return readReply(t, bufio.NewReader(c))
}

func readReply(t testing.TB, in *bufio.Reader) *reply {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Request = &http.Request{Method: "GET"}
	return &reply{resp, string(b)}
}

// TestErrorsInThreeShapes: whatever is wrong, and whoever finds it, the edge or net/http under it, the
// answer is a problem.
func TestErrorsInThreeShapes(t *testing.T) {
	s := serve(t, edge.Config{})
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"no such path":   {"GET /nowhere HTTP/1.1\r\nHost: e\r\n\r\n", 404, "no-such-route"},
		"no such method": {"BREW /v1/kv/a HTTP/1.1\r\nHost: e\r\n\r\n", 405, "method-not-allowed"},
		"star":           {"OPTIONS * HTTP/1.1\r\nHost: e\r\n\r\n", 404, "no-such-route"},
		"connect":        {"CONNECT e:1 HTTP/1.1\r\nHost: e\r\n\r\n", 404, "no-such-route"},
		"bad escape":     {"GET /v1/kv/%zz HTTP/1.1\r\nHost: e\r\n\r\n", 400, "bad-request"},
		"no host":        {"GET / HTTP/1.1\r\n\r\n", 400, "bad-request"},
		"not HTTP":       {"hello\r\n\r\n", 400, "bad-request"},
		"HTTP/3":         {"GET / HTTP/3.0\r\nHost: e\r\n\r\n", 505, "version"},
		"bad header":     {"GET / HTTP/1.1\r\nHost: e\r\nA b: c\r\n\r\n", 400, "bad-request"},
		"large header": {"GET / HTTP/1.1\r\nHost: e\r\nA: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 431,
			"headers-too-large"},
		"unknown encoding": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: zip\r\n\r\n", 501,
			"not-implemented"},
		"expectation": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nExpect: coffee\r\nContent-Length: 0\r\n\r\n",
			417, "expectation-failed"},
		"body too large": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nContent-Length: 1048577\r\n\r\n", 413,
			"too-large"},
		"two lengths": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nContent-Length: " +
			"2\r\n\r\nx", 400, "bad-request"},
		"batch, no JSON": {"POST /v1/batch HTTP/1.1\r\nHost: e\r\nContent-Type: " +
			"application/json\r\nContent-Length: 1\r\n\r\n{", 400, "invalid-body"},
		"chunks cut": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
			"bad-request"},
		"large chunked body": {"PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" +
			strings.Repeat("x", 0x200000) + "\r\n0\r\n\r\n", 413, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, s.addr, c.request).want(t, c.status, c.code)
			var p struct {
				Status    int
				Retryable *bool
			}
			if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Status != c.status || p.Retryable == nil {
				t.Errorf("%v: %s", err, r.body)
			}
		})
	}
}

// TestStoredBytesAreNeverTakenForAnError: a value that looks like what net/http says comes back as it is, at
// whichever byte of the connection's buffers it lies.
func TestStoredBytesAreNeverTakenForAnError(t *testing.T) {
	s := serve(t, edge.Config{})
	trap := "HTTP/1.1 417 Expectation Failed\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: " +
		"close\r\n\r\nx"
	for _, before := range []int{0, 1000, 4096, 8192} {
		value := strings.Repeat("z", before) + strings.Repeat(trap, 200)
		s.ask("PUT", "/v1/kv/a", value)
		if got := s.ask("GET", "/v1/kv/a", "").body; got != value {
			t.Errorf("with %d bytes before, %d of %d bytes came back", before, len(got), len(value))
		}
	}
}

// TestPathTricks: a key is what its path decodes to; nothing is cleaned, and no write is redirected.
func TestPathTricks(t *testing.T) {
	s := serve(t, edge.Config{})
	for _, path := range []string{
		"a//b", "a/../b", "a/./b", "/a", "a/", "..", ".", "", "a%2F..%2Fb", "a%2f%2fb", "%2e%2e/b", "a/%2E", "%2Fa",
		"a%2F", strings.Repeat("k", 1025),
	} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			request := method + " /v1/kv/" + path + " HTTP/1.1\r\nHost: e\r\nContent-Length: 0\r\n\r\n"
			raw(t, s.addr, request).want(t, 400, "invalid-key")
		}
	}
	for sent, key := range map[string]string{
		"a%2Fb": "a/b", "a%20b": "a b", "a+b": "a+b", "%00": "\x00", "%ff": "\xff", "a;b": "a;b", "a%3Fb": "a?b",
		"...": "...", "%25zz": "%zz", "a:b@c": "a:b@c", "ö": "ö",
	} {
		r := raw(t, s.addr, "PUT /v1/kv/"+sent+" HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\n\r\n1")
		if r.StatusCode != 201 && r.StatusCode != 204 {
			t.Errorf("%s: %d %s", sent, r.StatusCode, r.body)
		}
		e, err := s.store.Get(t.Context(), []byte(key), edge.Read{})
		if err != nil || string(e.Value) != "1" {
			t.Errorf("%s is not key %q: %v", sent, key, err)
		}
	}
	if n := s.store.Status().Keys; n != 11 {
		t.Errorf("%d keys", n)
	}
}

// prefixed is a right to home/ only.
type prefixed struct{}

// Authorize implements edge.Authorizer.
func (prefixed) Authorize(r *http.Request) (edge.Principal, error) {
	if r.Header.Get("Authorization") == "" {
		return edge.Principal{}, edge.NewProblem("unauthenticated", "Who are you?")
	}
	return edge.Principal{Name: "lamp", May: func(v edge.Verb, key []byte) bool {
		return strings.HasPrefix(string(key), "home/") && v != edge.VerbDelete
	}}, nil
}

func TestRightsAreJudgedOnTheDecodedKey(t *testing.T) {
	s := serve(t, edge.Config{Access: prefixed{}})
	const me = "Authorization: me"
	s.ask("GET", "/v1/kv/home/a", "").want(t, 401, "unauthenticated")
	s.ask("GET", "/v1/status", "").want(t, 401, "unauthenticated")
	s.ask("GET", "/readyz", "").want(t, 200, "")
	s.ask("PUT", "/v1/kv/home/a", "1", me).want(t, 201, "")
	s.ask("PUT", "/v1/kv/%68ome%2Fb", "1", me).want(t, 201, "")
	s.ask("PUT", "/v1/kv/home/../other", "1", me).want(t, 400, "invalid-key")
	s.ask("PUT", "/v1/kv/other", "1", me).want(t, 403, "forbidden")
	s.ask("DELETE", "/v1/kv/home/a", "", me).want(t, 403, "forbidden")
	s.ask("GET", "/v1/kv", "", me).want(t, 403, "forbidden")
	s.ask("GET", "/v1/kv?prefix=hom", "", me).want(t, 403, "forbidden")
	s.ask("GET", "/v1/kv?prefix=home/", "", me).want(t, 200, "")
	s.ask("GET", "/v1/watch?prefix=h&wait=0", "", me).want(t, 403, "forbidden")
	r := s.ask("POST", "/v1/batch",
		`{"ops":[{"op":"put","key":"home/c","value":""},{"op":"delete","key":"home/a"},`+
			`{"op":"put","key":"x","value":""}]}`, jsonType, me).want(t, 200, "")
	if strings.Count(r.body, `"status":403`) != 4 || strings.Count(r.body, `"status":201`) != 1 {
		t.Error(r.body)
	}
}

func TestSlowBodies(t *testing.T) {
	// Each by itself: a header that comes while the machine is busy must not be late, too.
	bodies := serve(t, edge.Config{Limits: edge.Limits{BodyTime: 200 * time.Millisecond}})
	c, err := net.Dial("tcp4", bodies.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nContent-Length: "+
		"10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	readReply(t, bufio.NewReader(c)).want(t, 408, "timeout")
	headers := serve(t, edge.Config{Limits: edge.Limits{HeaderTime: 100 * time.Millisecond}})
	slow, err := net.Dial("tcp4", headers.addr) // one that never ends
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(slow); err != nil || len(b) > 0 && !strings.Contains(string(b), "problem+json") {
		t.Errorf("%q, %v", b, err)
	}
}

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

func TestConnectionsAreBoundedAndToldSo(t *testing.T) {
	s := serve(t, edge.Config{Limits: edge.Limits{Connections: 2}})
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp4", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: e\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		readReply(t, bufio.NewReader(c)).want(t, 200, "")
		held = append(held, c)
	}
	r := raw(t, s.addr, "GET /livez HTTP/1.1\r\nHost: e\r\n\r\n").want(t, 503, "busy")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	_ = held[0].Close()
	for end := time.Now().Add(patience); ; { // the server notices when it reads
		if raw(t, s.addr, "GET /livez HTTP/1.1\r\nHost: e\r\n\r\n").StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a connection that ended still counts")
		}
	}
}

func TestBodiesAreBoundedInAll(t *testing.T) {
	s := serve(t, edge.Config{Limits: edge.Limits{BodyBytes: 1 << 20}})
	c, err := net.Dial("tcp4", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\n"+
		"Content-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// It is asked for its body, so its share is taken.
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	full := false
	for end := time.Now().Add(patience); !full && time.Now().Before(end); {
		r := raw(t, s.addr, "PUT /v1/kv/b HTTP/1.1\r\nHost: e\r\nContent-Length: 100000\r\n\r\n"+
			strings.Repeat("x", 100_000))
		full = r.StatusCode == 503
	}
	if !full {
		t.Error("bodies are held without bound")
	}
	_ = c.Close()
	for end := time.Now().Add(patience); ; {
		if s.ask("PUT", "/v1/kv/b", strings.Repeat("x", 1<<20)).StatusCode < 300 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("what an ended connection held is not given back")
		}
	}
}

func TestPlainHTTPToTheSecurePort(t *testing.T) {
	url, _ := secure(t, 1)
	addr := strings.TrimPrefix(url, "https://")
	r := raw(t, addr, "GET /v1/kv/a HTTP/1.1\r\nHost: e\r\n\r\n").want(t, 400, "bad-request")
	if !strings.Contains(r.body, "https://") {
		t.Error(r.body)
	}
}

func TestOverTLS(t *testing.T) {
	url, client := secure(t, 1)
	r, err := client.Get(url + "/v1/kv/a//b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 400 || r.TLS == nil || r.ProtoMajor != 1 {
		t.Errorf("%d %v", r.StatusCode, r.Proto)
	}
	c, err := tls.Dial("tcp4", strings.TrimPrefix(url, "https://"),
		client.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "no HTTP at all\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	readReply(t, bufio.NewReader(c)).want(t, 400, "bad-request")
}

// panicking is a store with a mistake in it.
type panicking struct{ edge.Store }

// Get implements edge.Store.
func (panicking) Get(context.Context, []byte, edge.Read) (edge.Entry, error) { panic("a mistake") }

// Session implements edge.Store.
func (panicking) Session(context.Context, string, string) (*edge.SessionState, error) {
	return nil, errors.New("a secret detail")
}

func TestMistakesAreProblemsAndTellNothing(t *testing.T) {
	s := serve(t, edge.Config{Store: panicking{openLocal(t, local.Config{})}})
	s.ask("GET", "/v1/kv/a", "").want(t, 500, "internal")
	if r := s.ask("GET", "/v1/sessions/q", "").want(t, 500, "internal"); strings.Contains(r.body, "secret") {
		t.Error(r.body)
	}
	s.ask("GET", "/v1/watch", "").want(t, 422, "unavailable-here")
	s.ask("GET", "/livez", "").want(t, 200, "")
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"a/b", "a%2Fb", "..", "%2e%2e", "%", "%f", "%zz", "a//b", "\xff", "%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := edge.ParseKey(s)
		if err != nil {
			return
		}
		if err := edge.CheckKey(key); err != nil {
			t.Fatalf("%q gives %q: %v", s, key, err)
		}
		for segment := range strings.SplitSeq(string(key), "/") {
			if segment == "" || segment == "." || segment == ".." {
				t.Fatalf("%q gives %q", s, key)
			}
		}
	})
}

// FuzzRequests: whatever arrives, what is not a success is a problem.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/v1/kv/a?x=1", "", "")
	f.Add("POST", "/v1/batch", one, "application/json")
	f.Add("PUT", "/v1/kv/%2e", "x", "text/plain")
	f.Add("GET", "/v1/watch?wait=0&from=1", "", "")
	f.Add("OPTIONS", "*", "", "")
	store, err := local.Open(local.Config{Dir: f.TempDir(), Log: quiet, MinFree: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	s, err := edge.New(edge.Config{Name: "hall", Store: store, Access: edge.Everybody("x"), Log: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, body, kind string) {
		if strings.Contains(target, "watch") {
			return // it would wait
		}
		text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: e\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method,
			target, kind, len(body), body)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return // net/http's to answer
		}
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, r)
		if w.status >= 400 && (w.header.Get("Content-Type") != "application/problem+json" ||
			w.header.Get("X-Request-Id") == "") {
			t.Fatalf("%d with %v", w.status, w.header)
		}
	})
}

// recorder is a ResponseWriter without the bounds of httptest's.
type recorder struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
