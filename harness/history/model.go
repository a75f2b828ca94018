package history

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"metronome/system/wire"
)

// version is a key's value and the index, or the name, of the write that set it.
type version struct {
	value    string
	revision uint64
}

// state is the sequential model of the store: as dumb as it can be, and written from the contract,
// not from the store's code.
type state struct {
	keys map[string]version
}

func newState() *state { return &state{keys: map[string]version{}} }

func (s *state) clone() *state { return &state{keys: maps.Clone(s.keys)} }

// apply executes a call that carries no session, at an index, and answers.
func (s *state) apply(index uint64, c *Call) Answer {
	old, present := s.keys[c.Key]
	switch c.Op {
	case wire.OpPut:
		return s.put(index, c, old, present)
	case wire.OpGet:
		return get(c, old, present)
	case wire.OpDelete:
		if !present {
			return Answer{Status: wire.StatusNotFound}
		}
		delete(s.keys, c.Key)
		return Answer{Existed: true, Value: previous(c, old)}
	case wire.OpCAS:
		return s.cas(index, c, old, present)
	case wire.OpIncr:
		return s.incr(index, c, old, present)
	case wire.OpAppend:
		return s.append(index, c, old, present)
	case wire.OpMulti:
		return s.multi(index, c)
	case wire.OpScan:
		return s.scan(c)
	case wire.OpSession:
		return Answer{Number: int64(index)}
	case wire.OpCount:
		return Answer{Number: int64(len(s.keys))}
	}
	return Answer{Status: wire.StatusMalformed}
}

func previous(c *Call, old version) string {
	if c.Previous {
		return old.value
	}
	return ""
}

func (s *state) set(index uint64, key, value string) { s.keys[key] = version{value, index} }

func (s *state) put(index uint64, c *Call, old version, present bool) Answer {
	if c.Present && !present {
		return Answer{Status: wire.StatusNotFound}
	}
	s.set(index, c.Key, c.Value)
	return Answer{Existed: present, Revision: index, Value: previous(c, old)}
}

func get(c *Call, old version, present bool) Answer {
	switch {
	case !present:
		return Answer{Status: wire.StatusNotFound}
	case c.Stat:
		return Answer{Existed: true, Revision: old.revision, Number: int64(len(old.value))}
	}
	return Answer{Existed: true, Revision: old.revision, Value: old.value}
}

func (s *state) cas(index uint64, c *Call, old version, present bool) Answer {
	if old.revision != c.Expect {
		return Answer{Status: wire.StatusMismatch, Existed: present, Revision: old.revision,
			Value: previous(c, old)}
	}
	s.set(index, c.Key, c.Value)
	return Answer{Existed: present, Revision: index, Value: previous(c, old)}
}

func (s *state) incr(index uint64, c *Call, old version, present bool) Answer {
	failed := func(status wire.Status) Answer {
		return Answer{Status: status, Existed: present, Revision: old.revision}
	}
	number := int64(0)
	if present {
		n, err := strconv.ParseInt(old.value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != old.value {
			return failed(wire.StatusNotInteger)
		}
		number = n
	}
	if c.Delta > 0 && number > math.MaxInt64-c.Delta || c.Delta < 0 && number < math.MinInt64-c.Delta {
		return failed(wire.StatusOverflow)
	}
	s.set(index, c.Key, strconv.FormatInt(number+c.Delta, 10))
	return Answer{Existed: present, Revision: index, Number: number + c.Delta}
}

func (s *state) append(index uint64, c *Call, old version, present bool) Answer {
	if len(old.value)+len(c.Value) > wire.MaxValue {
		return Answer{Status: wire.StatusTooLong, Existed: present, Revision: old.revision}
	}
	s.set(index, c.Key, old.value+c.Value)
	return Answer{Existed: present, Revision: index, Number: int64(len(old.value) + len(c.Value))}
}

func (s *state) multi(index uint64, c *Call) Answer {
	all := Answer{Answers: make([]Answer, len(c.Calls))}
	for i := range c.Calls {
		all.Answers[i] = s.apply(index, &c.Calls[i])
		if all.Answers[i].Status == wire.StatusOK {
			all.Number++
		}
	}
	return all
}

// scan answers a scan by key whole. One by hash is answered with every key under the prefix: the
// model knows no hash, so differs checks that what was seen lies in it.
func (s *state) scan(c *Call) (a Answer) {
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if !strings.HasPrefix(key, c.Key) || !c.Scan.ByHash && c.Scan.After != "" && key <= c.Scan.After {
			continue
		}
		if !c.Scan.ByHash && len(a.Entries) == c.Scan.Limit {
			a.More = true
			break
		}
		v := s.keys[key]
		e := Entry{Key: key, Revision: v.revision}
		if c.Scan.Values {
			e.Value = v.value
		}
		a.Entries = append(a.Entries, e)
	}
	return a
}

// Store is the model for those who need a store that is right and need not be fast: the tests of
// the simulator run a toy cluster on it.
type Store struct{ r *replayer }

// NewStore is an empty store.
func NewStore(limits Limits) *Store { return &Store{newReplayer(limits)} }

// Execute executes one record. Records come in the order of their indexes.
func (s *Store) Execute(rec *Record) Answer {
	a, _ := s.r.apply(rec)
	return a
}
