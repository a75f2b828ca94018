package store

import (
	"bytes"

	"metronome/system/wire"
)

// shareOf is what part i contributed to gather n: shares are in the order of gathers.
func (s *Store) shareOf(i, n int) *share { return &s.parts[i].gather.shares[n] }

// assembleGather joins the parts' shares into an answer.
func (s *Store) assembleGather(n int) {
	g := &s.gathers[n]
	r := &s.answers[g.answer].Result
	switch {
	case g.count:
		for i := range s.parts {
			r.Number += int64(s.shareOf(i, n).keys)
		}
		return
	case g.args.Order == wire.ScanByKey:
		s.joinByKey(g, n, r)
	default:
		s.joinByHash(g, n, r)
	}
}

func (s *Store) filling(g *gather) filling {
	return filling{limit: int(g.args.Limit), bytes: s.cfg.MaxReplyBytes}
}

// joinByKey merges shares that are each ascending. Where a share was cut off, its last entry is the one
// that did not fit; it does not fit here either.
func (s *Store) joinByKey(g *gather, n int, r *wire.Result) {
	var at [maxParts]int
	from, f := len(s.whole), s.filling(g)
	for i := range s.parts {
		at[i] = s.shareOf(i, n).from
	}
	for {
		best := -1
		var low *wire.ScanEntry
		for i := range s.parts {
			if at[i] == s.shareOf(i, n).to {
				continue
			}
			if e := &s.parts[i].gather.found[at[i]].entry; low == nil || bytes.Compare(e.Key, low.Key) < 0 {
				best, low = i, e
			}
		}
		if low == nil {
			break
		}
		if !f.take(low, r.Number == 0) {
			r.More = true
			break
		}
		s.whole = wire.AppendScanEntry(s.whole, low)
		r.Number++
		at[best]++
	}
	r.Value = s.whole[from:len(s.whole):len(s.whole)]
}

// joinByHash repeats the walk over the slots, all parts' now, and stops by the same rules.
func (s *Store) joinByHash(g *gather, n int, r *wire.Result) {
	from, f := len(s.whole), s.filling(g)
	s.walkShares(n, &f, r)
	r.More = r.Revision != 0
	r.Value = s.whole[from:len(s.whole):len(s.whole)]
}

// walkShares appends entries and sets r.Revision, the next cursor: 0 if nothing is left.
func (s *Store) walkShares(n int, f *filling, r *wire.Result) {
	examined := 0
	for i := range s.parts {
		sh, g := s.shareOf(i, n), &s.parts[i].gather
		at := sh.from
		for _, m := range g.marks[sh.marks[0]:sh.marks[1]] {
			if examined >= scanEffort || f.limit == 0 {
				r.Revision = slotStart(m.slot, s.shift)
				return
			}
			for first := at; at < m.to; at++ {
				e := &g.found[at]
				same := at > first && e.hash == g.found[at-1].hash
				if !f.take(&e.entry, r.Number == 0) && !same {
					r.Revision = e.hash
					return
				}
				s.whole = wire.AppendScanEntry(s.whole, &e.entry)
				r.Number++
			}
			examined += m.examined
		}
		if sh.more {
			r.Revision = sh.rest
			return
		}
	}
}
