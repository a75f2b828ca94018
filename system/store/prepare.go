package store

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// batch is what is being applied. Its slices are reused.
type batch struct {
	base     uint64   // index of the first item
	next     uint64   // index of the next item, while preparing
	payloads [][]byte // of all spans, then values put together from fragments
	answers  []Answer
	ops      []op
	subs     []wire.Result // of the operations inside multis
	multis   []multi
	gathers  []gather
	whole    []byte // a multi's results, put together
	joined   []byte // fragments so far
}

// op is an operation on one key that is not a plain put.
type op struct {
	item   wire.Item
	answer int32 // in batch.answers, or -1
	sub    int32 // in batch.subs, or -1
}

// multi is several operations at one index.
type multi struct {
	answer   int
	from, to int // in batch.subs
}

// Prepare decodes a batch, gives every item its index, decides what sessions allow, and deals the
// operations out to the parts. It borrows b until Finish returns.
func (s *Store) Prepare(b *Batch) {
	s.advance(b)
	s.reset()
	s.table.expire(s.time, b.ExpireBefore)
	s.base, s.next = b.Index, b.Index
	for i := range b.Spans {
		d := decoder{s: s, span: i, answer: b.Spans[i].Answer, number: b.Spans[i].First}
		for _, payload := range b.Spans[i].Payloads {
			d.payload(payload)
		}
		d.breakOff()
	}
	if len(b.Spans) > 0 {
		s.index = s.next - 1
	}
}

func (s *Store) reset() {
	s.payloads, s.answers, s.ops = reuse(s.payloads), reuse(s.answers), reuse(s.ops)
	s.subs, s.multis, s.gathers = reuse(s.subs), reuse(s.multis), reuse(s.gathers)
	if s.whole = s.whole[:0]; cap(s.whole) > keptBytes {
		s.whole = nil
	}
	for i := range s.parts {
		s.parts[i].reset()
	}
}

// What is kept of a batch's memory for the next one.
const (
	keptBytes = 16 << 20
	keptLinks = 1 << 12 // things that may hold on to other memory
)

// reuse empties a slice for the next batch. A long one is cleared, lest it hold on to values.
func reuse[T any](s []T) []T {
	if len(s) > keptLinks {
		clear(s)
	}
	return s[:0]
}

func (p *part) reset() {
	p.tasks = p.tasks[:0]
	if p.values = p.values[:0]; cap(p.values) > keptBytes {
		p.values = nil
	}
	p.gather.reset()
}

// Finish completes the batch: what several parts did is put together, results are stored with their
// sessions. The answers are in the order of the items and valid until the next Prepare.
func (s *Store) Finish() []Answer {
	s.assemble()
	s.table.settle(s.answers)
	return s.answers
}

// decoder walks one span.
type decoder struct {
	s      *Store
	span   int
	answer bool
	number uint64 // of the next item in its lane
	item   wire.Item
	part   wire.Item // the first fragment of a value that is not complete
}

// payload decodes the items of one frame. What cannot be decoded counts as one item and is answered
// as malformed; frames are checked on arrival (package wire), so this is for determinism only.
func (d *decoder) payload(b []byte) {
	s := d.s
	number := uint32(len(s.payloads))
	s.payloads = append(s.payloads, b)
	for at := 0; at < len(b); {
		if d.part.Fragment || !plain(b, at) {
			n := d.other(b[at:])
			if n == 0 {
				return
			}
			at += n
			continue
		}
		at += d.plain(b, at, number)
	}
}

// plain deals out the plain put or get at the given place and returns its bytes.
func (d *decoder) plain(b []byte, at int, payload uint32) int {
	s := d.s
	w := binary.LittleEndian.Uint64(b[at:])
	key, value := int(uint16(w>>16)), int(w>>32)
	at += wire.ItemHeader
	t := task{offset: uint32(at), payload: payload, value: uint32(value), rel: uint32(s.next - s.base),
		key: uint16(key), kind: taskPut}
	if wire.Op(w) == wire.OpGet {
		t.kind = taskGet
		if d.answer {
			t.aux = uint32(d.reply())
		}
	}
	if t.kind == taskPut || d.answer {
		t.hash = xxh3.HashSeed(b[at:at+key], s.cfg.Seed)
		p := s.partOf(t.hash)
		p.tasks = append(p.tasks, t)
	}
	d.end()
	return wire.ItemHeader + key + value
}

// plain reports whether the item at the given place is a whole put or get without extensions, which most
// are.
func plain(b []byte, at int) bool {
	if len(b)-at < wire.ItemHeader {
		return false
	}
	w := binary.LittleEndian.Uint64(b[at:])
	key, value := uint(uint16(w>>16)), uint(w>>32)
	put, get := uint16(w) == uint16(wire.OpPut), uint16(w) == uint16(wire.OpGet) && value == 0
	return (put || get) && key-1 < wire.MaxKey && value <= wire.MaxValue &&
		key+value <= uint(len(b)-at-wire.ItemHeader)
}

// other decodes an item that is not a plain put and returns its bytes, 0 if it is malformed.
func (d *decoder) other(b []byte) int {
	n, ok := wire.DecodeItem(b, &d.item)
	switch {
	case !ok:
		d.breakOff()
		d.malformed()
		return 0
	case d.item.Fragment:
		d.fragment()
	default:
		d.breakOff()
		d.whole(&d.item)
	}
	return n
}

// fragment adds a part to the value being put together. Parts come in order, one after another (R6).
func (d *decoder) fragment() {
	s, it := d.s, &d.item
	if it.Offset == 0 {
		d.breakOff()
		d.part = *it
		s.joined = make([]byte, 0, it.Total) // handed over to the state if it is a large put
	}
	f := &d.part
	if !f.Fragment || f.Op != it.Op || f.Total != it.Total || int(it.Offset) != len(s.joined) ||
		string(f.Key) != string(it.Key) {
		d.breakOff()
		d.malformed()
		return
	}
	s.joined = append(s.joined, it.Value...)
	if !it.Completes() {
		return
	}
	whole := d.part
	whole.Value = s.joined // Fragment stays set: the value is nobody else's
	d.part, s.joined = wire.Item{}, nil
	d.whole(&whole)
}

// breakOff ends a value whose last part is missing.
func (d *decoder) breakOff() {
	if d.part.Fragment {
		d.part, d.s.joined = wire.Item{}, nil
		d.malformed()
	}
}

func (d *decoder) malformed() {
	d.result(d.reply(), wire.StatusMalformed)
	d.end()
}

func (d *decoder) end() {
	d.s.next++
	d.number++
}

// reply adds an answer for the present item and returns its number.
func (d *decoder) reply() int {
	s := d.s
	s.answers = append(s.answers, Answer{Span: d.span, Number: d.number, Index: s.next})
	return len(s.answers) - 1
}

func (d *decoder) result(answer int, st wire.Status) { d.s.answers[answer].Result.Status = st }

// whole takes an item that is not a plain put.
func (d *decoder) whole(it *wire.Item) {
	s := d.s
	reads, ok := classify(it)
	admitted, answer := true, -1
	if !it.Blind() && (!reads || d.answer) {
		answer = d.reply()
	}
	if it.HasSession {
		admitted = d.admit(it, answer, reads)
	}
	switch {
	case !admitted:
	case !ok && answer >= 0:
		d.result(answer, wire.StatusMalformed)
	case !ok || reads && !d.answer:
	default:
		s.deal(it, answer)
	}
	d.end()
}

// admit asks the item's session whether it may be executed now.
func (d *decoder) admit(it *wire.Item, answer int, reads bool) bool {
	s := d.s
	session, st, replay := s.table.admit(it, s.next, s.time, reads)
	if session != nil {
		e := event{session: session, low: session.low, answer: answer, replay: replay}
		if st == wire.StatusOK && !reads {
			e.number = it.Number
		}
		if e.number != 0 || e.low > session.floor {
			s.table.events = append(s.table.events, e)
		}
	}
	if st != wire.StatusOK && answer >= 0 {
		d.result(answer, st)
	}
	return st == wire.StatusOK && !replay
}

// classify says whether an item changes no key, and whether it is well-formed.
func classify(it *wire.Item) (reads, ok bool) {
	switch it.Op {
	case wire.OpGet, wire.OpCount:
		return true, true
	case wire.OpScan:
		var args wire.ScanArgs
		return true, wire.DecodeScan(it.Value, &args)
	case wire.OpMulti:
		return classifyMulti(it.Value)
	}
	return false, true
}

// deal gives an admitted item to the parts that execute it.
func (s *Store) deal(it *wire.Item, answer int) {
	switch it.Op {
	case wire.OpMulti:
		s.dealMulti(it.Value, answer)
	case wire.OpScan, wire.OpCount:
		s.dealGather(it, answer)
	case wire.OpSession:
		s.table.open(s.next, s.time)
		s.answers[answer].Result.Number = int64(s.next)
	default:
		s.dealOp(it, answer, -1)
	}
}

func (s *Store) dealOp(it *wire.Item, answer, sub int) {
	hash := xxh3.HashSeed(it.Key, s.cfg.Seed)
	p := s.partOf(hash)
	p.tasks = append(p.tasks, task{hash: hash, rel: uint32(s.next - s.base), aux: uint32(len(s.ops)),
		kind: taskOp})
	s.ops = append(s.ops, op{item: *it, answer: int32(answer), sub: int32(sub)})
}
