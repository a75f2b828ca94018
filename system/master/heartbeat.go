package master

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"metronome/system/access/pki"
	"metronome/system/master/phi"
)

// beating bounds how many edges are asked at once.
const beating = 16

// newBeater makes the client that asks edges for signs of life. It follows nobody elsewhere.
func (m *Master) newBeater() *http.Client {
	config := m.cfg.Keeper.ClientTLS(pki.Policy{Roles: []pki.Role{pki.Edge}})
	return &http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true,
			IdleConnTimeout: 2 * time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// heartbeats asks all edges, again and again, at times that jitter so that masters and edges do not
// fall into step.
func (m *Master) heartbeats(ctx context.Context) {
	for {
		wait := m.cfg.Heartbeat*9/10 + rand.N(m.cfg.Heartbeat/5+1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		m.beat(ctx)
	}
}

// beat asks each edge once.
func (m *Master) beat(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, beating)
	for _, b := range m.all() {
		url := b.livez()
		if url == "" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if m.ask(ctx, b.name, url) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.beats.Heard(m.cfg.Mono())
			}
		})
	}
	wg.Wait()
}

// livez is where an edge is asked: what it reported as its address, if that is HTTPS.
func (b *member) livez() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.report == nil || !b.record.Revoked.IsZero() {
		return ""
	}
	u, err := url.Parse(b.report.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	if b.beats == nil {
		b.beats = phi.New(phi.Config{Promise: int64(b.m.cfg.Heartbeat)})
		b.beats.Recall(nil, b.m.cfg.Mono(), 0)
	}
	return "https://" + u.Host + "/livez"
}

// ask reports whether an edge answers. Any answer will do: it is the certificate behind it that
// counts.
func (m *Master) ask(ctx context.Context, edge, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := m.beater.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10)
	peer, err := m.cfg.Keeper.Client(resp.TLS, pki.Policy{Roles: []pki.Role{pki.Edge}, ID: edge})
	return err == nil && peer.Name.ID == edge
}
