package store

import (
	"slices"

	"github.com/zeebo/xxh3"

	"metronome/internal/mutate"
	"metronome/system/wire"
)

// sessions makes operations exactly-once (R24). All decisions about which item may run are made in
// Prepare, in the items' order; all keeping, replaying and forgetting of results in Finish, in the same
// order: a replay may find its original in the same batch, and neither depends on where batches end.
type sessions struct {
	cfg            *Config
	byID           map[uint64]*session // looked up, never ranged over
	oldest, newest *session            // by the index of the last use, then id
	sum            uint64              // of all heads and results: the state hash's share
	events         []event             // of this batch
	snap           *Snapshot
	capture        uint64 // number of the latest snapshot
}

type session struct {
	id   uint64 // index of the item that opened it
	low  uint64 // the client has every answer below
	used uint64 // index of the last item
	time uint64 // log time of it

	executed ring[uint64]   // Prepare's: numbers
	results  ring[executed] // Finish's: what they answered
	floor    uint64         // Finish's: results below are forgotten
	bytes    int            // of the results' values

	head, sum    uint64 // terms of the marks and of the results
	older, newer *session
	dead         bool
	capture      uint64 // number of the snapshot that has it
	place        int    // in that snapshot
}

// executed is an operation of a session and what it answered.
type executed struct {
	number uint64
	result wire.Result
}

// ring is a sparse array over a sliding range of numbers; the zero value of T is "nothing".
type ring[T any] struct{ items []T }

// at is the place of number n, or nil if the ring never reached that far.
func (r *ring[T]) at(n uint64) *T {
	if len(r.items) == 0 {
		return nil
	}
	return &r.items[n&uint64(len(r.items)-1)]
}

// reach makes room for number n, if nothing below low matters any more; number says which number a
// place holds.
func (r *ring[T]) reach(low, n uint64, number func(*T) uint64) {
	if n-low < uint64(len(r.items)) {
		return
	}
	size := max(4, len(r.items))
	for uint64(size) <= n-low {
		size *= 2
	}
	old := r.items
	r.items = make([]T, size)
	for i := range old {
		if m := number(&old[i]); m >= low && m != 0 {
			*r.at(m) = old[i]
		}
	}
}

func itself(n *uint64) uint64     { return *n }
func numberOf(e *executed) uint64 { return e.number }

func (s *session) has(n uint64) bool {
	if mutate.On(mutate.HighestNumberOnly) {
		for m := n; m < n+uint64(len(s.executed.items)); m++ {
			if e := s.executed.at(m); e != nil && *e == m {
				return true
			}
		}
		return false
	}
	e := s.executed.at(n)
	return e != nil && *e == n
}

// event is what Finish must do for a session.
type event struct {
	session *session
	low     uint64 // forget results below
	number  uint64 // 0: nothing but the low mark
	answer  int    // in batch.answers
	replay  bool   // answer from what is stored; else store the answer
}

func newSessions(cfg *Config) sessions {
	return sessions{cfg: cfg, byID: map[uint64]*session{}}
}

func (t *sessions) link(s *session) {
	s.older, s.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = s
	} else {
		t.oldest = s
	}
	t.newest = s
}

func (t *sessions) unlink(s *session) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		t.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		t.newest = s.older
	}
}

// open begins a session, ending the least recently used one if there are too many.
func (t *sessions) open(id, time uint64) {
	if len(t.byID) >= t.cfg.MaxSessions {
		t.end(t.oldest)
	}
	s := &session{id: id, low: 1, floor: 1, capture: t.capture}
	t.byID[id] = s
	t.link(s)
	t.mark(s, id, time, 1)
}

func (t *sessions) end(s *session) {
	t.preserve(s)
	t.unlink(s)
	delete(t.byID, s.id)
	t.sum -= s.head + s.sum
	s.dead = true
}

// expire ends sessions idle for too long.
func (t *sessions) expire(now, before uint64) {
	if ttl := t.cfg.SessionTTL; ttl > 0 && now > ttl {
		before = max(before, now-ttl)
	}
	for t.oldest != nil && t.oldest.time < before {
		t.end(t.oldest)
	}
}

// mark sets what is known of a session besides its results.
func (t *sessions) mark(s *session, index, time, low uint64) {
	s.used, s.time, s.low = index, time, max(s.low, low)
	head := term(s.id, s.used, s.low) + term(s.id, s.time, 1)
	t.sum += head - s.head
	s.head = head
}

// admit decides whether an item may be executed: StatusOK, or why not. replay means that it was
// executed before. reads may be executed again and again; they use up no number.
func (t *sessions) admit(it *wire.Item, index, time uint64, reads bool) (
	s *session, st wire.Status, replay bool,
) {
	s = t.byID[it.Session]
	if s == nil {
		return nil, wire.StatusSessionUnknown, false
	}
	t.preserve(s)
	t.unlink(s)
	t.link(s)
	t.mark(s, index, time, it.Low)
	n := it.Number
	switch {
	case n < s.low:
		return s, wire.StatusSessionForgotten, false
	case n-s.low >= uint64(t.cfg.SessionWindow):
		return s, wire.StatusSessionAhead, false
	case reads:
		return s, wire.StatusOK, false
	case s.has(n):
		return s, wire.StatusOK, true
	}
	s.executed.reach(s.low, n, itself)
	*s.executed.at(n) = n
	return s, wire.StatusOK, false
}

// settle does what the batch's events say, in order.
func (t *sessions) settle(answers []Answer) {
	for i := range t.events {
		e := &t.events[i]
		t.forget(e.session, e.low)
		if e.number == 0 {
			continue
		}
		if r := &answers[e.answer].Result; e.replay {
			*r = e.session.replay(e.number)
		} else {
			t.keep(e.session, e.number, *r)
		}
	}
	clear(t.events)
	t.events = t.events[:0]
}

// forget drops the results below a number.
func (t *sessions) forget(s *session, low uint64) {
	if low <= s.floor {
		return
	}
	for i := range min(low-s.floor, uint64(len(s.results.items))) {
		if e := s.result(s.floor + i); e != nil {
			t.count(s, -e.term(s.id))
			s.bytes -= len(e.result.Value)
			*e = executed{}
		}
	}
	s.floor = low
}

// result is what is stored of number n, or nil.
func (s *session) result(n uint64) *executed {
	if e := s.results.at(n); e != nil && e.number == n && n != 0 {
		return e
	}
	return nil
}

func (t *sessions) count(s *session, term uint64) {
	s.sum += term
	if !s.dead {
		t.sum += term
	}
}

// keep stores what an operation answered. A value beyond the session's bound is left out, and a replay
// then says StatusResultGone: executed, and everything but the value.
func (t *sessions) keep(s *session, n uint64, r wire.Result) {
	s.results.reach(s.floor, n, numberOf)
	e := executed{number: n, result: r}
	if s.bytes+len(r.Value) > t.cfg.MaxResultBytes {
		e.result.Status, e.result.Value = wire.StatusResultGone, nil
	} else {
		e.result.Value = slices.Clone(r.Value)
	}
	s.bytes += len(e.result.Value)
	t.count(s, e.term(s.id))
	*s.results.at(n) = e
}

// replay is what an operation answered when it was executed.
func (s *session) replay(n uint64) wire.Result {
	if e := s.result(n); e != nil {
		return e.result
	}
	return wire.Result{Status: wire.StatusSessionForgotten}
}

// term is a stored result's share of the state hash.
func (e *executed) term(session uint64) uint64 {
	flags := uint64(e.result.Status)<<2 | b2u(e.result.Existed)<<1 | b2u(e.result.More)
	return term(session^flags<<48, e.number, xxh3.Hash(e.result.Value)+
		term(e.result.Revision, uint64(e.result.Number), flags))
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (t *sessions) bytes() int {
	n := len(t.byID) * 256
	for s := t.oldest; s != nil; s = s.newer {
		n += s.bytes + len(s.executed.items)*8 + len(s.results.items)*80
	}
	return n
}
