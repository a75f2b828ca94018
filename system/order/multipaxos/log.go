package multipaxos

// slot is one position of the sequence, as an acceptor knows it. The zero value was never accepted.
type slot struct {
	ballot   uint64 // in which it was accepted
	decision []byte
	held     bool   // the gate was asked in this process; false after a restart (R4)
	votes    uint32 // leader: who accepted it in this ballot, by index
}

// log holds what was accepted behind a base that a snapshot covers.
type log struct {
	base  uint64 // everything up to here is in a snapshot
	term  uint64 // of the base
	slots []slot // slots[i] is at base+1+i
}

// last is the highest slot that was accepted, or the base.
func (l *log) last() uint64 { return l.base + uint64(len(l.slots)) }

// at is a slot that may lie anywhere; nil where the log knows nothing.
func (l *log) at(n uint64) *slot {
	if n <= l.base || n > l.last() {
		return nil
	}
	return &l.slots[n-l.base-1]
}

// accepted reports whether a slot was accepted in a ballot.
func (l *log) accepted(n, ballot uint64) bool {
	s := l.at(n)
	return s != nil && s.ballot == ballot
}

// put writes a slot; those between, if any, were never accepted.
func (l *log) put(n uint64, s slot) {
	for l.last() < n {
		l.slots = append(l.slots, slot{})
	}
	l.slots[n-l.base-1] = s
}

// termAt is the ballot in which a slot was accepted here, 0 where that is not known.
func (l *log) termAt(n uint64) uint64 {
	if n == l.base {
		return l.term
	}
	if s := l.at(n); s != nil {
		return s.ballot
	}
	return 0
}

// cut forgets everything up to a slot, of which term is known.
func (l *log) cut(n, term uint64) {
	if n >= l.last() {
		l.slots = nil
	} else {
		l.slots = append([]slot(nil), l.slots[n-l.base:]...)
	}
	l.base, l.term = n, term
}

// entries are the accepted ones of a range.
func (l *log) entries(from, to uint64) (all []entry) {
	for n := max(from, l.base+1); n <= min(to, l.last()); n++ {
		if s := l.at(n); s.ballot != 0 {
			all = append(all, entry{n, s.ballot, s.decision})
		}
	}
	return all
}
