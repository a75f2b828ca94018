package slots

import (
	"fmt"

	"metronome/system/order"
)

// Slot is one position of the sequence, as an acceptor knows it. The zero value was never accepted.
type Slot struct {
	Promised uint64 // for algorithms that promise slot by slot: nothing lower is accepted
	Ballot   uint64 // in which it was accepted
	Decision []byte
	Held     bool   // the gate was asked in this process; false after a restart (R4)
	Decided  bool   // for algorithms that mark what is decided
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

// Grow is a slot beyond the base; it comes into being if need be, with those between, as never accepted.
// It is valid until the next Grow or Put.
func (l *Log) Grow(n uint64) *Slot {
	for l.Last() < n {
		l.slots = append(l.slots, Slot{})
	}
	return &l.slots[n-l.Base-1]
}

// Put writes a slot; those between, if any, were never accepted.
func (l *Log) Put(n uint64, s Slot) { *l.Grow(n) = s }

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

// light is the lowest slot behind which the log takes at most so many bytes.
func (l *Log) light(bytes int) uint64 {
	n := len(l.slots)
	for n > 0 && bytes >= len(l.slots[n-1].Decision)+2*EntryBytes {
		n--
		bytes -= len(l.slots[n].Decision) + 2*EntryBytes
	}
	return l.Base + uint64(n)
}

// Holes are the slots that were accepted before a restart: all are to be judged again (R4).
func (l *Log) Holes() (holes []uint64) {
	for n := l.Base + 1; n <= l.Last(); n++ {
		if l.At(n).Ballot != 0 {
			holes = append(holes, n)
		}
	}
	return holes
}

// complete reports an error unless everything that is decided was accepted here.
func (l *Log) complete(commit uint64) error {
	for n := l.Base + 1; n <= commit; n++ {
		if s := l.At(n); s == nil || s.Ballot == 0 {
			return fmt.Errorf("%w: %d is decided, and the records lack %d: repair from peers", order.ErrMalformed,
				commit, n)
		}
	}
	return nil
}

// Fill judges holes, in order and up to the first that is not held, and returns those that are left: what
// lies behind it cannot be applied anyway, and a long log is looked through once.
func (l *Log) Fill(holes []uint64, applied uint64, gate order.Gate) []uint64 {
	for len(holes) > 0 {
		n := holes[0]
		if s := l.At(n); s != nil && !s.Held && n > applied {
			cut, _ := order.CutOf(s.Decision) // it was checked when it was read
			if s.Held = judge(gate, cut) == order.Held; !s.Held {
				return holes
			}
		}
		holes = holes[1:]
	}
	return nil
}

// maxBatchBytes bounds the entries of one message; one larger entry still goes alone.
const maxBatchBytes = 256 << 10

// Batch is what one message takes of a range: entries accepted in a ballot of at least least, most of them.
func (l *Log) Batch(from, to, least uint64, most int) (all []Entry) {
	size := 0
	for n := max(from, l.Base+1); n <= min(to, l.Last()) && len(all) < most; n++ {
		s := l.At(n)
		if s.Ballot < least {
			continue
		}
		if size += len(s.Decision) + EntryBytes; len(all) > 0 && size > maxBatchBytes {
			break
		}
		all = append(all, Entry{n, s.Ballot, s.Decision})
	}
	return all
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
