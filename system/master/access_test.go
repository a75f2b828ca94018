package master_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
	"metronome/system/master"
	"metronome/system/master/api"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

func code(err error) string {
	var p *api.Problem
	if errors.As(err, &p) {
		return p.Code()
	}
	return fmt.Sprint(err)
}

// as is a client with the certificate of a keeper.
func (w *world) as(k *pki.Keeper) *api.Client { return &api.Client{URL: w.url, HTTP: ship.Client(k)} }

// stranger is a client that believes the home's CA and shows no certificate.
func (w *world) stranger() *http.Client {
	pin := pki.NewPin(w.ca.Fingerprint(), w.now)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: pin.TLS(), ForceAttemptHTTP2: true,
		DisableKeepAlives: true}}
}

// TestWrongCertificates: each is told why, or gets no connection at all.
func TestWrongCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	w.join("kitchen")
	for _, c := range []struct {
		what   string
		client *api.Client
		edge   string
		want   string
	}{
		{"nobody", &api.Client{URL: w.url, HTTP: w.stranger()}, "hallway", "unauthenticated"},
		{"another edge", w.as(h.keeper), "kitchen", "forbidden"},
		{"an edge that is not enrolled", w.as(w.keeper("cellar", pki.Leaf{Name: pki.Name{Role: pki.Edge,
			ID: "cellar"}})),
			"cellar", "forbidden"},
		{"a device", w.as(w.keeper("lamp", pki.Leaf{Name: pki.Name{Role: pki.Device, ID: "hallway"}})), "hallway",
			"bad certificate"},
		{"a master", w.as(w.keeper("m2", pki.Leaf{Name: pki.Name{Role: pki.Master, ID: "hallway"}})), "hallway",
			"bad certificate"},
	} {
		err := c.client.Call(t.Context(), http.MethodGet, api.EdgePath(c.edge), nil, nil)
		if !strings.Contains(code(err), c.want) {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
	foreign, err := pki.NewAuthority("villa", time.Now()) // of the same name
	if err != nil {
		t.Fatal(err)
	}
	other := &world{t: t, dir: t.TempDir(), ca: foreign, url: w.url}
	k := other.keeper("hallway", pki.Leaf{Name: pki.Name{Role: pki.Edge, ID: "hallway"}})
	if err := other.as(k).Call(t.Context(), http.MethodGet, api.EdgePath("hallway"), nil, nil); err == nil {
		t.Error("an edge of a foreign CA was served")
	}
	if e := h.show(); e.LastSeen.IsZero() { // it joined
		t.Errorf("%+v", e)
	}
}

// TestNoOldTLS: 1.3 is the floor between edges and masters.
func TestNoOldTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), &tls.Config{InsecureSkipVerify: true,
		MaxVersion: tls.VersionTLS12})
	if err == nil {
		_ = conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func (w *world) redeem(secret string, request []byte) (out api.JoinReply, err error) {
	c := api.Client{URL: w.url, HTTP: w.stranger()}
	err = c.Call(context.Background(), http.MethodPost, "/v1/join",
		api.JoinRequest{Secret: secret, Request: string(request)},
		&out)
	return out, err
}

func TestJoinTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, err := join.Parse(w.token("hallway"))
	if err != nil {
		t.Fatal(err)
	}
	secret := hex.EncodeToString(token.Secret[:])
	_, first, err := pki.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := pki.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.redeem(strings.Repeat("00", join.SecretBytes), first); code(err) != "token-refused" {
		t.Errorf("a guess: %v", err)
	}
	one, err := w.redeem(secret, first)
	if err != nil || one.Edge != "hallway" || one.Restorable {
		t.Fatalf("%+v, %v", one, err)
	}
	again, err := w.redeem(secret, first) // the answer was lost
	if err != nil || again.BackupKey != one.BackupKey {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := w.redeem(secret, second); code(err) != "token-refused" {
		t.Errorf("another key: %v", err)
	}
	late, err := join.Parse(w.token("hallway"))
	if err != nil {
		t.Fatal(err)
	}
	w.jump(2 * time.Hour)
	if _, err := w.redeem(hex.EncodeToString(late.Secret[:]), second); code(err) != "token-refused" {
		t.Errorf("after two hours: %v", err)
	}
	for _, bad := range []string{"", "zz", "00"} {
		if _, err := w.redeem(bad, first); code(err) != "invalid-body" {
			t.Errorf("secret %q: %v", bad, err)
		}
	}
	if _, err := w.redeem(secret, []byte("no request")); code(err) != "invalid-body" {
		t.Errorf("%v", err)
	}
}

// TestJoinIsForTheRightHome: a token's CA is another's, and nothing is sent there.
func TestJoinIsForTheRightHome(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	_, err := ship.Join(t.Context(), ship.Joining{Master: other.url, Token: w.token("hallway"),
		Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "join token") {
		t.Errorf("%v", err)
	}
	for _, url := range []string{"http://127.0.0.1:1", "https://", "https://u:p@host", "https://host/path",
		"host:7600"} {
		_, err := ship.Join(t.Context(), ship.Joining{Master: url, Token: w.token("hallway"), Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "https://host:port") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestCertExpiredWhileOfflineEdgeDead (iotedge#5417): an edge that was off for 400 days renews and
// goes on.
func TestCertExpiredWhileOfflineEdgeDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.put("a", 0, 10)
	h.safe()
	h.end()
	w.jump(400 * 24 * time.Hour)
	w.cfg.Keeper = w.keeper("master", pki.Leaf{Name: pki.Name{Role: pki.Master, ID: "main"}})
	w.restart(func() {})
	if st := h.keeper.Status(); st.State != pki.Expired {
		t.Fatalf("%+v", st)
	}
	client := w.as(h.keeper)
	if err := client.Call(t.Context(), http.MethodGet, api.EdgePath("hallway"), nil,
		nil); code(err) != "certificate-expired" {
		t.Fatalf("an expired certificate: %v", err)
	}
	if err := h.keeper.Renew(t.Context(), ship.Signer(w.url, client.HTTP)); err != nil {
		t.Fatal(err)
	}
	client.HTTP.CloseIdleConnections()
	h.begin()
	h.put("b", 5, 20)
	h.safe()
	if e := h.show(); e.Newest == nil || e.Newest.Keys+5 < 15 {
		t.Errorf("%+v", e)
	}
	h.end()
	w.jump(1000 * 24 * time.Hour) // beyond the grace
	w.cfg.Keeper = w.keeper("master", pki.Leaf{Name: pki.Name{Role: pki.Master, ID: "main"}})
	w.restart(func() {})
	if err := h.keeper.Renew(t.Context(), ship.Signer(w.url, ship.Client(h.keeper))); err == nil {
		t.Error("renewed after 1000 days")
	}
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.put("a", 0, 10)
	h.safe()
	token := w.token("hallway")
	if err := master.RegistryIn(w.cfg.Dir).Revoke("hallway", master.TokensIn(w.cfg.Dir),
		time.Now()); err != nil {
		t.Fatal(err)
	}
	w.wait("the revocation is known", func() bool { return h.show().Revoked })
	client := w.as(h.keeper)
	for _, path := range []string{api.EdgePath("hallway"), api.EdgePath("hallway", "objects", "chunks")} {
		if err := client.Call(t.Context(), http.MethodGet, path, nil, nil); code(err) != "revoked" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := h.keeper.Renew(t.Context(), ship.Signer(w.url, client.HTTP)); code(err) != "revoked" {
		t.Errorf("renewed: %v", err)
	}
	if _, err := ship.Join(t.Context(), ship.Joining{Master: w.url, Token: token,
		Dir: t.TempDir()}); err == nil {
		t.Error("joined by a token of before")
	}
	if _, err := master.RegistryIn(w.cfg.Dir).Enroll("hallway", w.ca, master.TokensIn(w.cfg.Dir),
		master.Enrolment{}); err == nil {
		t.Error("enrolled again without being asked to")
	}
	h.put("b", 0, 10) // the edge goes on
	w.wait("the edge says so", func() bool { return strings.Contains(h.ship.State().Error, "revoked") })
}

// TestAnEdgeMayOnlyAdd (ransomware): no request of an edge removes or changes what is stored.
func TestAnEdgeMayOnlyAdd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.put("a", 0, 100)
	h.begin()
	h.safe()
	h.end()
	client := w.as(h.keeper)
	var objects []api.Object
	if err := client.Call(t.Context(), http.MethodGet, api.EdgePath("hallway", "objects", "chunks"), nil,
		&objects); err != nil ||
		len(objects) == 0 {
		t.Fatal(len(objects), err)
	}
	name := objects[0].Name
	var before api.Raw
	path := api.EdgePath("hallway", "objects", "chunks", name)
	if err := client.Call(t.Context(), http.MethodGet, path, nil, &before); err != nil {
		t.Fatal(err)
	}
	var lease api.Lease
	hello := api.Hello{KeyID: h.cfg.Key.ID()}
	if err := client.Call(t.Context(), http.MethodPost, api.EdgePath("hallway", "hello"), hello,
		&lease); err != nil {
		t.Fatal(err)
	}
	client.Header = http.Header{api.LeaseHeader: {fmt.Sprint(lease.Lease)}}
	seal, err := vault.NewSealer(h.cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	evil, err := seal.Seal(vault.ChunkKind, name, []byte("encrypted, pay here"))
	if err != nil {
		t.Fatal(err)
	}
	put := api.EdgePath("hallway", "chunks", name)
	if err := client.Call(t.Context(), http.MethodPut, put, api.Raw(evil), nil); err != nil {
		t.Errorf("a chunk that is there is not written again, and that is no error: %v", err)
	}
	for _, method := range []string{http.MethodDelete, http.MethodPatch, http.MethodPost} {
		for _, p := range []string{path, put, api.EdgePath("hallway", "backups", "00000001.json"),
			api.EdgePath("hallway")} {
			if err := client.Call(t.Context(), method, p, nil, nil); code(err) != "method-not-allowed" &&
				code(err) != "no-such-route" {
				t.Errorf("%s %s: %v", method, p, err)
			}
		}
	}
	var after api.Raw
	if err := client.Call(t.Context(), http.MethodGet, path, nil, &after); err != nil ||
		!bytes.Equal(before, after) {
		t.Errorf("the chunk changed: %v", err)
	}
	done, _, err := h.restored(vault.Target{})
	if err != nil || done.Keys != 100 {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestEveryErrorIsAProblem sends nonsense everywhere.
func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	client := ship.Client(h.keeper)
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PROPFIND"}
	paths := []string{"/", "/v1", "/v1/edges", "/v1/edges/", "/v1/edges/hallway/", "/v1/edges/hallway",
		"/v1/join", "/v1/renew",
		"/v1/edges/../hallway", "/v1/edges/hallway/chunks/%2e%2e%2fx", "/v1/edges/hallway/chunks/..",
		"/v1//edges/hallway",
		"/v1/edges/hallway/objects/chunks/..%2f..%2fstate.json", "/v1/edges/hallway/objects/edges",
		"/v1/edges/hallway/objects/..", "/v1/edges/hallway/objects/chunks/.hidden", "/v1/edges/hallway/hello",
		"/v1/edges/hallway/report", "/v1/edges/hallway/missing", "/v1/edges/hallway/backups",
		"/v1/edges/hallway/log/1",
		"/v1/edges/hallway/log/x", "/v1/edges/hallway/restores", "/v1/edges/hallway/chunks/" +
			strings.Repeat("a", 64),
		"/v1/status", "/debug/pprof/", "/metrics"}
	bodies := []string{"", "{", `{"names":7}`, strings.Repeat("x", 1<<16), "\x00\xff"}
	for _, method := range methods {
		for _, path := range paths {
			for _, body := range bodies {
				r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(r)
				if err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
				if resp.StatusCode/100 != 2 && mediaType != api.ProblemType || resp.StatusCode == 500 ||
					resp.StatusCode/100 == 3 {
					t.Errorf("%s %s %.10q: %s %s %.100s", method, path, body, resp.Status, mediaType, b)
				}
			}
		}
	}
}

func TestOversizedAndSlowBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	client := w.as(h.keeper)
	var lease api.Lease
	if err := client.Call(t.Context(), http.MethodPost, api.EdgePath("hallway", "hello"),
		api.Hello{KeyID: h.config().Key.ID()}, &lease); err != nil {
		t.Fatal(err)
	}
	client.Header = http.Header{api.LeaseHeader: {fmt.Sprint(lease.Lease)}}
	large := make(api.Raw, vault.ChunkKind.MaxSealed()+1)
	put := api.EdgePath("hallway", "chunks", strings.Repeat("a", 64))
	if err := client.Call(t.Context(), http.MethodPut, put, large, nil); code(err) != "too-large" {
		t.Errorf("a large chunk: %v", err)
	}
	if err := client.Call(t.Context(), http.MethodPost, "/v1/join", make(api.Raw, 1<<20),
		nil); code(err) != "too-large" {
		t.Errorf("a large body of a stranger's route: %v", err)
	}
	names := api.Missing{Names: make([]string, api.MaxNames+1)}
	if err := client.Call(t.Context(), http.MethodPost, api.EdgePath("hallway", "missing"), names,
		nil); code(err) != "too-large" {
		t.Errorf("many names: %v", err)
	}
	client.Header = http.Header{api.LeaseHeader: {"1x"}}
	if err := client.Call(t.Context(), http.MethodPut, put, api.Raw("x"), nil); code(err) != "fenced" {
		t.Errorf("a lease that is none: %v", err)
	}
	// A connection that says nothing is dropped by the server's header limit, and serves nobody
	// meanwhile.
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := client.Call(t.Context(), http.MethodGet, api.EdgePath("hallway"), nil, nil); err != nil {
		t.Errorf("a silent connection keeps others waiting: %v", err)
	}
}

func TestEdgeNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", ".", "..", "a/b", "../x", "a b", "-a", "ä", strings.Repeat("a", 64),
		"a\x00"} {
		if err := master.CheckName(bad); err == nil {
			t.Errorf("%q may be an edge's name", bad)
		}
	}
	g := master.RegistryIn(t.TempDir())
	if _, err := g.Edit("../evil", func(*master.Record) error { return nil }); err == nil {
		t.Error("a record outside the directory")
	}
}

// TestARecordThatCannotBeRead leaves the edge known as it was, and is complained about.
func TestARecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.safe()
	path := filepath.Join(w.cfg.Dir, "edges", "hallway.json")
	good, err := secretfile.Read(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := secretfile.Write(path, good[:len(good)/2]); err != nil {
		t.Fatal(err)
	}
	w.wait("it is complained about", func() bool {
		f := w.m.Findings()
		return len(f) == 1 && f[0].Code == "record"
	})
	h.put("a", 0, 10)
	h.safe()
	if err := secretfile.Write(path, good); err != nil {
		t.Fatal(err)
	}
	w.wait("it is well again", func() bool { return len(w.m.Findings()) == 0 })
}

// begins is a body before whose first byte something happens.
type begins struct {
	io.Reader
	first func()
}

func (b begins) Read(p []byte) (int, error) {
	b.first()
	return b.Reader.Read(p)
}

// TestLeaseEndsWhileABodyComes: whoever was shut out since its request came stores nothing, also if its lease
// held when the request began.
func TestLeaseEndsWhileABodyComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	client := w.as(h.keeper)
	hello := func() (lease api.Lease) {
		if err := client.Call(t.Context(), http.MethodPost, api.EdgePath("hallway", "hello"),
			api.Hello{KeyID: h.config().Key.ID()}, &lease); err != nil {
			t.Error(err)
		}
		return lease
	}
	slow := ship.Client(h.keeper)
	slow.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour // the body waits until it is asked for
	for _, path := range []string{api.EdgePath("hallway", "backups"), api.EdgePath("hallway", "log", "1")} {
		lease := hello()
		body := begins{strings.NewReader("sealed"), sync.OnceFunc(func() { hello() })}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{api.LeaseHeader: {fmt.Sprint(lease.Lease)}, "Expect": {"100-continue"},
			"Content-Type": {"application/octet-stream"}}
		resp, err := slow.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(said), "fenced") {
			t.Errorf("%s: %s %s", path, resp.Status, said)
		}
	}
}

// TestTwoProcessesBackUpOneEdge: a copied edge. The later one shuts the earlier one out, also when
// that has nothing to ship, and the master speaks of a copy.
func TestTwoProcessesBackUpOneEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.put("a", 0, 10)
	h.safe()
	first, stopFirst := h.ship, h.end
	defer stopFirst()
	h.begin()
	h.put("b", 0, 10)
	w.wait("the first is shut out", func() bool { return first.State().State == "fenced" })
	w.wait("all is backed up by the second", func() bool {
		return h.ship.State().State == "shipping" && h.ship.State().Behind == 0
	})
	w.wait("the master speaks of a copy", func() bool {
		for _, f := range h.show().Findings {
			if f.Code == "copy" {
				return true
			}
		}
		return false
	})
}
