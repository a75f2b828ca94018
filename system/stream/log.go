package stream

import (
	"net"
	"strings"
	"sync"
	"time"
)

// limited lets each key through once in a while, and counts what it held back.
type limited struct {
	mu   sync.Mutex
	last map[string]*occurrence
}

type occurrence struct {
	at   time.Duration
	held int
}

const (
	logEvery = 10 * time.Second
	maxKeys  = 64
)

// allow reports whether to log now, and how many were held back since the last time.
func (l *limited) allow(key string, now time.Duration) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.last[key]; o != nil {
		if now-o.at < logEvery {
			o.held++
			return 0, false
		}
		held, o.at, o.held = o.held, now, 0
		return held, true
	}
	if l.last == nil || len(l.last) >= maxKeys {
		l.last = map[string]*occurrence{}
	}
	l.last[key] = &occurrence{at: now}
	return 0, true
}

// likeness is an error's text without its numbers: every attempt has another port.
func likeness(err error) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
}

func (t *Transport) logStranger(cause string, from net.Addr, err error) {
	if held, ok := t.logs.allow(cause, t.elapsed()); ok {
		t.cfg.Log.Warn("connection turned away", "cause", cause, "from", from, "error", err, "alike_before", held)
	}
}

func (p *peer) log(what string, err error) {
	if held, ok := p.logs.allow(what+likeness(err), p.t.elapsed()); ok {
		p.t.cfg.Log.Warn(what, "peer", p.id, "address", p.addr, "error", err, "alike_before", held)
	}
}
