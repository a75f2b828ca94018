package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// model is the state machine written the plain way: maps, sorting on demand, one item after another.
type model struct {
	cfg      Config
	keys     map[string]modelValue
	sessions map[uint64]*modelSession
	index    uint64
	time     uint64
}

type modelValue struct {
	value    string
	revision uint64
}

type modelSession struct {
	low, used, time uint64
	results         map[uint64]wire.Result
	bytes           int
}

func newModel(cfg Config) *model {
	return &model{cfg: cfg.withDefaults(), keys: map[string]modelValue{}, sessions: map[uint64]*modelSession{}}
}

func (m *model) begin(now, before uint64) {
	m.time = max(m.time, now)
	for id, s := range m.sessions {
		if s.time < before || m.cfg.SessionTTL > 0 && s.time+m.cfg.SessionTTL < m.time {
			delete(m.sessions, id)
		}
	}
}

// apply executes one item and reports whether it is answered.
func (m *model) apply(it *wire.Item, asked bool) (r wire.Result, answered bool) {
	m.index++
	reads := m.readsOnly(it)
	answered = !it.Blind() && (!reads || asked)
	var s *modelSession
	if it.HasSession {
		if s = m.sessions[it.Session]; s == nil {
			return wire.Result{Status: wire.StatusSessionUnknown}, answered
		}
		s.used, s.time, s.low = m.index, m.time, max(s.low, it.Low)
		for n, r := range s.results {
			if n < s.low {
				s.bytes -= len(r.Value)
				delete(s.results, n)
			}
		}
		if it.Number < s.low {
			return wire.Result{Status: wire.StatusSessionForgotten}, answered
		}
		if it.Number-s.low >= uint64(m.cfg.SessionWindow) {
			return wire.Result{Status: wire.StatusSessionAhead}, answered
		}
		if r, ok := s.results[it.Number]; ok && !reads {
			return r, answered
		}
	}
	r = m.execute(it)
	if s != nil && !reads {
		kept := r
		if s.bytes+len(r.Value) > m.cfg.MaxResultBytes {
			kept.Status, kept.Value = wire.StatusResultGone, nil
		}
		s.bytes += len(kept.Value)
		s.results[it.Number] = kept
	}
	return r, answered
}

func (m *model) readsOnly(it *wire.Item) bool {
	switch it.Op {
	case wire.OpGet, wire.OpScan, wire.OpCount:
		return true
	case wire.OpMulti:
		for _, sub := range subItems(it.Value) {
			if sub.Op != wire.OpGet {
				return false
			}
		}
		return len(subItems(it.Value)) > 0
	}
	return false
}

// subItems decodes a multi; none means that it is malformed.
func subItems(b []byte) (items []wire.Item) {
	for len(b) > 0 {
		var it wire.Item
		n, ok := wire.DecodeItem(b, &it)
		known := []wire.Op{wire.OpPut, wire.OpGet, wire.OpDelete}
		if !ok || it.HasSession || it.Fragment || !slices.Contains(known, it.Op) {
			return nil
		}
		items = append(items, it)
		b = b[n:]
	}
	if len(items) > wire.MaxMulti {
		return nil
	}
	return items
}

func (m *model) execute(it *wire.Item) (r wire.Result) {
	switch it.Op {
	case wire.OpCount:
		return wire.Result{Number: int64(len(m.keys))}
	case wire.OpScan:
		return m.scan(it)
	case wire.OpSession:
		if len(m.sessions) >= m.cfg.MaxSessions {
			oldest := uint64(0)
			for id, s := range m.sessions {
				if o := m.sessions[oldest]; o == nil || s.used < o.used || s.used == o.used && id < oldest {
					oldest = id // one and the same item may use a session and open another
				}
			}
			delete(m.sessions, oldest)
		}
		m.sessions[m.index] = &modelSession{low: 1, used: m.index, time: m.time, results: map[uint64]wire.Result{}}
		return wire.Result{Number: int64(m.index)}
	case wire.OpMulti:
		return m.multi(it)
	}
	return m.single(it)
}

func (m *model) multi(it *wire.Item) (r wire.Result) {
	items := subItems(it.Value)
	if items == nil {
		return wire.Result{Status: wire.StatusMalformed}
	}
	for i := range items {
		sub := m.single(&items[i])
		if len(sub.Value) > 0 && len(r.Value)+len(sub.Value) > m.cfg.MaxReplyBytes {
			sub = wire.Result{Status: wire.StatusTooLong, Existed: sub.Existed, Revision: sub.Revision}
		}
		if sub.Status == wire.StatusOK {
			r.Number++
		}
		r.Value = wire.AppendResult(r.Value, &sub)
	}
	return r
}

func (m *model) single(it *wire.Item) (r wire.Result) {
	key := string(it.Key)
	old, exists := m.keys[key]
	set := func(value string) {
		m.keys[key] = modelValue{value, m.index}
		r.Revision = m.index
	}
	if it.Op == wire.OpGet {
		if !exists {
			return wire.Result{Status: wire.StatusNotFound}
		}
		r = wire.Result{Revision: old.revision, Number: int64(len(old.value))}
		if !it.Stat {
			r.Value = []byte(old.value)
		}
		return r
	}
	r.Existed, r.Revision = exists, old.revision
	if it.Previous {
		r.Value = []byte(old.value)
	}
	switch it.Op {
	case wire.OpPut:
		if it.Present && !exists {
			r.Status = wire.StatusNotFound
			return r
		}
		set(string(it.Value))
	case wire.OpDelete:
		r.Revision = 0
		if !exists {
			r.Status = wire.StatusNotFound
		}
		delete(m.keys, key)
	case wire.OpCAS:
		if old.revision != it.Expect {
			r.Status = wire.StatusMismatch
			return r
		}
		set(string(it.Value))
	case wire.OpIncr:
		m.increment(it, old.value, exists, &r, set)
	case wire.OpAppend:
		if len(old.value)+len(it.Value) > wire.MaxValue {
			r.Status, r.Number = wire.StatusTooLong, int64(len(old.value))
			return r
		}
		r.Number = int64(len(old.value) + len(it.Value))
		set(old.value + string(it.Value))
	}
	return r
}

func (m *model) increment(it *wire.Item, old string, exists bool, r *wire.Result, set func(string)) {
	n := int64(0)
	if exists {
		var err error
		if n, err = strconv.ParseInt(old, 10, 64); err != nil || strconv.FormatInt(n, 10) != old {
			r.Status = wire.StatusNotInteger
			return
		}
	}
	sum := big.NewInt(int64(binary.LittleEndian.Uint64(it.Value)))
	if sum.Add(sum, big.NewInt(n)); !sum.IsInt64() {
		r.Status, r.Number = wire.StatusOverflow, n
		return
	}
	r.Number = sum.Int64()
	set(strconv.FormatInt(r.Number, 10))
}

func (m *model) hash(key string) uint64 { return xxh3.HashSeed([]byte(key), m.cfg.Seed) }

func (m *model) scan(it *wire.Item) wire.Result {
	var a wire.ScanArgs
	if !wire.DecodeScan(it.Value, &a) {
		return wire.Result{Status: wire.StatusMalformed}
	}
	var keys []string
	for k := range m.keys {
		keys = append(keys, k)
	}
	if a.Order == wire.ScanByKey {
		slices.Sort(keys)
		return m.scanByKey(keys, string(it.Key), &a)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.hash(a), m.hash(b)), cmp.Compare(a, b))
	})
	return m.scanByHash(keys, string(it.Key), &a)
}

// add appends a key to a scan's answer, unless it is full.
func (m *model) add(r *wire.Result, key string, a *wire.ScanArgs) bool {
	e := wire.ScanEntry{Key: []byte(key), Revision: m.keys[key].revision}
	if a.Values {
		e.Value = []byte(m.keys[key].value)
	}
	next := wire.AppendScanEntry(bytes.Clone(r.Value), &e)
	if r.Number > 0 && (r.Number >= int64(a.Limit) || len(next) > m.cfg.MaxReplyBytes) {
		return false
	}
	r.Value = next
	r.Number++
	return true
}

func (m *model) scanByKey(keys []string, prefix string, a *wire.ScanArgs) (r wire.Result) {
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) || len(a.After) > 0 && k <= string(a.After) {
			continue
		}
		if !m.add(&r, k, a) {
			r.More = true
			break
		}
	}
	return r
}

// scanByHash leaves out the rule for equal hashes: the test's keys have none.
func (m *model) scanByHash(keys []string, prefix string, a *wire.ScanArgs) (r wire.Result) {
	shift := 64 - len(strconv.FormatInt(int64(m.cfg.Slots-1), 2))
	if m.cfg.Slots == 1 {
		shift = 64
	}
	examined, at := 0, 0
	for slot := range m.cfg.Slots {
		var in []string
		for ; at < len(keys) && int(m.hash(keys[at])>>shift) == slot; at++ {
			in = append(in, keys[at])
		}
		if slot < int(a.Cursor>>shift) {
			continue
		}
		if r.Number >= int64(a.Limit) || examined >= 10_000 {
			r.Revision, r.More = uint64(slot)<<shift, true
			return r
		}
		examined += len(in)
		for _, k := range in {
			if strings.HasPrefix(k, prefix) && m.hash(k) >= a.Cursor && !m.add(&r, k, a) {
				r.Revision, r.More = m.hash(k), true
				return r
			}
		}
	}
	return r
}
