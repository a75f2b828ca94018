package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"metronome/harness/load/kv"
)

// bufferBytes of a connection, in either direction.
const bufferBytes = 64 << 10

// dialect is how a store puts operations into HTTP.
type dialect interface {
	// request appends a whole request for the batch.
	request(to []byte, b *kv.Batch) []byte
	// ok says whether a status is success; busy, whether it means "not executed, try again".
	ok(status int, read bool) (ok, busy bool)
}

// httpTarget is a store that speaks HTTP/1.1 over TLS.
type httpTarget struct {
	addr    string
	tls     *tls.Config
	dialect dialect
}

// httpConn is one connection with one request in flight.
type httpConn struct {
	net     net.Conn
	in      *bufio.Reader
	dialect dialect
	scratch []byte
	pending chan *kv.Batch
	reader  sync.WaitGroup
	broken  error // of writing
}

// Connect implements [kv.Target].
func (t *httpTarget) Connect(ctx context.Context, _ int, l kv.Load) (kv.Conn, error) {
	if l.Outstanding != 1 {
		return nil, fmt.Errorf("%d batches in flight on a connection: use 1", l.Outstanding)
	}
	d := tls.Dialer{Config: t.tls}
	n, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.addr, err)
	}
	c := &httpConn{net: n, in: bufio.NewReaderSize(n, bufferBytes), dialect: t.dialect,
		pending: make(chan *kv.Batch, 1)}
	c.reader.Go(c.read)
	return c, nil
}

// Send implements [kv.Conn].
func (c *httpConn) Send(b *kv.Batch) {
	if c.broken != nil {
		b.Done(0, c.broken)
		return
	}
	c.scratch = c.dialect.request(c.scratch[:0], b)
	c.pending <- b // before it is sent: its answer must find it
	if _, c.broken = c.net.Write(c.scratch); c.broken != nil {
		_ = c.net.Close() // ends the reader, which answers what is pending
	}
}

// read answers batches until the connection ends.
func (c *httpConn) read() {
	var broken error
	for b := range c.pending {
		if broken != nil {
			b.Done(0, broken)
			continue
		}
		status, err := c.answer()
		if err != nil {
			broken = fmt.Errorf("read an answer: %w", err)
			b.Done(0, broken)
			continue
		}
		if ok, busy := c.dialect.ok(status, b.Ops[0].Read); ok {
			b.Done(len(b.Ops), nil)
		} else if busy {
			b.Done(0, fmt.Errorf("status %d: %w", status, kv.ErrBusy))
		} else {
			b.Done(0, fmt.Errorf("status %d", status))
		}
	}
}

// answer reads one answer and passes its body.
func (c *httpConn) answer() (status int, err error) {
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, errors.Join(err, r.Body.Close())
}

// Close implements [kv.Conn].
func (c *httpConn) Close() error {
	err := c.net.Close()
	close(c.pending)
	c.reader.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
