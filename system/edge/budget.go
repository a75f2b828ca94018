package edge

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

// budget bounds the bytes of bodies held at a time, over all connections.
type budget struct{ free atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.free.Add(-n) >= 0 {
		return true
	}
	b.free.Add(n)
	return false
}

func (b *budget) give(n int64) { b.free.Add(n) }

// body reads a request's body of at most so many bytes; release must be called when it is no longer held.
func (s *Server) body(c *call, most int64) (b []byte, release func(), err error) {
	if c.r.ContentLength > most {
		return nil, nil, &http.MaxBytesError{Limit: most}
	}
	if e := c.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, nil, NewProblem("unsupported-media-type", "Bodies must come without Content-Encoding.")
	}
	n := c.r.ContentLength
	if n < 0 {
		n = most
	}
	if !s.bodies.take(n) {
		return nil, nil, NewProblem("busy", "Too many bodies are being received.")
	}
	b, err = readBody(c, most)
	if err != nil {
		s.bodies.give(n)
		return nil, nil, err
	}
	return b, func() { s.bodies.give(n) }, nil
}

func readBody(c *call, most int64) (b []byte, err error) {
	in := http.MaxBytesReader(c.w, c.r.Body, most)
	if n := c.r.ContentLength; n >= 0 {
		b = make([]byte, n)
		_, err = io.ReadFull(in, b)
	} else {
		b, err = io.ReadAll(in)
	}
	var large *http.MaxBytesError
	switch {
	case err == nil || errors.As(err, &large):
		return b, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, NewProblem("timeout", "The body did not arrive in time.")
	}
	return nil, NewProblem("bad-request", "The body ended early, or is not well-formed.")
}
