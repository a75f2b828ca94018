package slots

import (
	"metronome/system/order"
	"metronome/system/wire"
)

// Entry is the value of a slot in a ballot; an empty decision is nothing.
type Entry struct {
	Slot, Ballot uint64
	Decision     []byte
}

// EntryBytes is what an entry takes beyond its decision, at most.
const EntryBytes = 20

// Cut is what the gate has to judge of an entry that was checked when it was decoded.
func (e *Entry) Cut() order.Cut {
	cut, _ := order.CutOf(e.Decision)
	return cut
}

// AppendEntries writes entries; placed ones with slot and ballot.
func AppendEntries(w *wire.Writer, entries []Entry, placed bool) {
	for i := range entries {
		if placed {
			w.U64(entries[i].Slot)
			w.U64(entries[i].Ballot)
		}
		w.Bytes(entries[i].Decision)
	}
}

// ReadEntries reads entries to the end: placed, or the ones from first on of a ballot. They share no
// memory with what is read.
func ReadEntries(r *wire.Reader, placed bool, first, ballot uint64) (entries []Entry) {
	for r.Left() > 0 && r.OK() {
		e := Entry{Slot: first + uint64(len(entries)), Ballot: ballot}
		if placed {
			e.Slot, e.Ballot = r.U64(), r.U64()
		}
		e.Decision = append([]byte(nil), r.Bytes()...)
		entries = append(entries, e)
	}
	return entries
}

// Slot is one position of the sequence, as an acceptor knows it. The zero value was never accepted.
type Slot struct {
	Promised uint64 // for algorithms that promise slot by slot: nothing lower is accepted
	Ballot   uint64 // in which it was accepted
	Decision []byte
	Held     bool   // the gate was asked in this process; false after a restart (R4)
	Votes    uint32 // proposer: who accepted it in this ballot, by index
}

// Log holds what was accepted behind a base that a snapshot covers.
type Log struct {
	Base  uint64 // everything up to here is in a snapshot
	Term  uint64 // of the base
	slots []Slot // slots[i] is at Base+1+i
}

// Last is the highest slot that is known of, or the base.
func (l *Log) Last() uint64 { return l.Base + uint64(len(l.slots)) }

// At is a slot that may lie anywhere; nil where the log knows nothing. It is valid until the next Put.
func (l *Log) At(n uint64) *Slot {
	if n <= l.Base || n > l.Last() {
		return nil
	}
	return &l.slots[n-l.Base-1]
}

// Accepted reports whether a slot was accepted in a ballot.
func (l *Log) Accepted(n, ballot uint64) bool {
	s := l.At(n)
	return s != nil && s.Ballot == ballot
}

// Put writes a slot; those between, if any, were never accepted.
func (l *Log) Put(n uint64, s Slot) {
	for l.Last() < n {
		l.slots = append(l.slots, Slot{})
	}
	l.slots[n-l.Base-1] = s
}

// TermAt is the ballot in which a slot was accepted here, 0 where that is not known.
func (l *Log) TermAt(n uint64) uint64 {
	if n == l.Base {
		return l.Term
	}
	if s := l.At(n); s != nil {
		return s.Ballot
	}
	return 0
}

// Cut forgets everything up to a slot, of which term is known.
func (l *Log) Cut(n, term uint64) {
	if n >= l.Last() {
		l.slots = nil
	} else {
		l.slots = append([]Slot(nil), l.slots[n-l.Base:]...)
	}
	l.Base, l.Term = n, term
}

// Entries are the accepted ones of a range.
func (l *Log) Entries(from, to uint64) (all []Entry) {
	for n := max(from, l.Base+1); n <= min(to, l.Last()); n++ {
		if s := l.At(n); s.Ballot != 0 {
			all = append(all, Entry{n, s.Ballot, s.Decision})
		}
	}
	return all
}
