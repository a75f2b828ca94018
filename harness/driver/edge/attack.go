package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"metronome/harness/load/kv"
)

// attack is wrong passwords that pour in, open-loop: each at its time, whatever became of those before.
type attack struct {
	url       string
	user      string // whose password is guessed; empty: of names that do not exist
	names     int    // how many such names
	perSecond float64
	clients   []*http.Client // one for each address they come from

	hashed, refused, failed, skipped, flying atomic.Int64

	wg sync.WaitGroup
}

// mostFlying bounds the attempts that wait for an answer.
const mostFlying = 512

// newAttack comes from so many addresses of 127.1.0.0/16, each with connections of its own.
func newAttack(url string, config *tls.Config, addresses int) *attack {
	a := &attack{url: url}
	for i := range addresses {
		from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}
		d := net.Dialer{LocalAddr: from}
		t := &http.Transport{DialContext: d.DialContext, TLSClientConfig: config.Clone(), MaxIdleConnsPerHost: 4}
		a.clients = append(a.clients, &http.Client{Timeout: 30 * time.Second, Transport: t})
	}
	return a
}

// during runs a load that says when the attack is to begin, and ends the attack with it.
func (a *attack) during(ctx context.Context, load func(begin func()) (*kv.Result, error),
) (*kv.Result, error) {
	attacking, calm := context.WithCancel(ctx)
	defer a.close()
	defer a.wg.Wait()
	defer calm()
	var once sync.Once
	return load(func() { once.Do(func() { a.wg.Go(func() { a.pour(attacking) }) }) })
}

// pour sends attempts until ctx ends.
func (a *attack) pour(ctx context.Context) {
	begun := time.Now()
	for n := 0; a.perSecond > 0; n++ {
		due := begun.Add(time.Duration(float64(n) / a.perSecond * float64(time.Second)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		if a.flying.Load() >= mostFlying {
			a.skipped.Add(1)
			continue
		}
		a.flying.Add(1)
		a.wg.Go(func() {
			defer a.flying.Add(-1)
			a.attempt(ctx, n)
		})
	}
}

// attempt is one wrong password.
func (a *attack) attempt(ctx context.Context, n int) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		a.failed.Add(1)
		return
	}
	name := a.user
	if name == "" {
		name = fmt.Sprint("nobody", n%max(1, a.names))
	}
	r.SetBasicAuth(name, fmt.Sprint("wrong-", n))
	answer, err := a.clients[n%len(a.clients)].Do(r)
	if ctx.Err() != nil {
		return // the load is over
	}
	if err != nil {
		a.failed.Add(1)
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		a.hashed.Add(1)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		a.refused.Add(1)
	default:
		a.failed.Add(1)
	}
}

// close drops the connections.
func (a *attack) close() {
	for _, c := range a.clients {
		c.CloseIdleConnections()
	}
}
