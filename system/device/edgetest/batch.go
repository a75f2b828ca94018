package edgetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

func (e *Edge) batch(w http.ResponseWriter, r *http.Request) {
	var b batch
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.Mode != "atomic" ||
		!strings.HasPrefix(r.Header.Get("Idempotency-Key"), b.Session+"-") {
		Problem(w, 400, "invalid-batch", nil)
		return
	}
	s := e.state.Sessions[b.Session]
	state := map[string]any{"hwm": s.High, "epoch": s.Epoch}
	switch {
	case b.Epoch < s.Epoch:
		Problem(w, 409, "fenced", state)
	case b.Epoch == s.Epoch && b.Instance != s.Instance:
		Problem(w, 409, "session-cloned", state)
	case b.Prev > s.High:
		Problem(w, 409, "sequence-gap", state)
	default:
		e.execute(w, &b, s)
	}
}

// execute executes all of a batch or nothing.
func (e *Edge) execute(w http.ResponseWriter, b *batch, s Session) {
	t := trial{edge: e, session: b.Session, history: len(e.state.History), before: map[string]*Entry{}}
	e.state.Revision++
	var failures, results []map[string]any
	for i := range b.Ops {
		op := &b.Ops[i]
		if op.Seq <= s.High {
			results = append(results, map[string]any{"seq": op.Seq, "status": 204, "duplicate": true})
			continue
		}
		status := t.apply(op)
		results = append(results, map[string]any{"seq": op.Seq, "status": status, "revision": e.state.Revision})
		if status >= 400 {
			failures = append(failures, map[string]any{"index": i, "seq": op.Seq, "status": status,
				"type": "urn:metronome:problem:precondition-failed", "title": "refused"})
		}
	}
	if len(failures) > 0 {
		t.undo()
		Problem(w, failures[0]["status"].(int), "batch-refused", map[string]any{
			"index": failures[0]["index"], "failures": failures, "hwm": s.High})
		return
	}
	for i := range b.Ops {
		b.Last = max(b.Last, b.Ops[i].Seq)
	}
	s = Session{High: max(s.High, b.Last), Epoch: b.Epoch, Instance: b.Instance}
	e.state.Sessions[b.Session] = s
	reply(w, map[string]any{"session": b.Session, "epoch": b.Epoch, "hwm": s.High, "revision": e.state.Revision,
		"incarnation": e.incarnation, "results": results, "marks": e.marks(b.Session, s.High)})
}

// trial is a batch being executed, and what it takes to undo it.
type trial struct {
	edge    *Edge
	session string
	history int
	before  map[string]*Entry
}

func (t *trial) undo() {
	s := &t.edge.state
	s.History = s.History[:t.history]
	for key, entry := range t.before {
		if delete(s.Values, key); entry != nil {
			s.Values[key] = *entry
		}
	}
}

// apply executes one operation and returns its status.
func (t *trial) apply(op *Op) int {
	s, key := &t.edge.state, op.Name()
	entry, there := s.Values[key]
	if status := t.edge.judge(op, entry, there); status != 0 {
		return status
	}
	if _, noted := t.before[key]; !noted {
		t.before[key] = nil
		if there {
			t.before[key] = &entry
		}
	}
	s.History = append(s.History, Applied{t.session, op.Seq, op.Op, key, op.Content()})
	if op.Op == "delete" {
		delete(s.Values, key)
		return http.StatusNoContent
	}
	s.Values[key] = Entry{op.Content(), s.Revision}
	if there {
		return http.StatusNoContent
	}
	return http.StatusCreated
}

// judge returns the status of an operation that is refused, else 0.
func (e *Edge) judge(op *Op, entry Entry, there bool) int {
	if e.refuse != nil {
		if status := e.refuse(op); status != 0 {
			return status
		}
	}
	match, revision := strings.Trim(op.IfMatch, `"`), strconv.FormatUint(entry.Revision, 10)
	switch {
	case match == "*" && !there, match != "" && match != "*" && match != revision,
		op.IfNoneMatch == "*" && there:
		return http.StatusPreconditionFailed
	}
	return 0
}
