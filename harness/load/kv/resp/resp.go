// Package resp drives stores that speak the Redis protocol (RESP2): Redis, and whatever else takes SET,
// GET and WAIT. A batch is a pipeline: written at once, answered in order.
//
// It is a load generator's client, made to cost as little as redis-benchmark does: commands are
// written straight into the socket's buffer and replies are looked at, not kept. It is NOT a client
// library: programs use go-redis.
package resp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"metronome/harness/load/kv"
)

// Target is a server under load.
type Target struct {
	Addr string // host:port
	// Wait, if positive, ends every batch with WAIT: it is answered once so many replicas have it.
	Wait        int
	WaitTimeout time.Duration // of one WAIT; 0 waits forever
	TLS         *tls.Config   // nil: plain TCP
}

const bufferBytes = 64 << 10

// ErrReplicas says that fewer replicas than asked for acknowledged a batch in time.
var ErrReplicas = errors.New("WAIT: too few replicas have the batch")

type conn struct {
	net     net.Conn
	out     *bufio.Writer
	in      *bufio.Reader
	pending chan *kv.Batch // in flight, oldest first
	wait    []byte         // the WAIT command, or empty
	least   int64
	broken  error // of writing; the reader finds out by itself
	reader  sync.WaitGroup
	scratch []byte
}

// Connect implements [kv.Target].
func (t *Target) Connect(ctx context.Context, _ int, l kv.Load) (kv.Conn, error) {
	var d net.Dialer
	n, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.Addr, err)
	}
	if t.TLS != nil {
		n = tls.Client(n, t.TLS) // the first write shakes hands
	}
	c := &conn{net: n, out: bufio.NewWriterSize(n, bufferBytes), in: bufio.NewReaderSize(n, bufferBytes),
		pending: make(chan *kv.Batch, l.Outstanding), least: int64(t.Wait)}
	if t.Wait > 0 {
		ms := strconv.FormatInt(t.WaitTimeout.Milliseconds(), 10)
		c.wait = fmt.Appendf(nil, "*3\r\n$4\r\nWAIT\r\n$%d\r\n%d\r\n$%d\r\n%s\r\n",
			len(strconv.Itoa(t.Wait)), t.Wait, len(ms), ms)
	}
	c.reader.Go(c.read)
	return c, nil
}

// Send implements [kv.Conn]. It blocks while the socket is full.
func (c *conn) Send(b *kv.Batch) {
	if c.broken != nil {
		b.Done(0, c.broken)
		return
	}
	for i := range b.Ops {
		c.command(&b.Ops[i])
	}
	_, _ = c.out.Write(c.wait)
	c.pending <- b // before the flush: its answer must find it
	if c.broken = c.out.Flush(); c.broken != nil {
		_ = c.net.Close() // ends the reader, which answers what is pending
	}
}

// command writes one command. The writer keeps its first error for Flush to return.
func (c *conn) command(op *kv.Op) {
	if op.Read {
		_, _ = c.out.WriteString("*2\r\n$3\r\nGET\r\n")
		c.bulk(op.Key)
		return
	}
	_, _ = c.out.WriteString("*3\r\n$3\r\nSET\r\n")
	c.bulk(op.Key)
	c.bulk(op.Value)
}

func (c *conn) bulk(b []byte) {
	c.scratch = append(c.scratch[:0], '$')
	c.scratch = strconv.AppendInt(c.scratch, int64(len(b)), 10)
	c.scratch = append(c.scratch, "\r\n"...)
	_, _ = c.out.Write(c.scratch)
	_, _ = c.out.Write(b)
	_, _ = c.out.WriteString("\r\n")
}

// read answers batches in order until the connection ends, then fails the rest.
func (c *conn) read() {
	var broken error
	for b := range c.pending {
		if broken != nil {
			b.Done(0, broken)
			continue
		}
		ok, refused, err := c.replies(b)
		if err != nil {
			broken = fmt.Errorf("connection to %s: %w", c.net.RemoteAddr(), err)
			_ = c.net.Close()
			ok, refused = 0, broken
		}
		b.Done(ok, refused)
	}
}

// replies reads a batch's replies: how many were good, why others were not, and whether the
// connection is done for.
func (c *conn) replies(b *kv.Batch) (ok int, refused, err error) {
	for range b.Ops {
		_, bad, err := c.reply()
		if err != nil {
			return 0, nil, err
		}
		if bad != nil {
			refused = bad
			continue
		}
		ok++
	}
	if len(c.wait) == 0 {
		return ok, refused, nil
	}
	n, bad, err := c.reply()
	if bad == nil && n < c.least {
		bad = ErrReplicas
	}
	if bad != nil {
		return 0, bad, err
	}
	return ok, refused, err
}

// reply reads one reply: its number if it is one, and the server's error if it is one.
func (c *conn) reply() (n int64, refused, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 3 {
		return 0, nil, fmt.Errorf("not a reply: %q", line)
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return 0, nil, nil
	case '-':
		return 0, failure(text), nil
	case ':':
		n, err = strconv.ParseInt(string(text), 10, 64)
		return n, nil, err
	case '$':
		size, err := strconv.Atoi(string(text))
		if err != nil || size < -1 || size > kv.MaxValueBytes {
			return 0, nil, fmt.Errorf("not a reply: %q", line)
		}
		if size >= 0 { // -1: the key is not there, which is an answer
			_, err = c.in.Discard(size + 2)
		}
		return 0, nil, err
	}
	return 0, nil, fmt.Errorf("not a reply: %q", line)
}

// retryable are the errors' first words that promise that nothing was executed.
var retryable = [][]byte{[]byte("BUSY"), []byte("TRYAGAIN"), []byte("LOADING"), []byte("CLUSTERDOWN")}

func failure(text []byte) error {
	word, _, _ := bytes.Cut(text, []byte(" "))
	for _, r := range retryable {
		if bytes.Equal(word, r) {
			return fmt.Errorf("%w: %s", kv.ErrBusy, text)
		}
	}
	return fmt.Errorf("the server said %q", text)
}

// Close implements [kv.Conn].
func (c *conn) Close() error {
	close(c.pending)
	err := c.net.Close()
	c.reader.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil // it broke before, and the batches said so
	}
	return err
}
