package store

import (
	"encoding/binary"
	"math"
	"strconv"

	"metronome/system/wire"
)

// operate executes an operation on one key that is not a plain put.
func (p *part) operate(s *Store, t *task) {
	o := &s.ops[t.aux]
	var nobody wire.Result // a large blind put
	r := &nobody
	if o.sub >= 0 {
		r = &s.subs[o.sub]
	} else if o.answer >= 0 {
		r = &s.answers[o.answer].Result
	}
	p.execute(&o.item, t.hash, s.base+uint64(t.rel), r)
}

func (p *part) execute(it *wire.Item, hash, index uint64, r *wire.Result) {
	if it.Op == wire.OpGet {
		p.get(hash, it.Key, it.Stat, r)
		return
	}
	sl := p.slot(hash)
	pos, at, ok := p.find(sl, hash, it.Key)
	var rec []byte
	if ok {
		rec = p.at(at)
	}
	r.Existed = ok
	if ok {
		r.Revision = revisionOf(rec)
		if it.Previous {
			r.Value = p.answer(p.value(rec))
		}
	}
	switch it.Op {
	case wire.OpPut:
		if it.Present && !ok {
			r.Status = wire.StatusNotFound
			return
		}
		p.set(hash, it, it.Value, index, it.Fragment, r)
	case wire.OpDelete:
		if !ok {
			r.Status = wire.StatusNotFound
			return
		}
		p.remove(sl, pos, at, hash)
		r.Revision = 0
	case wire.OpCAS:
		if r.Revision != it.Expect {
			r.Status = wire.StatusMismatch
			return
		}
		p.set(hash, it, it.Value, index, it.Fragment, r)
	case wire.OpIncr:
		p.increment(hash, it, rec, index, r)
	case wire.OpAppend:
		p.append(hash, it, rec, index, r)
	}
}

// answer copies a small value, which the next write may change; a large one never changes.
func (p *part) answer(value []byte) []byte {
	if len(value) > bigValue {
		return value[:len(value):len(value)]
	}
	at := len(p.values)
	p.values = append(p.values, value...)
	return p.values[at:len(p.values):len(p.values)]
}

func (p *part) get(hash uint64, key []byte, stat bool, r *wire.Result) {
	p.look(hash, key, r)
	if stat {
		r.Value = nil
	} else if r.Value != nil {
		r.Value = p.answer(r.Value)
	}
}

// look is get without a copy of the value.
func (p *part) look(hash uint64, key []byte, r *wire.Result) {
	_, at, ok := p.find(p.slot(hash), hash, key)
	if !ok {
		r.Status = wire.StatusNotFound
		return
	}
	rec := p.at(at)
	r.Value = p.value(rec)
	r.Revision, r.Number = revisionOf(rec), int64(len(r.Value))
}

func (p *part) set(hash uint64, it *wire.Item, value []byte, index uint64, owned bool, r *wire.Result) {
	p.put(hash, it.Key, value, index, owned)
	r.Revision = index
}

func (p *part) increment(hash uint64, it *wire.Item, rec []byte, index uint64, r *wire.Result) {
	var n int64
	if rec != nil {
		var ok bool
		if n, ok = parseInt(p.value(rec)); !ok {
			r.Status = wire.StatusNotInteger
			return
		}
	}
	delta := int64(binary.LittleEndian.Uint64(it.Value))
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		r.Status, r.Number = wire.StatusOverflow, n
		return
	}
	r.Number = n + delta
	p.build = strconv.AppendInt(p.build[:0], r.Number, 10)
	p.set(hash, it, p.build, index, false, r)
}

// parseInt reads a number written as Redis writes it: no sign but a minus, no leading zeros or spaces.
func parseInt(b []byte) (n int64, ok bool) {
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}

func (p *part) append(hash uint64, it *wire.Item, rec []byte, index uint64, r *wire.Result) {
	var old []byte
	if rec != nil {
		old = p.value(rec)
	}
	n := len(old) + len(it.Value)
	if n > wire.MaxValue {
		r.Status, r.Number = wire.StatusTooLong, int64(len(old))
		return
	}
	r.Number = int64(n)
	if n <= bigValue {
		p.build = append(append(p.build[:0], old...), it.Value...)
		p.set(hash, it, p.build, index, false, r)
		return
	}
	// A large value may have room behind it. Filling it changes nothing that anyone who holds the old
	// value can see, and a value has only one successor.
	p.set(hash, it, append(old, it.Value...), index, true, r)
}
