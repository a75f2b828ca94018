package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// overflow is how many connections beyond the bound are accepted, to tell them so.
const overflow = 64

// listener bounds connections, and makes the errors that net/http writes itself into problems.
type listener struct {
	net.Listener
	tls     *tls.Config
	limits  *Limits
	metrics *metrics
	slots   chan struct{}
	done    chan struct{}
	once    sync.Once
}

func newListener(l net.Listener, config *tls.Config, limits *Limits, m *metrics) *listener {
	return &listener{Listener: l, tls: config, limits: limits, metrics: m,
		slots: make(chan struct{}, limits.Connections+overflow), done: make(chan struct{})}
}

// Accept implements net.Listener. It waits while there are too many connections.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	raw, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	c := &conn{Conn: raw, raw: raw, listener: l, full: len(l.slots) > l.limits.Connections}
	if l.tls != nil {
		c.Conn = tls.Server(raw, l.tls)
	}
	l.metrics.connections.Add(1)
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// conn is a connection as net/http sees it. It hides TLS, so that it sees what net/http writes.
type conn struct {
	net.Conn
	raw      net.Conn
	listener *listener
	full     bool        // there are too many
	handled  atomic.Bool // a handler's reply is under way: nothing of it may be taken for net/http's own
	ended    atomic.Bool
}

// ConnectionState makes net/http tell handlers about TLS; net/http calls it before it reads anything.
func (c *conn) ConnectionState() (state tls.ConnectionState) {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return state
	}
	deadline := time.Now().Add(c.listener.limits.HeaderTime)
	_ = c.SetDeadline(deadline)
	err := secure.Handshake() // its error comes again when net/http reads
	_ = c.SetDeadline(time.Time{})
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
		return secure.ConnectionState()
	case errors.As(err, &plain) && looksLikeHTTP(plain.RecordHeader):
		p := NewProblem("bad-request", "This port speaks HTTPS: use https:// in the address.")
		_, _ = c.raw.Write(early(p))
	}
	c.listener.metrics.handshakes.Add(1)
	_ = c.raw.Close()
	return state
}

func looksLikeHTTP(header [5]byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET"} {
		if string(header[:]) == method {
			return true
		}
	}
	return false
}

// Write implements net.Conn. What net/http says about requests that it cannot read comes in one write.
func (c *conn) Write(b []byte) (int, error) {
	var p *Problem
	if !c.handled.Load() {
		p = earlyProblem(b)
	}
	if p == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(early(p)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if !c.ended.Swap(true) {
		<-c.listener.slots
		c.listener.metrics.connections.Add(-1)
	}
	return c.Conn.Close()
}

// What net/http's own errors look like.
var (
	replyStart    = []byte("HTTP/1.1 ")
	earlyHeaders  = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	expectFailure = []byte("HTTP/1.1 417 ")
)

var earlyCodes = map[string]string{
	"408": "timeout", "417": "expectation-failed", "431": "headers-too-large", "501": "not-implemented",
	"505": "version",
}

// earlyProblem is what to say instead of what net/http wrote, or nil.
func earlyProblem(b []byte) *Problem {
	if !bytes.HasPrefix(b, replyStart) || len(b) < len(replyStart)+3 {
		return nil
	}
	head, text, found := bytes.Cut(b, earlyHeaders)
	if !bytes.HasPrefix(b, expectFailure) && (!found || bytes.Contains(head, []byte("\r\n"))) {
		return nil
	}
	code, known := earlyCodes[string(b[len(replyStart):len(replyStart)+3])]
	if !known {
		code = "bad-request"
	}
	p := NewProblem(code, "The request cannot be read.")
	if len(text) > 0 {
		p.Detail = "The request cannot be read: " + string(bytes.ToValidUTF8(text, []byte("?"))) + "."
	}
	return p
}

// early is a whole reply, after which the connection ends.
func early(p *Problem) []byte {
	body := p.body("")
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s",
		strconv.Itoa(p.Status)+" "+p.Title, problemType, len(body), body)
}

type connKey struct{}

// withConn lets handlers see what their connection is.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// handling notes that a reply of ours begins, and reports whether the connection is one too many.
func handling(ctx context.Context) (full bool) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if ok {
		c.handled.Store(true)
	}
	return ok && c.full
}

// connState notes that a reply has ended.
func connState(c net.Conn, state http.ConnState) {
	if ours, ok := c.(*conn); ok && state == http.StateIdle {
		ours.handled.Store(false)
	}
}
