package store

import (
	"fmt"
	"math/bits"

	"metronome/system/wire"
)

// Store is the state machine. It belongs to one goroutine, but for Execute, which may run for all
// parts at once between Prepare and Finish.
type Store struct {
	cfg   Config
	shift uint8 // from a hash to its slot
	parts []part
	owner []uint8 // part by slot

	index uint64 // of the last item
	time  uint64 // log time
	table sessions
	snap  *Snapshot // that has not captured everything yet

	batch
}

// Span is consecutive items of one lane.
type Span struct {
	Lane     uint32
	First    uint64   // number of the first item in its lane
	Payloads [][]byte // of consecutive frames, without headers; all fragments of a value or none (R6)
	// Answer: this replica is asked to answer. Without it reads are not executed, though they take an
	// index like any item; writes are always answered, for their answers must outlive a replica.
	Answer bool
}

// Batch is what one decision, or part of one, makes of the lanes. Where a sequence of items is divided
// into batches changes nothing, as long as every item keeps its Time and its fragments.
type Batch struct {
	Index        uint64 // of the first item; above the index of all before
	Time         uint64 // log time, monotone (R23)
	ExpireBefore uint64 // sessions last used before this log time end first; 0 = none
	Spans        []Span // borrowed until Finish returns
}

// Answer is the answer to one item that is not blind.
type Answer struct {
	Span   int         // in Batch.Spans
	Number uint64      // of the item in its lane
	Index  uint64      // of the item in the total order
	Result wire.Result // Value is valid until the next Prepare, Apply or Read
}

// New returns an empty store.
func New(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, shift: uint8(64 - bits.TrailingZeros(uint(cfg.Slots))),
		parts: make([]part, cfg.Parts), owner: make([]uint8, cfg.Slots), table: newSessions(&cfg)}
	slots := make([]slot, cfg.Slots)
	for i := range s.parts {
		first, end := s.bounds(i), s.bounds(i+1)
		s.parts[i] = part{arena: newArena(), first: first, seed: cfg.Seed, shift: s.shift,
			slots: slots[first:end:end]}
		for n := first; n < end; n++ {
			s.owner[n] = uint8(i)
		}
	}
	return s, nil
}

// bounds is the first slot of part i.
func (s *Store) bounds(i int) int { return i * s.cfg.Slots / s.cfg.Parts }

func (s *Store) partOf(hash uint64) *part { return &s.parts[s.owner[hash>>s.shift]] }

// Apply executes a batch: Prepare, Execute for every part, Finish. The answers are in the order of
// the items and valid until the next call.
func (s *Store) Apply(b *Batch) []Answer {
	s.Prepare(b)
	for i := range s.parts {
		s.Execute(i)
	}
	return s.Finish()
}

// Execute runs one part's share of the prepared batch. Each part must be executed exactly once
// between Prepare and Finish, in any order or at the same time.
func (s *Store) Execute(part int) { s.parts[part].run(s) }

// Index is the index of the last item applied; 0 before the first.
func (s *Store) Index() uint64 { return s.index }

// Time is the log time of the last batch.
func (s *Store) Time() uint64 { return s.time }

// Hash is the state hash: equal at replicas whose state is equal. It covers the last index, the log
// time, every key with its value and revision, and every session with its marks and stored results.
// It is kept up to date by each write (R30), so that asking costs nothing. It finds divergence and
// damage, but is no defence against someone who may choose the state.
func (s *Store) Hash() uint64 {
	h := s.table.sum + term(s.index, s.time, 0)
	for i := range s.parts {
		h += s.parts[i].sum
	}
	return h
}

// Len is how many keys there are.
func (s *Store) Len() (n int) {
	for i := range s.parts {
		n += s.parts[i].keys
	}
	return n
}

// Bytes is an estimate of the memory the state takes: chunks, large values, tables, the ordered index
// and sessions.
func (s *Store) Bytes() int {
	n := len(s.owner) + s.table.bytes()
	for i := range s.parts {
		n += s.parts[i].stats().Bytes
	}
	return n
}

// Stats is a glance at a store.
type Stats struct {
	Keys     int
	Sessions int
	Bytes    int // as Store.Bytes
	Used     int // bytes of records, dead ones included
	Garbage  int // bytes of dead records, which are reclaimed step by step
	Ordered  int // keys in the ordered index, repeated and deleted ones included; 0 before a scan
}

// Stats counts what the store holds.
func (s *Store) Stats() Stats {
	st := Stats{Sessions: len(s.table.byID), Bytes: s.Bytes()}
	for i := range s.parts {
		p := s.parts[i].stats()
		st.Keys += p.Keys
		st.Used += p.Used
		st.Garbage += p.Garbage
		st.Ordered += p.Ordered
	}
	return st
}

func (p *part) stats() Stats {
	n := p.bytes() + p.tables + len(p.slots)*32 + p.index.bytes()
	return Stats{Keys: p.keys, Used: p.used, Garbage: p.used - p.living, Ordered: p.index.keys, Bytes: n}
}

func (o *ordered) bytes() int {
	n := cap(o.fresh.data) + 4*cap(o.fresh.at)
	for i := range o.runs {
		n += cap(o.runs[i].data) + 4*cap(o.runs[i].at)
	}
	return n
}

func (s *Store) advance(b *Batch) {
	if len(b.Spans) > 0 && b.Index <= s.index {
		panic(fmt.Sprintf("store: a batch at index %d after index %d: items are applied once (I4)",
			b.Index, s.index))
	}
	s.time = max(s.time, b.Time)
}
