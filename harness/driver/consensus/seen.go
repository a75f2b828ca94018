package consensus

import (
	"slices"

	"metronome/system/order"
)

// seen is what is measured of a run. Times are virtual ns.
type seen struct {
	on       bool // it counts
	since    int64
	proposed map[string][maxReplicas]int64 // when, by cut and by who proposed it; 0: did not
	commits  []int64                       // from the proposal until its proposer has it decided
	learns   []int64                       // until a further replica has
	items    []int64                       // from the proxy until some replica has it decided, a frame each
	flight   []int64                       // rounds under way, the new one included
	rounds   int                           // decided
	messages int
	bytes    int
	fsyncs   int

	last, gap int64 // the latest decision that moved a lane; the longest time without
	usual     int64 // latency of a frame that is not more
	unsteady  int64 // when a frame was last decided later than that
	calm      []int64
}

// begin notes a proposal. Cuts tell a replica's apart, and what an algorithm does to log time is its own
// affair.
func (s *seen) begin(cut order.Cut, who int, now int64, flight uint64) {
	k := nameOf(cut)
	at := s.proposed[k]
	at[who] = now
	s.proposed[k] = at
	if s.on {
		s.flight = append(s.flight, int64(flight))
	}
}

// applied notes that a replica has a round decided: its own, or one that somebody proposed first.
func (s *seen) applied(cut order.Cut, who int, now int64) {
	all, ok := s.proposed[nameOf(cut)]
	if !ok || !s.on {
		return
	}
	at := all[who]
	to := &s.commits
	if at == 0 {
		to = &s.learns
		for _, t := range all {
			if at == 0 || t > 0 && t < at {
				at = t
			}
		}
	}
	if at >= s.since {
		*to = append(*to, now-at)
	}
}

// nameOf is a cut as a key.
func nameOf(c order.Cut) string { return string(order.AppendDecision(nil, &order.Decision{Cut: c})) }

// decided notes the first time that a decision is handed out to anybody.
func (s *seen) decided(now int64, waits []int64) {
	if len(waits) == 0 {
		return
	}
	if !s.on {
		s.last, s.calm = now, append(s.calm, waits...)
		return
	}
	s.gap, s.last = max(s.gap, now-s.last), now
	s.rounds++
	s.items = append(s.items, waits...)
	if slices.Max(waits) > s.usual {
		s.unsteady = now
	}
}

// start begins to count. What came before says what is usual.
func (s *seen) start(now int64) {
	s.on, s.since, s.unsteady = true, now, now
	s.messages, s.bytes, s.fsyncs = 0, 0, 0
	s.usual = 2 * quantile(s.calm, 0.99)
}

// stop ends it.
func (s *seen) stop(now int64) { s.gap = max(s.gap, now-s.last) }

// quantile of values, 0 of none: the least value that so large a share is not above.
func quantile(values []int64, share float64) int64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := int(share*float64(len(sorted))+0.999999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func mean(values []int64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(max(len(values), 1))
}
