package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// URN is what the types of all problems begin with.
const URN = "urn:metronome:problem:"

// ProblemType is the media type of errors.
const ProblemType = "application/problem+json"

// Problem is an error in the form of RFC 9457.
type Problem struct {
	Type      string   `json:"type"` // URN and a constant word
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`    // what, why, and what to do
	Retryable bool     `json:"retryable"` // the same request may succeed later
	RequestID string   `json:"request_id,omitempty"`
	Missing   []string `json:"missing,omitempty"` // chunks-missing
	Reach     *uint64  `json:"reach,omitempty"`   // log-gap

	RetryAfter time.Duration `json:"-"`
	Allow      string        `json:"-"`
}

// kinds of problems. Clients know the words: they are never changed.
var kinds = map[string]struct {
	status    int
	title     string
	retryable bool
}{
	"bad-request":         {400, "The request is not understood", false},
	"invalid-body":        {400, "The body is not understood", false},
	"unauthenticated":     {401, "Who is asking is not known", false},
	"forbidden":           {403, "The certificate does not allow this", false},
	"certificate-expired": {403, "The certificate has expired and may only be renewed", false},
	"revoked":             {403, "This edge was revoked", false},
	"token-refused":       {403, "The join token is not accepted", false},
	"no-such-route":       {404, "There is nothing under this path", false},
	"not-found":           {404, "There is no such thing", false},
	"method-not-allowed":  {405, "The path does not know this method", false},
	"timeout":             {408, "The request did not arrive in time", true},
	"fenced":              {409, "Another process backs up this edge", false},
	"log-gap":             {409, "The log does not join what is there", false},
	"chunks-missing":      {409, "Chunks of the backup are missing", false},
	"no-backup":           {409, "There is no such backup to append to", false},
	"running":             {409, "That is running already", true},
	"too-large":           {413, "The request is too large", false},
	"damaged":             {422, "What arrived is not what was sealed", true},
	"foreign-key":         {422, "It was sealed with another key", false},
	"not-covered":         {422, "No backup leads there", false},
	"internal":            {500, "The master made a mistake", true},
	"busy":                {503, "The master is at one of its bounds", true},
	"disk-floor":          {503, "The master has too little free disk space", true},
	"storage-failed":      {503, "The master's storage failed", true},
}

// NewProblem makes a problem of a known word; an unknown one becomes "internal".
func NewProblem(code, detail string) *Problem {
	k, ok := kinds[code]
	if !ok {
		code, k = "internal", kinds["internal"]
	}
	return &Problem{Type: URN + code, Title: k.title, Status: k.status, Detail: detail, Retryable: k.retryable}
}

// Code is the word.
func (p *Problem) Code() string { return p.Type[min(len(URN), len(p.Type)):] }

// Error says what a person would want to read.
func (p *Problem) Error() string { return fmt.Sprintf("%s: %s", p.Code(), p.Detail) }

// Write sends the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	b, err := json.Marshal(p)
	if err != nil {
		b = []byte(
			`{"type":"` + URN + `internal","title":"The master made a mistake","status":500,"retryable":true}`)
	}
	h.Set("Content-Type", ProblemType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(max(1, int((p.RetryAfter+time.Second-1)/time.Second))))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // the client is gone if this fails
}
