package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond

	// The kernel repeats a lost SYN after 1 s, then 2 s later, and so on: dialling anew finds a network
	// that is whole again sooner.
	connectTimeout = 500 * time.Millisecond
)

// dialLoop keeps a connection to a peer that this side dials.
func (p *peer) dialLoop() {
	pause := firstPause
	for p.t.ctx.Err() == nil {
		l, err := p.dial()
		if err == nil {
			began := time.Now()
			p.serve(l)
			if time.Since(began) > p.t.cfg.Timeout {
				pause = firstPause
			}
		} else if p.t.ctx.Err() == nil {
			p.failures.Add(1)
			p.log("cannot connect", explain(err))
		}
		sleep(p.t.ctx, jitter(pause))
		pause = min(2*pause, lastPause)
	}
}

// acceptLoop serves the connections of a peer that dials us.
func (p *peer) acceptLoop() {
	for {
		select {
		case l := <-p.offers:
			p.serve(l)
		case <-p.t.ctx.Done():
			return
		}
	}
}

func (p *peer) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(p.t.ctx, p.t.handshakeTimeout())
	defer cancel()
	raw, err := (&net.Dialer{KeepAlive: -1, Timeout: connectTimeout}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	tune(raw)
	l, err := p.t.greet(ctx, raw, p.id)
	if !stop() {
		err = fmt.Errorf("no answer from %s within %v", p.addr, p.t.handshakeTimeout())
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return l, nil
}

// handshakeTimeout is longer than Timeout: signatures take their time on a busy machine.
func (t *Transport) handshakeTimeout() time.Duration { return max(2*time.Second, 2*t.cfg.Timeout) }

// jitter spreads pauses, so that peers do not dial a restarted one all at once.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
