package resp

import (
	"encoding/binary"
	"math"

	"metronome/system/wire"
)

// The commands on keys that Redis has too. Each becomes exactly one item, so that it is atomic.

func (s *stage) get(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyValue, wire.Item{Op: wire.OpGet, Key: args[1]})
	}
}

// stat stages a get of a key's length and revision only.
func (s *stage) stat(reply replyKind, key []byte) {
	if s.keyOK(key) {
		s.submit(reply, wire.Item{Op: wire.OpGet, Key: key, Stat: true})
	}
}

func (s *stage) strlen(args [][]byte) { s.stat(replyNumber, args[1]) }
func (s *stage) typeOf(args [][]byte) { s.stat(replyType, args[1]) }
func (s *stage) ttl(args [][]byte)    { s.stat(replyExpiry, args[1]) }

func (s *stage) dbsize([][]byte) { s.submit(replyNumber, wire.Item{Op: wire.OpCount}) }

func (s *stage) mget(args [][]byte) {
	s.multi(replyValues, wire.Item{Op: wire.OpGet}, args[1:], 1)
}

func (s *stage) exists(args [][]byte) {
	if len(args) == 2 {
		s.stat(replyOne, args[1])
		return
	}
	s.multi(replyCount, wire.Item{Op: wire.OpGet, Stat: true}, args[1:], 1)
}

func (s *stage) del(args [][]byte) {
	if len(args) > 2 {
		s.multi(replyCount, wire.Item{Op: wire.OpDelete}, args[1:], 1)
	} else if s.keyOK(args[1]) {
		s.submit(replyOne, wire.Item{Op: wire.OpDelete, Key: args[1]})
	}
}

func (s *stage) mset(args [][]byte) {
	if len(args)%2 == 0 {
		s.wrongArity("mset")
		return
	}
	s.multi(replyOK, wire.Item{Op: wire.OpPut}, args[1:], 2)
}

// multi stages one item that does the same with every key; the words are keys, or keys and values
// if step is 2.
func (s *stage) multi(reply replyKind, item wire.Item, words [][]byte, step int) {
	if len(words)/step > wire.MaxMulti {
		s.fail(textManyKeys)
		return
	}
	from := len(s.scratch)
	for ; len(words) > 0; words = words[step:] {
		if !s.keyOK(words[0]) {
			s.scratch = s.scratch[:from]
			return
		}
		item.Key = words[0]
		if step == 2 {
			item.Value = words[1]
		}
		var err error
		s.scratch, err = wire.AppendItem(s.scratch, &item)
		if err != nil || len(s.scratch)-from > wire.MaxValue {
			s.scratch = s.scratch[:from]
			s.fail(textLongMulti)
			return
		}
	}
	s.submit(reply, wire.Item{Op: wire.OpMulti, Value: s.scratch[from:len(s.scratch):len(s.scratch)]})
}

// setOptions are the words after SET key value.
type setOptions struct{ absent, present, old bool }

func (s *stage) set(args [][]byte) {
	if !s.keyOK(args[1]) {
		return
	}
	if len(args) == 3 {
		s.submit(replyOK, wire.Item{Op: wire.OpPut, Key: args[1], Value: args[2]})
		return
	}
	o, why := parseSet(args[3:])
	switch item := (wire.Item{Op: wire.OpPut, Key: args[1], Value: args[2], Previous: o.old}); {
	case why != "":
		s.fail(why)
	case o.absent:
		item.Op = wire.OpCAS
		s.submit(pick(o.old, replyOldIf, replyIf), item)
	case o.present:
		item.Present = true
		s.submit(pick(o.old, replyOld, replyIf), item)
	default:
		s.submit(pick(o.old, replyOld, replyOK), item)
	}
}

func pick(first bool, a, b replyKind) replyKind {
	if first {
		return a
	}
	return b
}

func parseSet(words [][]byte) (o setOptions, why string) {
	for _, w := range words {
		switch {
		case is(w, "NX") && !o.present:
			o.absent = true
		case is(w, "XX") && !o.absent:
			o.present = true
		case is(w, "GET"):
			o.old = true
		case is(w, "KEEPTTL"): // nothing to keep: keys do not expire
		case is(w, "EX"), is(w, "PX"), is(w, "EXAT"), is(w, "PXAT"):
			return o, "ERR SET with " + string(w) + " is not supported: keys do not expire in this store"
		default:
			return o, textSyntax
		}
	}
	return o, ""
}

func (s *stage) setnx(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyOne, wire.Item{Op: wire.OpCAS, Key: args[1], Value: args[2]})
	}
}

func (s *stage) getset(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyOld, wire.Item{Op: wire.OpPut, Key: args[1], Value: args[2], Previous: true})
	}
}

func (s *stage) getdel(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyValue, wire.Item{Op: wire.OpDelete, Key: args[1], Previous: true})
	}
}

func (s *stage) incr(args [][]byte) { s.add(args[1], 1) }
func (s *stage) decr(args [][]byte) { s.add(args[1], -1) }

func (s *stage) incrby(args [][]byte) {
	if n, ok := integer(args[2]); ok {
		s.add(args[1], n)
		return
	}
	s.fail(textNotInteger)
}

func (s *stage) decrby(args [][]byte) {
	n, ok := integer(args[2])
	switch {
	case !ok:
		s.fail(textNotInteger)
	case n == math.MinInt64:
		s.fail("ERR decrement would overflow")
	default:
		s.add(args[1], -n)
	}
}

func (s *stage) add(key []byte, delta int64) {
	if !s.keyOK(key) {
		return
	}
	from := len(s.scratch)
	s.scratch = binary.LittleEndian.AppendUint64(s.scratch, uint64(delta))
	s.submit(replyNumber, wire.Item{Op: wire.OpIncr, Key: key, Value: s.scratch[from : from+8 : from+8]})
}

func (s *stage) appendTo(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyNumber, wire.Item{Op: wire.OpAppend, Key: args[1], Value: args[2]})
	}
}
