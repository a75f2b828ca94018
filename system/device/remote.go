package device

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"metronome/system/device/queue"
)

// remote is the edges, one of which is current. The sender moves it; reads only look.
type remote struct {
	client         *http.Client
	user, password string
	edges          []string
	timeout        time.Duration

	mu      sync.Mutex
	current int
	names   map[string]string // of the edges that have answered, by address
	body    []byte            // the sender's
}

// newRemote returns nil if there are no edges.
func newRemote(c *Config) *remote {
	if len(c.Edges) == 0 {
		return nil
	}
	client := *c.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := &remote{client: &client, user: c.Client, password: c.Password, timeout: c.Timeout,
		names: map[string]string{}}
	for _, e := range c.Edges {
		r.edges = append(r.edges, strings.TrimSuffix(e, "/"))
	}
	return r
}

func (r *remote) base() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.edges[r.current]
}

// move goes to the edge that a reply names as home, by address or by the name it has answered with, if it is
// one of ours; else to the next one, so that a home that has not answered yet is found by asking around. It
// reports whether that is another. Addresses that are not ours are never followed: our password would go
// there.
func (r *remote) move(reply *queue.Reply) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.current
	r.current = (r.current + 1) % len(r.edges)
	for i, e := range r.edges {
		if reply.Home != "" && (sameAddress(e, reply.Home) || r.names[e] == reply.Home) && i != before {
			r.current = i
		}
	}
	return r.current != before
}

// served notes what an edge calls itself.
func (r *remote) served(base string, h http.Header) {
	if name := h.Get("X-Served-By"); name != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.names[base] = name
	}
}

func sameAddress(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/"))
}

// ask asks what the edge has of a session, by an empty batch: so the edge learns of this life's
// epoch, and an older life is told before it believes anything.
func (r *remote) ask(ctx context.Context, s *queue.Session) *queue.Reply {
	body := append(appendSession(nil, s), `,"prev":0,"mode":"atomic","ops":[]}`...)
	c := &call{method: http.MethodPost, path: "/v1/batch", contentType: "application/json", body: body,
		key: fmt.Sprintf("%x-0", s.ID)}
	return r.do(ctx, c, func(a *answered) *queue.Reply { return understood(a) })
}

func understood(a *answered) *queue.Reply {
	var b batchReply
	if reply, ok := b.parse(a); ok && a.status == http.StatusOK {
		return reply
	}
	return nil
}

// send sends a batch.
func (r *remote) send(ctx context.Context, b *queue.Batch) *queue.Reply {
	r.body = appendBatch(r.body[:0], b)
	c := &call{method: http.MethodPost, path: "/v1/batch", key: batchKey(b), contentType: "application/json",
		body: r.body}
	return r.do(ctx, c, func(a *answered) *queue.Reply {
		if reply := understood(a); reply != nil && reply.High >= b.Last {
			return reply
		}
		return nil
	})
}

// do exchanges and understands: success by understand, errors as problems, anything else as no
// edge's.
func (r *remote) do(ctx context.Context, c *call, understand func(*answered) *queue.Reply) *queue.Reply {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	base := r.base()
	a, err := r.exchange(ctx, base, c)
	if err != nil {
		return &queue.Reply{TimedOut: timedOut(err), Why: err.Error()}
	}
	r.served(base, a.header)
	reply := understand(a)
	if reply == nil {
		reply = a.failure(base)
	}
	reply.RetryAfter = retryAfter(a.header)
	if reply.Edge == "" {
		reply.Edge = base
	}
	return reply
}

func (a *answered) failure(base string) *queue.Reply {
	p := a.problem()
	if p == nil {
		return &queue.Reply{Why: fmt.Sprintf("%s answered %d, and not as an edge does: a proxy or a login page?",
			base, a.status)}
	}
	r := p.reply(a.status)
	r.Home, r.TimedOut = p.Home, a.status == http.StatusRequestTimeout
	return r
}

// get reads a key. found is false, without error, if the edge says that there is none.
func (r *remote) get(ctx context.Context, key string) (value []byte, revision uint64, found bool, err error) {
	a, err := r.exchange(ctx, r.base(), &call{method: http.MethodGet, path: "/v1/kv/" + escapeKey(key)})
	if err != nil {
		return nil, 0, false, err
	}
	p := a.problem()
	switch {
	case a.status == http.StatusOK && a.header.Get("X-Edge-Incarnation") != "":
		_ = json.Unmarshal([]byte(strings.Trim(a.header.Get("ETag"), `"`)), &revision)
		return a.body, revision, true, nil
	case p != nil && p.Type == "key-not-found":
		return nil, 0, false, nil
	case p != nil && !p.Retryable && a.status/100 == 4 && a.status != http.StatusMisdirectedRequest:
		return nil, 0, false, &EdgeError{Status: a.status, Type: p.Type, Why: p.text()}
	}
	return nil, 0, false, fmt.Errorf("%w: %s answered %d", errNoEdge, r.base(), a.status)
}

// escapeKey writes a key as path segments.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
