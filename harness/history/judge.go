package history

import (
	"fmt"
	"time"
)

// Report is what all judges say of one history.
type Report struct {
	Verdict    Verdict
	Operations int
	Answered   int
	Unknown    int
	Refused    int
	Placed     int // answered operations whose place in the order is known from an index
	Searches   int // for an order, one a key
	Found      []Violation
	Finding    Finding
}

// Judge asks every judge that a history has enough for: Exact if it has a log, Indexed else, and
// Linearizable, every key. It is legal only if all say so and all have come to an end.
func Judge(h *History, b Budget) (r Report) {
	r.Operations = len(h.Operations)
	for i := range h.Operations {
		switch h.Operations[i].Outcome {
		case Answered:
			r.Answered++
		case Unknown:
			r.Unknown++
		case Refused:
			r.Refused++
		}
	}
	if len(h.Log) > 0 {
		r.Found, r.Placed = Exact(h), r.Answered
	} else {
		r.Found, r.Placed = Indexed(h)
	}
	b.Keys = 0
	r.Finding = Linearizable(h, b, nil)
	r.Searches = r.Finding.Judged
	r.Verdict = r.Finding.Verdict
	if len(r.Found) > 0 {
		r.Verdict = Illegal
	} else if r.Finding.Passed > 0 && r.Verdict == Legal {
		r.Verdict = Unfinished
	}
	return r
}

// What tells in a sentence what was found, or nothing.
func (r *Report) What() string {
	switch {
	case len(r.Found) > 0:
		return r.Found[0].String()
	case r.Finding.Verdict == Illegal:
		return "no order explains " + r.Finding.What
	case r.Finding.Verdict == Unfinished:
		return "the search gave up at " + r.Finding.What
	case r.Verdict == Unfinished:
		return fmt.Sprintf("%d keys were not searched: too many operations at once", r.Finding.Passed)
	}
	return ""
}

// String is a few words on one line.
func (r *Report) String() string {
	s := fmt.Sprintf("%v: %d operations (%d answered, %d unknown, %d refused), %d placed by their index, "+
		"%d searches", r.Verdict, r.Operations, r.Answered, r.Unknown, r.Refused, r.Placed, r.Searches)
	if what := r.What(); what != "" {
		s += "; " + what
	}
	return s
}

// Standard is the budget for histories of real processes: more than any that is legal has needed, and a
// time after which nobody waits any longer.
func Standard() Budget { return Budget{Steps: 4_000_000, Limit: 5 * time.Minute} }
