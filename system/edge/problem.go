package edge

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// URN is what all types of problems begin with.
const URN = "urn:metronome:problem:"

// problemType is what every media type of an error is.
const problemType = "application/problem+json"

// Code describes one type of problem.
type Code struct {
	Code      string
	Status    int
	Title     string
	Retryable bool // the same request may succeed later
}

// codes is the table of all types. Clients know the codes: they are never changed.
var codes = []Code{
	{"bad-request", 400, "The request is not well-formed HTTP", false},
	{"invalid-key", 400, "The key is not allowed", false},
	{"invalid-query", 400, "The query is not understood", false},
	{"invalid-condition", 400, "A condition is not understood", false},
	{"invalid-body", 400, "The body is not understood", false},
	{"invalid-batch", 400, "The batch contradicts itself", false},
	{"idempotency-key-missing", 400, "The header Idempotency-Key is missing", false},
	{"idempotency-key-invalid", 400, "The header Idempotency-Key is not that of this batch", false},
	{"unauthenticated", 401, "Who is asking is not known", false},
	{"forbidden", 403, "The credentials do not allow this", false},
	{"tls-required", 403, "Passwords are not taken without TLS", false},
	{"key-not-found", 404, "The key holds nothing", false},
	{"session-unknown", 404, "The edge knows no such session", false},
	{"no-such-route", 404, "There is nothing under this path", false},
	{"method-not-allowed", 405, "The path does not know this method", false},
	{"timeout", 408, "The request did not arrive in time", true},
	{"sequence-gap", 409, "The edge has not seen what the client believes it has", false},
	{"fenced", 409, "A later life of this queue has spoken", false},
	{"session-cloned", 409, "Two copies of one queue are in use", false},
	{"cursor-expired", 410, "The listing cannot be continued", false},
	{"watch-trimmed", 410, "Changes so old are no longer kept", false},
	{"precondition-failed", 412, "A condition does not hold", false},
	{"batch-refused", 412, "An operation was refused, so none was executed", false},
	{"too-large", 413, "The request is too large", false},
	{"unsupported-media-type", 415, "The media type is not supported", false},
	{"expectation-failed", 417, "The expectation is not supported", false},
	{"misdirected", 421, "Another edge is home to this client", false},
	{"idempotency-key-reused", 422, "This batch was sent before with other contents", false},
	{"unavailable-here", 422, "This edge's kind of store cannot do that", false},
	{"precondition-required", 428, "Writes to this key must have a condition", false},
	{"rate-limited", 429, "Too many requests", true},
	{"too-many-attempts", 429, "Too many failed attempts", true},
	{"too-many-sessions", 429, "The client has too many sessions", false},
	{"headers-too-large", 431, "The headers are too large", false},
	{"internal", 500, "The edge made a mistake", true},
	{"not-implemented", 501, "The edge does not know this kind of request", false},
	{"access-busy", 503, "Too many passwords are being checked", true},
	{"busy", 503, "The edge is at one of its bounds", true},
	{"disk-floor", 503, "The edge has too little free disk space", true},
	{"not-ready", 503, "The edge is not ready", true},
	{"store-failed", 503, "The edge's store has failed", true},
	{"core-unreachable", 503, "The replicated core cannot be reached", true},
	{"behind", 503, "The edge has not reached that revision", true},
	{"outcome-unknown", 503, "The write may or may not have been executed", true},
	{"version", 505, "The version of HTTP is not supported", false},
}

var byCode = func() map[string]Code {
	m := make(map[string]Code, len(codes))
	for _, c := range codes {
		m[c.Code] = c
	}
	return m
}()

// Codes returns all types of problems.
func Codes() []Code { return append([]Code(nil), codes...) }

// Problem is an error as clients get it, in the form of RFC 9457.
type Problem struct {
	Code
	Detail     string         // what is wrong this time, and what to do
	Members    map[string]any // more, in snake_case
	RetryAfter time.Duration  // 0 = a second, if it is retryable and a 429 or 503
	Header     http.Header    // more of them: WWW-Authenticate, Allow
}

// NewProblem makes a problem of a known code; an unknown one becomes "internal".
func NewProblem(code, detail string) *Problem {
	c, ok := byCode[code]
	if !ok {
		c = byCode["internal"]
	}
	return &Problem{Code: c, Detail: detail}
}

// With adds a member, and returns p.
func (p *Problem) With(name string, value any) *Problem {
	if p.Members == nil {
		p.Members = map[string]any{}
	}
	p.Members[name] = value
	return p
}

// Error says what a person would want to read.
func (p *Problem) Error() string { return p.Code.Code + ": " + p.Detail }

// body is the problem in JSON.
func (p *Problem) body(requestID string) []byte {
	all := maps.Clone(p.Members)
	if all == nil {
		all = map[string]any{}
	}
	all["type"], all["title"], all["status"] = URN+p.Code.Code, p.Title, p.Status
	all["detail"], all["retryable"] = p.Detail, p.Retryable
	if requestID != "" {
		all["request_id"] = requestID
	}
	b, err := json.Marshal(all)
	if err != nil { // a member of a type that JSON has not: a mistake of ours
		b = []byte(`{"type":"` + URN + `internal","title":"The edge made a mistake","status":500,"retryable":true}`)
	}
	return append(b, '\n')
}

// write sends the problem.
func (p *Problem) write(w http.ResponseWriter, r *http.Request, requestID string) {
	h := w.Header()
	h.Del("Etag")
	for name, values := range p.Header {
		h[name] = values
	}
	body := p.body(requestID)
	h.Set("Content-Type", problemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(max(1, int((p.RetryAfter+time.Second-1)/time.Second))))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone if this fails
	}
}

// storeProblems says what a store's errors are to clients. The first that matches counts.
var storeProblems = []struct {
	err  error
	code string
}{
	{ErrBusy, "busy"}, {ErrDiskFloor, "disk-floor"}, {ErrFailed, "store-failed"}, {ErrDamaged, "store-failed"},
	{ErrBehind, "behind"}, {ErrUnreachable, "core-unreachable"}, {ErrUnknown, "outcome-unknown"},
	{ErrHere, "unavailable-here"}, {ErrExpired, "cursor-expired"}, {ErrTrimmed, "watch-trimmed"},
	{ErrReused, "idempotency-key-reused"}, {ErrSessions, "too-many-sessions"},
}

// problemOf makes a problem of any error.
func problemOf(err error) *Problem {
	var p *Problem
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return NewProblem("too-large", "The body may have "+strconv.FormatInt(large.Limit, 10)+" bytes.")
	}
	for _, s := range storeProblems {
		if errors.Is(err, s.err) {
			return NewProblem(s.code, err.Error())
		}
	}
	return NewProblem("internal", "Something failed that should not: the edge's log has it under request_id.")
}
