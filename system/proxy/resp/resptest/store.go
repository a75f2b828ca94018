// Package resptest is a store in one process for tests of the Redis protocol and of clients: it
// executes items as the real one does, one at a time, and forgets them when the test ends. It is no
// part of the system: no replication, no ordering, no bounds. It is imported by tests only.
package resptest

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"sync"

	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// Store executes items at once, in the order of the calls, and is a [resp.Backend].
type Store struct {
	// Answer, if set, sees every op before it is executed; if it returns false the op is not executed
	// and the result is the answer.
	Answer func(op *resp.Op) (wire.Result, bool)
	// After, if set, sees every op executed and may change its answer.
	After func(op *resp.Op, r *wire.Result)
	// Defer, if set, gets each batch of answers to deliver later; else they are delivered at once.
	Defer func(deliver func())

	mu       sync.Mutex
	index    uint64
	keys     map[string]entry
	sessions map[uint64]*session
	barriers int
}

type entry struct {
	value    []byte
	revision uint64
}

type session struct {
	low     uint64
	results map[uint64]wire.Result
}

// New makes an empty store.
func New() *Store {
	return &Store{keys: make(map[string]entry), sessions: make(map[uint64]*session)}
}

// Barriers is how many ops came as barrier reads.
func (s *Store) Barriers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barriers
}

// Submit executes and answers.
func (s *Store) Submit(_ uint64, ops []resp.Op, c resp.Completer) {
	done := make([]resp.Done, len(ops))
	s.mu.Lock()
	for i := range ops {
		done[i] = resp.Done{Tag: ops[i].Tag, Result: s.one(&ops[i])}
	}
	s.mu.Unlock()
	if s.Defer != nil {
		s.Defer(func() { c.Complete(done) })
		return
	}
	c.Complete(done)
}

func (s *Store) one(op *resp.Op) wire.Result {
	if op.Barrier {
		s.barriers++
	}
	if s.Answer != nil {
		if r, execute := s.Answer(op); !execute {
			return r
		}
	}
	r := s.inSession(&op.Item)
	if s.After != nil {
		s.After(op, &r)
	}
	return r
}

// inSession executes an item at most once under its session's number.
func (s *Store) inSession(it *wire.Item) wire.Result {
	s.index++
	if !it.HasSession {
		return s.execute(it)
	}
	in, ok := s.sessions[it.Session]
	if !ok {
		return wire.Result{Status: wire.StatusSessionUnknown}
	}
	in.low = max(in.low, it.Low)
	for number := range in.results {
		if number < in.low {
			delete(in.results, number)
		}
	}
	if r, ok := in.results[it.Number]; ok {
		return r
	}
	if it.Number < in.low {
		return wire.Result{Status: wire.StatusSessionForgotten}
	}
	r := s.execute(it)
	r.Value = bytes.Clone(r.Value)
	in.results[it.Number] = r
	return r
}

func (s *Store) execute(it *wire.Item) wire.Result {
	old, existed := s.keys[string(it.Key)]
	r := wire.Result{Existed: existed, Revision: old.revision}
	if it.Previous {
		r.Value = old.value
	}
	switch it.Op {
	case wire.OpPut:
		if it.Present && !existed {
			r.Status = wire.StatusNotFound
			return r
		}
		return s.put(it, it.Value, r)
	case wire.OpGet:
		return get(it, old, r)
	case wire.OpDelete:
		if !existed {
			r.Status = wire.StatusNotFound
		}
		r.Revision = 0
		delete(s.keys, string(it.Key))
		return r
	case wire.OpCAS:
		if old.revision != it.Expect {
			r.Status = wire.StatusMismatch
			return r
		}
		return s.put(it, it.Value, r)
	case wire.OpIncr:
		return s.incr(it, old, r)
	case wire.OpAppend:
		return s.append(it, old, r)
	}
	return s.wide(it)
}

// wide executes what concerns more than one key, or none.
func (s *Store) wide(it *wire.Item) wire.Result {
	switch it.Op {
	case wire.OpMulti:
		return s.multi(it)
	case wire.OpScan:
		return s.scan(it)
	case wire.OpSession:
		s.sessions[s.index] = &session{results: make(map[uint64]wire.Result)}
		return wire.Result{Number: int64(s.index)}
	case wire.OpCount:
		return wire.Result{Number: int64(len(s.keys))}
	}
	return wire.Result{Status: wire.StatusMalformed}
}

func (s *Store) put(it *wire.Item, value []byte, r wire.Result) wire.Result {
	s.keys[string(it.Key)] = entry{bytes.Clone(value), s.index}
	r.Revision = s.index
	return r
}

func get(it *wire.Item, old entry, r wire.Result) wire.Result {
	switch {
	case !r.Existed:
		r.Status = wire.StatusNotFound
	case it.Stat:
		r.Number = int64(len(old.value))
	default:
		r.Value = old.value
	}
	return r
}

func (s *Store) incr(it *wire.Item, old entry, r wire.Result) wire.Result {
	delta, n := int64(binary.LittleEndian.Uint64(it.Value)), int64(0)
	if r.Existed {
		var err error
		n, err = strconv.ParseInt(string(old.value), 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != string(old.value) {
			r.Status = wire.StatusNotInteger
			return r
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		r.Status = wire.StatusOverflow
		return r
	}
	r.Number = n + delta
	return s.put(it, strconv.AppendInt(nil, r.Number, 10), r)
}

func (s *Store) append(it *wire.Item, old entry, r wire.Result) wire.Result {
	value := slices.Concat(old.value, it.Value)
	if len(value) > wire.MaxValue {
		r.Status = wire.StatusTooLong
		return r
	}
	r.Number = int64(len(value))
	return s.put(it, value, r)
}

func (s *Store) multi(it *wire.Item) wire.Result {
	var all wire.Result
	for rest := it.Value; len(rest) > 0; {
		var one wire.Item
		n, ok := wire.DecodeItem(rest, &one)
		if !ok {
			return wire.Result{Status: wire.StatusMalformed}
		}
		r := s.execute(&one)
		if r.Status == wire.StatusOK {
			all.Number++
		}
		all.Value = wire.AppendResult(all.Value, &r)
		rest = rest[n:]
	}
	all.Revision = s.index
	return all
}

type found struct {
	key  string
	rank uint64 // by hash: a key's place, never 0
}

func (s *Store) scan(it *wire.Item) wire.Result {
	var a wire.ScanArgs
	if !wire.DecodeScan(it.Value, &a) {
		return wire.Result{Status: wire.StatusMalformed}
	}
	var all []found
	for k := range s.keys {
		f := found{key: k}
		if a.Order == wire.ScanByHash {
			h := fnv.New64a()
			_, _ = h.Write([]byte(k))
			f.rank = h.Sum64()>>1 + 1
		}
		after := a.Order == wire.ScanByHash && f.rank > a.Cursor || a.Order == wire.ScanByKey && k > string(a.After)
		if after && bytes.HasPrefix([]byte(k), it.Key) {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(x, y found) int {
		if x.rank != y.rank {
			return int(min(max(int64(x.rank-y.rank), -1), 1))
		}
		return bytes.Compare([]byte(x.key), []byte(y.key))
	})
	return s.page(all, &a)
}

func (s *Store) page(all []found, a *wire.ScanArgs) (r wire.Result) {
	if r.More = len(all) > int(a.Limit); r.More {
		all = all[:a.Limit]
		r.Revision = all[len(all)-1].rank
	}
	for _, f := range all {
		e := wire.ScanEntry{Key: []byte(f.key), Revision: s.keys[f.key].revision}
		if a.Values {
			e.Value = s.keys[f.key].value
		}
		r.Value = wire.AppendScanEntry(r.Value, &e)
	}
	r.Number = int64(len(all))
	return r
}
