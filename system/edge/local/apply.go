package local

import (
	"fmt"
	"time"

	"metronome/system/edge"
)

// apply executes a batch: it judges all, then writes all or nothing.
func (w *writer) apply(b *edge.Batch) (*edge.Outcome, error) {
	w.undo, w.writes, w.arena = w.undo[:0], w.writes[:0], w.arena[:0]
	w.record.reset()
	before := w.state
	row, changed, err := w.admit(b.Sender)
	if err != nil {
		return nil, err
	}
	out := &edge.Outcome{Results: make([]edge.Result, len(b.Ops))}
	refused := false
	for i := range b.Ops {
		if err = w.operate(&b.Ops[i], row, &out.Results[i]); err != nil {
			w.rollback(before)
			return nil, err
		}
		refused = refused || out.Results[i].Verdict.Refused() && !out.Results[i].Duplicate
	}
	if b.Atomic && refused {
		w.rollback(before)
		return nil, w.refusal(b, out.Results)
	}
	if row != nil && b.Sender.Last > row.mark {
		row.move(b.Sender, out.Results, w.s.backedUp.Load())
		changed = true
	}
	if changed || len(w.writes) > 0 {
		err = w.write(b, row, changed, before.revision+1)
	}
	if row != nil {
		state := w.s.describe(row, b.Sender.Client, b.Sender.Session)
		out.Session = &state
	}
	out.Revision = w.state.revision
	return out, err
}

// refusal is the answer to an atomic batch that is not executed.
func (w *writer) refusal(b *edge.Batch, results []edge.Result) error {
	e := &edge.RefusedError{Results: results}
	if b.Sender == nil {
		return e
	}
	row, err := w.row(b.Sender)
	if err != nil {
		return err
	}
	state := w.s.describe(row, b.Sender.Client, b.Sender.Session)
	e.Session = &state
	return e
}

// admit returns a copy of the sender's session, which the batch may change.
func (w *writer) admit(from *edge.Sender) (row *session, changed bool, err error) {
	if from == nil {
		return nil, false, nil
	}
	was, err := w.row(from)
	if err != nil {
		return nil, false, err
	}
	if was.epoch == 0 && w.sessions[from.Client] >= w.s.cfg.Sessions {
		return nil, false, fmt.Errorf("%w (%d)", edge.ErrSessions, w.s.cfg.Sessions)
	}
	row = was.clone()
	changed, err = row.admit(from)
	return row, changed, err
}

// row is a session as it is now; an unknown one is at number 0, epoch 0.
func (w *writer) row(from *edge.Sender) (*session, error) {
	key := sessionKey(from.Client, from.Session)
	if row, ok := w.rows[string(key)]; ok {
		return row, nil
	}
	row := &session{}
	b, err := get(w.s.db, key)
	if err == nil && b != nil {
		err = row.decode(b)
	}
	return row, err
}

// operate judges one operation and executes it in the overlay.
func (w *writer) operate(op *edge.Op, row *session, result *edge.Result) error {
	result.Seq = op.Seq
	if row != nil && op.Seq <= row.mark {
		result.Duplicate, result.Verdict = true, row.verdict(op.Seq)
		w.s.duplicates.Add(1)
		return nil
	}
	if op.Refused != 0 {
		result.Verdict = op.Refused
		return nil
	}
	was, err := w.head(op.Key)
	if err != nil {
		return err
	}
	result.Revision = was.revision
	if result.Verdict = op.Decide(was.revision); result.Verdict != 0 {
		return nil
	}
	w.change(op, was, result)
	return nil
}

func (w *writer) change(op *edge.Op, was head, result *edge.Result) {
	if op.Kind == edge.Delete {
		result.Verdict = edge.Deleted
		if result.Revision = 0; was.revision != 0 {
			w.put(op, was, head{}, nil)
		}
		return
	}
	result.Revision, result.Verdict = w.set(op, was), edge.Replaced
	if was.revision == 0 {
		result.Verdict = edge.Created
	}
}

// set writes an entry and returns the revision it took.
func (w *writer) set(op *edge.Op, was head) uint64 {
	revision := w.state.revision + 1
	entry := w.alloc(entrySize(op))
	sum := putEntry(entry, op, revision)
	size := uint64(len(op.Key) + len(op.Value))
	w.put(op, was, head{revision: revision, sum: sum, size: size}, entry)
	return revision
}

// put takes a revision and notes the change.
func (w *writer) put(op *edge.Op, was, now head, entry []byte) {
	key := string(op.Key)
	w.undo = append(w.undo, undo{key, was})
	w.heads.put(key, now)
	w.state.revision++
	w.state.add(was, now)
	w.writes = append(w.writes, write{op, entry})
	w.record.add(op)
}

// alloc gives room in the arena. When that grows, what was given stays where it is.
func (w *writer) alloc(n int) []byte {
	if cap(w.arena)-len(w.arena) < n {
		w.arena = make([]byte, 0, max(n, 2*cap(w.arena), 64<<10))
	}
	at := len(w.arena)
	w.arena = w.arena[:at+n]
	return w.arena[at : at+n : at+n]
}

// head looks a key up.
func (w *writer) head(key []byte) (head, error) {
	if h, ok := w.heads.get(key); ok {
		return h, nil
	}
	w.key = appendDataKey(w.key[:0], key)
	return readHead(w.s.db, w.key, key)
}

// rollback forgets what the batch did, newest first.
func (w *writer) rollback(before state) {
	for i := len(w.undo) - 1; i >= 0; i-- {
		w.heads.put(w.undo[i].key, w.undo[i].was)
	}
	w.state = before
}

// write adds the batch's changes to the commit. An error here is one of memory: the store stops.
func (w *writer) write(b *edge.Batch, row *session, changed bool, first uint64) error {
	if len(w.writes) == 0 { // the session alone has changed: that takes a revision too
		w.state.revision++
	}
	now := w.now()
	var key, encoded []byte
	if row != nil && changed {
		key = sessionKey(b.Sender.Client, b.Sender.Session)
		encoded = w.keep(key, b.Sender.Client, row, now.Unix())
	}
	return w.book(first, now, key, encoded)
}

// now is when what is being executed happens.
func (w *writer) now() time.Time {
	if !w.time.IsZero() {
		return w.time
	}
	return w.s.cfg.Now()
}

// book puts the changes gathered, and their record, into the commit.
func (w *writer) book(first uint64, now time.Time, key, encoded []byte) error {
	record := w.record.finish(first, w.state.revision, w.state.logTail, now, key, encoded)
	if w.tap != nil {
		w.tap(record)
	}
	w.dirty = true
	err := w.fill(first, record, key, encoded)
	w.state.logTail += uint64(len(record))
	w.log.note(first, w.state.logTail, w.s.cfg.LogBytes)
	w.s.operations.Add(uint64(len(w.writes)))
	if err != nil {
		w.s.fail(err)
	}
	return err
}

func (w *writer) fill(first uint64, record, key, row []byte) error {
	err := w.commit.Set(logKey(first), record, nil)
	if len(key) > 0 && err == nil {
		err = w.commit.Set(key, row, nil)
	}
	for _, c := range w.writes {
		w.key = appendDataKey(w.key[:0], c.op.Key)
		if err != nil {
			return err
		}
		if c.entry == nil {
			err = w.commit.Delete(w.key, nil)
		} else {
			err = w.commit.Set(w.key, c.entry, nil)
		}
	}
	return err
}

// keep notes a session's row for the rest of the group, and returns it encoded.
func (w *writer) keep(key []byte, client string, row *session, now int64) []byte {
	if row.revision == 0 {
		w.sessions[client]++
		w.opened = append(w.opened, client)
	}
	row.written(w.state.revision, now)
	w.rows[string(key)] = row
	return row.encode(nil)
}
