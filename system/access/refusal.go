package access

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The types of problems that access answers with; RFC 9457 calls them so.
const (
	TypeUnauthenticated = "urn:metronome:problem:unauthenticated"   // 401: no, or no valid, credentials
	TypeForbidden       = "urn:metronome:problem:forbidden"         // 403: valid credentials, no right
	TypeTLSRequired     = "urn:metronome:problem:tls-required"      // 403: credentials over plain HTTP
	TypeTooManyAttempts = "urn:metronome:problem:too-many-attempts" // 429: too many failures before
	TypeAccessBusy      = "urn:metronome:problem:access-busy"       // 503: too many passwords to check at once
)

// Refusal is the answer to a request that may not go on. It never holds a secret, nor anything that tells
// a user that exists from one that does not.
type Refusal struct {
	Status     int           // HTTP status
	Type       string        // one of the types above
	Title      string        // the type, for people
	Detail     string        // what to do
	RetryAfter time.Duration // 0: none
	Realm      string        // for WWW-Authenticate; empty: no challenge
}

// Error is the refusal in one line.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Title, r.Detail) }

// Retryable reports whether the same request may succeed later.
func (r *Refusal) Retryable() bool { return r.RetryAfter > 0 }

// SetHeader writes the headers that go with the refusal, whoever renders its body.
func (r *Refusal) SetHeader(h http.Header) {
	h.Set("Cache-Control", "no-store")
	if r.Realm != "" {
		h.Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", r.Realm))
	}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.retrySeconds()))
	}
}

// retrySeconds rounds up: who comes back too early is refused again.
func (r *Refusal) retrySeconds() int { return int((r.RetryAfter + time.Second - 1) / time.Second) }

// Answer renders the refusal as application/problem+json. It is what a Guard does unless it is told
// otherwise.
func Answer(w http.ResponseWriter, _ *http.Request, r *Refusal) {
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		Retryable bool   `json:"retryable"`
	}{r.Type, r.Title, r.Status, r.Detail, r.Retryable()})
	if err != nil {
		body = []byte("{}") // cannot happen: strings and numbers
	}
	r.SetHeader(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(r.Status)
	_, _ = w.Write(append(body, '\n'))
}

func unauthenticated(realm, detail string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Type: TypeUnauthenticated, Title: "Not authenticated",
		Detail: detail, Realm: realm}
}

func forbidden(p *Principal, v Verb) *Refusal {
	name := ""
	if p != nil {
		name = p.name
	}
	return &Refusal{Status: http.StatusForbidden, Type: TypeForbidden, Title: "Not allowed",
		Detail: fmt.Sprintf("%q has no right to %s here: ask the administrator for a right on this prefix",
			name, v)}
}

func tlsRequired() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Type: TypeTLSRequired, Title: "TLS required",
		Detail: "credentials are refused over plain HTTP: use https, and change this password"}
}

func tooManyAttempts(wait time.Duration) *Refusal {
	return &Refusal{Status: http.StatusTooManyRequests, Type: TypeTooManyAttempts,
		Title: "Too many failed attempts", Detail: "credentials are not looked at before Retry-After",
		RetryAfter: max(wait, time.Second)}
}

func busy() *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Type: TypeAccessBusy,
		Title: "Too many passwords to check", Detail: "this request was not tried: repeat it",
		RetryAfter: time.Second}
}
