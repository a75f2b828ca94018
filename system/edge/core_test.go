package edge_test

import (
	"strconv"
	"testing"
	"time"

	"metronome/system/edge"
)

// TestCutOffFromTheCore: what people and devices see of an edge whose core is gone.
func TestCutOffFromTheCore(t *testing.T) {
	store, down := openQuorumThat(t)
	s := serve(t, edge.Config{Store: store})
	s.ask("PUT", "/v1/kv/home/lamp", "on").want(t, 201, "")
	s.ask("GET", "/v1/kv/home/lamp?consistency=quorum", "").want(t, 200, "")
	s.ask("GET", "/readyz", "").want(t, 200, "")
	down.Store(true)
	for !store.Stats().Cut {
		time.Sleep(time.Millisecond)
	}
	r := s.ask("GET", "/v1/kv/home/lamp", "").want(t, 200, "")
	first, err := strconv.Atoi(r.Header.Get("X-Staleness-Ms"))
	if err != nil || r.body != "on" {
		t.Errorf("%q, age %q", r.body, r.Header.Get("X-Staleness-Ms"))
	}
	for age := first; age <= first; {
		age, err = strconv.Atoi(s.ask("HEAD", "/v1/kv/home/lamp", "").want(t, 200, "").Header.Get("X-Staleness-Ms"))
		if err != nil {
			t.Fatal(err)
		}
	}
	s.ask("GET", "/v1/kv?prefix=home/", "").want(t, 200, "")
	for _, x := range []struct{ method, path, body string }{
		{"GET", "/v1/kv/home/lamp?consistency=quorum", ""},
		{"GET", "/v1/kv?prefix=home/&consistency=quorum", ""},
		{"PUT", "/v1/kv/home/lamp", "off"},
		{"DELETE", "/v1/kv/home/lamp", ""},
	} {
		r := s.ask(x.method, x.path, x.body).want(t, 503, "core-unreachable")
		if after, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("%s %s: Retry-After %q", x.method, x.path, r.Header.Get("Retry-After"))
		}
	}
	r = s.ask("POST", "/v1/batch", one, jsonType, "Idempotency-Key: q-3").want(t, 503, "core-unreachable")
	if r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", r.Header)
	}
	s.ask("GET", "/readyz", "").want(t, 503, "not-ready")
	down.Store(false)
	for store.Stats().Cut {
		time.Sleep(time.Millisecond)
	}
	s.ask("PUT", "/v1/kv/home/lamp", "off").want(t, 204, "")
	s.ask("GET", "/v1/kv/home/lamp?consistency=quorum", "").want(t, 200, "")
}
