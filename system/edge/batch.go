package edge

import (
	"errors"
	"mime"
	"net/http"
	"strconv"
)

// maxBatchBody bounds a batch's JSON: MaxBatchBytes in base64, and keys of which every byte is escaped.
const maxBatchBody = 4 << 20

func (s *Server) batch(c *call) error {
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return NewProblem("unsupported-media-type", "Batches are application/json.")
	}
	if err := parseQuery(c).err(); err != nil {
		return err
	}
	body, release, err := s.body(c, maxBatchBody)
	if err != nil {
		return err
	}
	defer release()
	b, err := decodeBatch(body)
	if err != nil {
		return err
	}
	if err := s.identify(c, b); err != nil {
		return err
	}
	for i := range b.Ops {
		b.Ops[i].Refused = s.judge(c, &b.Ops[i])
	}
	out, err := s.cfg.Store.Apply(c.r.Context(), b)
	if err != nil {
		return s.batchProblem(err)
	}
	s.metrics.results(out.Results)
	s.head(c, out.Revision)
	return c.json(s.appendOutcome(make([]byte, 0, 256+64*len(out.Results)), out))
}

// identify says whose batch it is, and holds it to its Idempotency-Key. With that header Go's transport
// repeats a request by itself when a connection breaks.
func (s *Server) identify(c *call, b *Batch) error {
	if b.Sender == nil {
		return nil
	}
	b.Sender.Client = c.who.Name
	want := b.Sender.Session + "-" + strconv.FormatUint(b.Sender.Last, 10)
	switch given := c.r.Header.Get("Idempotency-Key"); given {
	case want, `"` + want + `"`:
		return nil
	case "":
		return NewProblem("idempotency-key-missing", "Send Idempotency-Key: "+want+".")
	}
	return NewProblem("idempotency-key-invalid", "It is the session, a dash and the last number: "+want+".")
}

// judge refuses what needs no look at the data.
func (s *Server) judge(c *call, op *Op) Verdict {
	verb := VerbWrite
	if op.Kind == Delete {
		verb = VerbDelete
	}
	switch {
	case CheckKey(op.Key) != nil:
		return BadKey
	case c.who.require(verb, op.Key) != nil:
		return Forbidden
	case len(op.Value) > MaxValue:
		return TooLarge
	case s.conditional(op):
		return NoCondition
	}
	return 0
}

// batchProblem adds to an error where the session is.
func (s *Server) batchProblem(err error) error {
	var fault *SessionFault
	var refused *RefusedError
	switch {
	case errors.As(err, &fault):
		return s.with(NewProblem(fault.Code, faultDetail[fault.Code]), &fault.State)
	case errors.As(err, &refused):
		return s.refusedBatch(refused)
	}
	return err
}

var faultDetail = map[string]string{
	"sequence-gap": "The edge's data is older than prev says: it was restored, or lost. Send again from hwm on.",
	"fenced": "The queue was opened again since, under a higher epoch. If it is open twice, close one; " +
		"else open it anew.",
	"session-cloned": "The queue's directory was copied, and both copies are in use: begin a new session here.",
}

func (s *Server) with(p *Problem, state *SessionState) *Problem {
	return p.With("hwm", state.Mark).With("epoch", state.Epoch).
		With("incarnation", s.cfg.Store.Status().Incarnation)
}

// opProblem is a refusal within a batch.
type opProblem struct {
	Index  int    `json:"index"`
	Seq    uint64 `json:"seq,omitempty"`
	Status int    `json:"status"`
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	ETag   string `json:"etag,omitempty"`
}

func opProblemOf(i int, r *Result) *opProblem {
	p := refusal(r)
	o := &opProblem{i, r.Seq, p.Status, URN + p.Code.Code, p.Title, p.Detail, ""}
	if r.Verdict == Mismatch && r.Revision != 0 {
		o.ETag = etag(r.Revision)
	}
	return o
}

// refusedBatch is the problem of an atomic batch: which operation was the first cause, and all that would be.
func (s *Server) refusedBatch(e *RefusedError) *Problem {
	first := e.First()
	var failures []*opProblem
	for i := range e.Results {
		if r := &e.Results[i]; r.Verdict.Refused() && !r.Duplicate {
			failures = append(failures, opProblemOf(i, r))
		}
	}
	s.metrics.operations.WithLabelValues("refused").Add(float64(len(failures)))
	p := NewProblem("batch-refused", "Operation "+strconv.Itoa(first)+" was refused: "+failures[0].Title+".")
	p.Status = failures[0].Status
	p.With("index", first).With("seq", failures[0].Seq).With("cause", failures[0]).With("failures", failures)
	if e.Session != nil {
		s.with(p, e.Session)
	}
	return p
}

// appendOutcome writes a batch's reply.
func (s *Server) appendOutcome(b []byte, out *Outcome) []byte {
	b = append(b, '{')
	if out.Session != nil {
		b = s.appendSession(b, out.Session)
		b = append(b, ',')
	}
	b = append(b, `"revision":`...)
	b = strconv.AppendUint(b, out.Revision, 10)
	b = append(b, `,"incarnation":"`...)
	b = append(b, s.cfg.Store.Status().Incarnation...)
	b = append(b, `","results":[`...)
	for i := range out.Results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, i, &out.Results[i])
	}
	return append(b, "]}\n"...)
}

func appendResult(b []byte, i int, r *Result) []byte {
	b = append(b, '{')
	if r.Seq != 0 {
		b = append(b, `"seq":`...)
		b = append(strconv.AppendUint(b, r.Seq, 10), ',')
	}
	b = append(b, `"status":`...)
	b = strconv.AppendInt(b, int64(r.Verdict.status()), 10)
	if r.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	switch {
	case r.Verdict.Refused():
		b = append(b, `,"problem":`...)
		b = appendJSON(b, opProblemOf(i, r))
	case r.Revision != 0:
		b = append(b, `,"revision":`...)
		b = strconv.AppendUint(b, r.Revision, 10)
		b = append(b, `,"etag":"\"`...)
		b = strconv.AppendUint(b, r.Revision, 10)
		b = append(b, `\""`...)
	}
	return append(b, '}')
}

// appendSession writes the members that tell where a session is.
func (s *Server) appendSession(b []byte, state *SessionState) []byte {
	b = append(b, `"session":"`...)
	b = append(b, state.ID...)
	b = append(b, `","epoch":`...)
	b = strconv.AppendUint(b, state.Epoch, 10)
	b = append(b, `,"hwm":`...)
	b = strconv.AppendUint(b, state.Mark, 10)
	b = append(b, `,"marks":{"edge":`...)
	b = strconv.AppendUint(b, state.Mark, 10)
	for _, m := range []struct {
		name string
		Mark
	}{{"backed_up", state.BackedUp}, {"quorum", state.Quorum}} {
		if m.Known {
			b = append(b, `,"`+m.name+`":`...)
			b = strconv.AppendUint(b, m.At, 10)
		}
	}
	return append(b, '}')
}

// json sends a body of ours.
func (c *call) json(body []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the client is gone if this fails
	}
	return nil
}
