package device

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"metronome/system/device/queue"
)

// maxReply bounds what is read of a reply, in bytes.
const maxReply = 4 << 20

const problemPrefix = "urn:metronome:problem:"

// call is one exchange with an edge.
type call struct {
	method, path, key string // key: Idempotency-Key
	contentType       string
	body              []byte
}

// answered is what came back, of an edge or of whatever answers in its place.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends a request to one edge. Redirects are not followed: a write must not change its
// address.
func (r *remote) exchange(ctx context.Context, base string, c *call) (*answered, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, base+c.path, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, err
	}
	return &answered{resp.StatusCode, resp.Header, body}, nil
}

// problem is an error reply of an edge (RFC 9457), and what it adds.
type problem struct {
	Type      string    `json:"type"`
	Title     string    `json:"title"`
	Detail    string    `json:"detail"`
	Status    int       `json:"status"`
	Retryable bool      `json:"retryable"`
	High      uint64    `json:"hwm"`
	Epoch     uint64    `json:"epoch"`
	Home      string    `json:"home"`
	Index     *int      `json:"index"`
	Failures  []failure `json:"failures"`
	Cause     *failure  `json:"cause"`
}

type failure struct {
	Index  int    `json:"index"`
	Status int    `json:"status"`
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// problem takes an error reply apart; nil if it is none of an edge's. A login page is no refusal.
func (a *answered) problem() *problem {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	p := new(problem)
	if err != nil || kind != "application/problem+json" || json.Unmarshal(a.body, p) != nil ||
		!strings.HasPrefix(p.Type, problemPrefix) {
		return nil
	}
	p.Type = strings.TrimPrefix(p.Type, problemPrefix)
	return p
}

func (p *problem) text() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// reply says what an error reply means for a request.
func (p *problem) reply(status int) *queue.Reply {
	r := &queue.Reply{High: p.High, Epoch: p.Epoch, Why: fmt.Sprintf("%d %s: %s", status, p.Type, p.text())}
	switch {
	case p.Type == "sequence-gap":
		r.Outcome = queue.Gap
	case p.Type == "fenced", p.Type == "session-cloned":
		r.Outcome = queue.Fenced
	case p.Type == "idempotency-key-reused":
		r.Outcome = queue.Stale
	case len(p.Failures) > 0 || p.Index != nil:
		r.Outcome, r.Refusals = queue.Refused, p.refusals(status)
	case status == http.StatusMisdirectedRequest:
		r.Outcome = queue.Elsewhere
		r.Why = "this device's home is " + p.Home
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		r.Outcome = queue.Denied
	case status == http.StatusRequestEntityTooLarge:
		r.Outcome = queue.TooLarge
	case status/100 == 4 && !p.Retryable && !passing(status):
		r.Outcome = queue.Invalid
	}
	return r
}

// passing reports the 4xx that say nothing about the operations: no such route, wrong method,
// time-outs and limits.
func passing(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}

func (p *problem) refusals(status int) []queue.Refusal {
	list := p.Failures
	if len(list) == 0 {
		f := failure{Status: status, Type: p.Type, Title: p.Title, Detail: p.Detail}
		if p.Cause != nil {
			f = *p.Cause
		}
		f.Index = *p.Index
		list = []failure{f}
	}
	out := make([]queue.Refusal, 0, len(list))
	for _, f := range list {
		why := f.Detail
		if why == "" {
			why = f.Title
		}
		out = append(out, queue.Refusal{Index: f.Index, Status: f.Status, Type: f.Type, Why: why})
	}
	return out
}

// retryAfter reads the header of that name: seconds, or a date, which is not believed.
func retryAfter(h http.Header) int64 {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return int64(min(time.Duration(seconds)*time.Second, time.Hour))
}

// marksBody is the marks member of a reply.
type marksBody struct {
	Edge     *uint64 `json:"edge"`
	BackedUp *uint64 `json:"backed_up"`
	Quorum   *uint64 `json:"quorum"`
}

func (m *marksBody) marks() (out queue.Marks) {
	for i, at := range []*uint64{m.Edge, m.BackedUp, m.Quorum} {
		if mark := queue.Edge + queue.Mark(i); at != nil {
			out.At[mark], out.Can[mark] = *at, true
		}
	}
	return out
}

type batchReply struct {
	Epoch       uint64    `json:"epoch"`
	High        *uint64   `json:"hwm"`
	Incarnation string    `json:"incarnation"`
	Marks       marksBody `json:"marks"`
	Results     []struct {
		Seq       uint64 `json:"seq"`
		Status    int    `json:"status"`
		Revision  uint64 `json:"revision"`
		ETag      string `json:"etag"`
		Duplicate bool   `json:"duplicate"`
	} `json:"results"`
}

// parse reads a success. ok is false if it is none of an edge's.
func (b *batchReply) parse(a *answered) (*queue.Reply, bool) {
	if json.Unmarshal(a.body, b) != nil || b.High == nil || a.header.Get("X-Edge-Incarnation") == "" {
		return nil, false
	}
	r := &queue.Reply{Outcome: queue.Accepted, High: *b.High, Marks: b.Marks.marks(),
		Edge: a.header.Get("X-Served-By"), Incarnation: a.header.Get("X-Edge-Incarnation")}
	for _, res := range b.Results {
		revision := res.Revision
		if revision == 0 {
			revision, _ = strconv.ParseUint(strings.Trim(res.ETag, `"`), 10, 64)
		}
		r.Results = append(r.Results, queue.Result{Number: res.Seq, Status: res.Status, Revision: revision,
			Duplicate: res.Duplicate})
	}
	return r, true
}

// appendBatch writes the body of a batch.
func appendBatch(dst []byte, b *queue.Batch) []byte {
	dst = appendSession(dst, &b.Session)
	dst = fmt.Appendf(dst, `,"prev":%d,"last":%d,"mode":"atomic","ops":[`, b.Prev, b.Last)
	for i := range b.Ops {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendOp(dst, &b.Ops[i])
	}
	return append(dst, "]}"...)
}

func appendSession(dst []byte, s *queue.Session) []byte {
	return fmt.Appendf(dst, `{"session":"%x","instance":"%x","epoch":%d`, s.ID, s.Instance, s.Epoch)
}

func appendOp(dst []byte, op *queue.Op) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, op.Number, 10)
	dst = append(dst, `,"op":"`...)
	dst = append(dst, op.Kind.String()...)
	dst = appendBytes(append(dst, `","key`...), op.Key)
	if op.Kind == queue.KindPut {
		dst = appendBytes(append(dst, `,"value`...), op.Value)
	}
	switch op.Cond {
	case queue.IfMatch:
		dst = fmt.Appendf(dst, `,"if_match":"%d"`, op.Match)
	case queue.IfPresent:
		dst = append(dst, `,"if_match":"*"`...)
	case queue.IfAbsent:
		dst = append(dst, `,"if_none_match":"*"`...)
	}
	return append(dst, '}')
}

// appendBytes writes the rest of a member's name and the bytes: as they are if they are plain text.
func appendBytes(dst, b []byte) []byte {
	if plainText(b) {
		dst = append(append(dst, `":"`...), b...)
		return append(dst, '"')
	}
	dst = append(dst, `_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// plainText reports whether b needs no escaping in JSON.
func plainText(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c == '"' || c == '\\' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}

func batchKey(b *queue.Batch) string {
	return hex.EncodeToString(b.Session.ID[:]) + "-" + strconv.FormatUint(b.Last, 10)
}

// timedOut reports whether an exchange failed for want of time: fewer operations may do better.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
