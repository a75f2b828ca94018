package store

import "metronome/system/wire"

// A scan or count concerns every part. Each part gathers its share when it comes to the item, in the
// state between its neighbours; Finish joins the shares. A share is cut off where it alone would fill
// the answer, so that joining them never needs more, whatever the number of parts.

// gather is a scan or count.
type gather struct {
	answer int
	count  bool
	prefix []byte
	args   wire.ScanArgs
}

// share is one part's contribution to one gather.
type share struct {
	gather   int
	keys     int // count
	from, to int // in gathering.found
	marks    [2]int
	more     bool   // by hash: it was cut off
	rest     uint64 // by hash: where what was cut off begins
}

// found is a key that a scan found.
type found struct {
	hash  uint64
	entry wire.ScanEntry
}

// mark says how much of a scan by hash a slot, and those before it, took.
type mark struct {
	slot     int
	examined int // keys in this slot
	to       int // end of the slot's keys in gathering.found
}

// hashed is a record and its key's hash.
type hashed struct {
	hash uint64
	rec  []byte
}

// gathering is one part's shares in a batch.
type gathering struct {
	shares []share
	found  []found
	marks  []mark
	sorted []hashed // one slot's keys
}

func (g *gathering) reset() {
	clear(g.found)
	g.shares, g.found, g.marks = g.shares[:0], g.found[:0], g.marks[:0]
}

func (s *Store) dealGather(it *wire.Item, answer int) {
	g := gather{answer: answer, count: it.Op == wire.OpCount, prefix: it.Key}
	if !g.count {
		wire.DecodeScan(it.Value, &g.args)
	}
	for i := range s.parts {
		p := &s.parts[i]
		p.tasks = append(p.tasks, task{hash: slotStart(p.first, s.shift), rel: uint32(s.next - s.base),
			aux: uint32(len(s.gathers)), kind: taskScan})
	}
	s.gathers = append(s.gathers, g)
}

// collect gathers this part's share.
func (p *part) collect(s *Store, t *task) {
	g := &s.gathers[t.aux]
	sh := share{gather: int(t.aux), keys: p.keys, from: len(p.gather.found)}
	sh.marks[0] = len(p.gather.marks)
	f := filling{limit: int(g.args.Limit), bytes: s.cfg.MaxReplyBytes}
	switch {
	case g.count:
	case g.args.Order == wire.ScanByKey:
		p.collectByKey(g, &sh, &f)
	default:
		p.collectByHash(g, &sh, &f)
	}
	sh.to, sh.marks[1] = len(p.gather.found), len(p.gather.marks)
	p.gather.shares = append(p.gather.shares, sh)
}

// filling is the room left in an answer.
type filling struct{ limit, bytes int }

// take reports whether an entry still fits. The first always does.
func (f *filling) take(e *wire.ScanEntry, first bool) bool {
	n := scanEntryFixed + len(e.Key) + len(e.Value)
	if f.limit == 0 || n > f.bytes && !first {
		return false
	}
	f.limit--
	f.bytes -= n
	return true
}

const scanEntryFixed = 16 // bytes of an entry besides key and value

func (p *part) collectByKey(g *gather, sh *share, f *filling) {
	p.index.prepare(p)
	p.index.walk(g.prefix, g.args.After, func(key []byte) bool {
		hash := p.hashOf(key)
		_, r, ok := p.find(p.slot(hash), hash, key)
		if !ok {
			p.index.debt++
			return true
		}
		e := p.entry(key, p.at(r), g.args.Values)
		fits := f.take(&e, len(p.gather.found) == sh.from)
		p.gather.found = append(p.gather.found, found{hash, e}) // the first that does not fit, too
		return fits
	})
}

// entry is a scan's entry; the key is not copied, the value is as in answers.
func (p *part) entry(key, rec []byte, values bool) wire.ScanEntry {
	e := wire.ScanEntry{Key: key, Revision: revisionOf(rec)}
	if values {
		e.Value = p.answer(p.value(rec))
	}
	return e
}
