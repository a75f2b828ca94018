package edge

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
)

// octets is the type of a value put without one.
const octets = "application/octet-stream"

// key reads the key of a request, and judges the right to it.
func (c *call) key(verb Verb) ([]byte, error) {
	key, err := ParseKey(c.tail)
	if err != nil {
		return nil, NewProblem("invalid-key", "Not a key: "+err.Error()+".")
	}
	return key, c.who.require(verb, key)
}

// head writes what every reply about data says.
func (s *Server) head(c *call, revision uint64) {
	status := s.cfg.Store.Status()
	h := c.w.Header()
	h.Set("X-Revision", strconv.FormatUint(max(revision, status.Revision), 10))
	h.Set("X-Staleness-Ms", strconv.FormatInt(status.Staleness.Milliseconds(), 10))
	if status.BackedUp.Known {
		h.Set("X-Backed-Up-Revision", strconv.FormatUint(status.BackedUp.At, 10))
	}
}

// patience bounds a read that waits for a revision.
func (s *Server) patience(c *call, r Read) (context.Context, context.CancelFunc) {
	if r.Level == Local {
		return c.r.Context(), func() {}
	}
	return context.WithTimeout(c.r.Context(), s.cfg.Limits.SessionWait)
}

func (s *Server) getKey(c *call) error {
	key, err := c.key(VerbRead)
	if err != nil {
		return err
	}
	q := parseQuery(c, "consistency")
	read := q.read(c)
	known, err := condition(c.r.Header, "If-None-Match", true)
	wanted, err2 := condition(c.r.Header, "If-Match", false)
	if err := errors.Join(q.err(), err, err2); err != nil {
		return err
	}
	ctx, cancel := s.patience(c, read)
	defer cancel()
	e, err := s.cfg.Store.Get(ctx, key, read)
	s.head(c, 0)
	switch {
	case errors.Is(err, ErrNotFound) && wanted.Given():
		return mismatch(0)
	case errors.Is(err, ErrNotFound):
		return NewProblem("key-not-found", "The key holds nothing.")
	case err != nil:
		return late(c, err)
	case wanted.Given() && !wanted.Matches(e.Revision):
		return mismatch(e.Revision)
	}
	c.w.Header().Set("ETag", etag(e.Revision))
	if known.Matches(e.Revision) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.value(&e)
}

// late makes a wait of ours that has ended a problem; a client's that has gone away needs none.
func late(c *call, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && c.r.Context().Err() == nil {
		return ErrBehind
	}
	return err
}

// value sends an entry's value as it was put. A browser must not take it for a page of the edge's.
func (c *call) value(e *Entry) error {
	h := c.w.Header()
	h.Set("Content-Type", orOctets(e.Type))
	h.Set("Content-Length", strconv.Itoa(len(e.Value)))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(e.Value) // the client is gone if this fails
	}
	return nil
}

func orOctets(t string) string {
	if t == "" {
		return octets
	}
	return t
}

func mismatch(revision uint64) *Problem {
	p := NewProblem("precondition-failed", "The key holds nothing.")
	if revision != 0 {
		p.Detail = "The key has been changed; its ETag is another now."
		p.With("etag", etag(revision)).With("revision", revision)
		p.Header = http.Header{"Etag": {etag(revision)}}
	}
	return p
}

// conditions reads those of a write.
func (s *Server) conditions(c *call, op *Op) (err error) {
	var err2 error
	op.IfMatch, err = condition(c.r.Header, "If-Match", false)
	op.IfNoneMatch, err2 = condition(c.r.Header, "If-None-Match", false)
	return errors.Join(err, err2)
}

// conditional reports whether a write to a key must have a condition, and op has none.
func (s *Server) conditional(op *Op) bool {
	if op.IfMatch.Given() || op.IfNoneMatch.Given() {
		return false
	}
	for _, prefix := range s.cfg.Conditional {
		if bytes.HasPrefix(op.Key, []byte(prefix)) {
			return true
		}
	}
	return false
}

func (s *Server) putKey(c *call) error {
	key, err := c.key(VerbWrite)
	if err != nil {
		return err
	}
	op := Op{Kind: Put, Key: key, Type: c.r.Header.Get("Content-Type")}
	if !validType(op.Type) {
		return NewProblem("unsupported-media-type", "Content-Type has at most 255 bytes of visible ASCII.")
	}
	body, release, err := s.body(c, MaxValue)
	if err != nil {
		return err
	}
	defer release()
	op.Value = body
	return s.write(c, &op)
}

// validType reports whether a header can carry the type back.
func validType(t string) bool {
	for i := range len(t) {
		if t[i] < ' ' || t[i] > '~' {
			return false
		}
	}
	return len(t) <= MaxType
}

func (s *Server) deleteKey(c *call) error {
	key, err := c.key(VerbDelete)
	if err != nil {
		return err
	}
	return s.write(c, &Op{Kind: Delete, Key: key})
}

// write executes the one operation of a request.
func (s *Server) write(c *call, op *Op) error {
	if err := errors.Join(s.conditions(c, op), parseQuery(c).err()); err != nil {
		return err
	}
	if s.conditional(op) {
		return refusal(&Result{Verdict: NoCondition})
	}
	out, err := s.cfg.Store.Apply(c.r.Context(), &Batch{Ops: []Op{*op}})
	if err != nil {
		return err
	}
	s.head(c, out.Revision)
	r := &out.Results[0]
	if r.Verdict.Refused() {
		return refusal(r)
	}
	if r.Revision != 0 {
		c.w.Header().Set("ETag", etag(r.Revision))
	}
	c.w.WriteHeader(r.Verdict.status())
	return nil
}
