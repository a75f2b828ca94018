package order

import "slices"

// Joint computes the cuts worth proposing. It is kept between rounds for its memory; the exported
// fields are set once.
type Joint struct {
	// Lookup attests the leader's own position at a frame boundary: how many items of the lane end
	// with the first frames frames, and the chain digest there. False if that is no longer known.
	Lookup func(lane LaneID, frames uint64) (Mark, bool)
	// Aged tells lanes in which some gap has outlived its repairs, or whose proxy fell silent: what
	// a voter lacks there it is not expected to get soon. Nil: none is.
	Aged func(LaneID) bool
	// Disagreed names, after Cut, the lanes left out because the voter's chain digest at its mark is
	// not the leader's there (R14).
	Disagreed []Disagreement

	own, base []Mark   // of this round, lane by lane
	aged      []bool   // lane by lane
	rows      [][]Mark // voter by voter, each lane by lane
	voters    []int    // voters[i] is whose marks rows[i] are
	pick      []int    // the set being judged: ascending indices into rows
	best      []int
}

// Disagreement is a voter whose history of a lane is not the leader's.
type Disagreement struct {
	Voter int // its index in Joint.Cut's reports
	Lane  LaneID
}

// Cut appends to dst the best cut that quorum voters hold jointly (R9). own are the leader's
// durable marks of the open lanes; base is the effective cut of everything decided *and proposed*
// so far; reports are the other voters' holdings, nil for a voter not heard of lately.
//
// A set of voters, the leader among them, holds in each lane the least of its members' marks. Every
// set of the quorum's size is tried (7 voters: 20), never each lane by itself: with lane 1 dead at
// B and lane 2 dead at C, every lane has a majority and no follower holds any whole cut. A follower
// accepts in log order, so one that misses something under base accepts nothing new before it has
// that. Hence, of the sets that gain anything, the best
//
//  1. misses least under base in aged lanes, where a miss may last,
//  2. then misses least under base in the other lanes, where it will be repaired,
//  3. then gains most items,
//  4. then comes first by the voters' indices.
//
// Only lanes that advance past base appear. One unfetchable item thus stops one lane and not the
// others. At most [MaxLanes] lanes appear, the lowest ids first.
func (j *Joint) Cut(dst Cut, own []Mark, base Cut, reports [][]Holding, quorum int) Cut {
	j.Disagreed = j.Disagreed[:0]
	j.align(own, base, reports)
	if quorum < 1 || quorum-1 > len(j.rows) {
		return dst
	}
	j.choose(quorum - 1)
	for lane := range j.own {
		if len(dst) == MaxLanes {
			break
		}
		mark, voter := j.least(lane, j.best)
		if mark.Frames <= j.base[lane].Frames {
			continue
		}
		if mark, ok := j.attest(mark, voter); ok {
			dst = append(dst, mark)
		}
	}
	return dst
}

// align lays everything out lane by lane.
func (j *Joint) align(own []Mark, base Cut, reports [][]Holding) {
	j.own, j.base, j.aged = own, j.base[:0], j.aged[:0]
	for _, m := range own {
		for len(base) > 0 && base[0].Lane < m.Lane {
			base = base[1:]
		}
		from := Mark{Lane: m.Lane}
		if len(base) > 0 && base[0].Lane == m.Lane {
			from = base[0]
		}
		j.base = append(j.base, from)
		j.aged = append(j.aged, j.Aged != nil && j.Aged(m.Lane))
	}
	j.voters = j.voters[:0]
	j.rows = j.rows[:0]
	for voter, report := range reports {
		if report != nil {
			j.voters = append(j.voters, voter)
			j.alignRow(report)
		}
	}
}

func (j *Joint) alignRow(report []Holding) {
	j.rows = slices.Grow(j.rows, 1)[:len(j.rows)+1]
	last := len(j.rows) - 1
	row := j.rows[last][:0]
	for _, m := range j.own {
		for len(report) > 0 && report[0].Lane < m.Lane {
			report = report[1:]
		}
		mark := Mark{Lane: m.Lane}
		if len(report) > 0 && report[0].Lane == m.Lane {
			mark = report[0].Mark
		}
		row = append(row, mark)
	}
	j.rows[last] = row
}

// choose sets best to the best set of n rows.
func (j *Joint) choose(n int) {
	j.pick = j.pick[:0]
	for i := range n {
		j.pick = append(j.pick, i)
	}
	j.best = append(j.best[:0], j.pick...)
	top := j.judge(j.pick)
	for j.next() {
		if s := j.judge(j.pick); s.beats(top) {
			top, j.best = s, append(j.best[:0], j.pick...)
		}
	}
}

// next steps pick to the following combination in lexicographic order.
func (j *Joint) next() bool {
	n, k := len(j.rows), len(j.pick)
	for i := k - 1; i >= 0; i-- {
		if j.pick[i] == n-k+i {
			continue
		}
		j.pick[i]++
		for i++; i < k; i++ {
			j.pick[i] = j.pick[i-1] + 1
		}
		return true
	}
	return false
}

// score judges a set, in items.
type score struct{ stuck, lag, gain uint64 }

func (s score) beats(t score) bool {
	switch {
	case (s.gain > 0) != (t.gain > 0):
		return s.gain > 0
	case s.stuck != t.stuck:
		return s.stuck < t.stuck
	case s.lag != t.lag:
		return s.lag < t.lag
	}
	return s.gain > t.gain
}

func (j *Joint) judge(set []int) (s score) {
	for lane := range j.own {
		base := j.base[lane]
		for _, i := range set {
			missing := above(base.Items, j.rows[i][lane].Items)
			if j.aged[lane] {
				s.stuck += missing
			} else {
				s.lag += missing
			}
		}
		mark, _ := j.least(lane, set)
		s.gain += above(mark.Items, base.Items)
	}
	return s
}

// least is the leader's mark of a lane or the lowest of the set's, and whose row it is; -1 is the
// leader's own.
func (j *Joint) least(lane int, set []int) (mark Mark, row int) {
	mark, row = j.own[lane], -1
	for _, i := range set {
		if m := j.rows[i][lane]; m.Frames < mark.Frames {
			mark, row = m, i
		}
	}
	return mark, row
}

// attest replaces a voter's mark by what the leader knows of the same position.
func (j *Joint) attest(mark Mark, row int) (Mark, bool) {
	if row < 0 {
		return mark, true
	}
	mine, ok := j.Lookup(mark.Lane, mark.Frames)
	if ok && mine != mark {
		j.Disagreed = append(j.Disagreed, Disagreement{j.voters[row], mark.Lane})
		return mark, false
	}
	return mine, ok
}

func above(a, b uint64) uint64 {
	if a > b {
		return a - b
	}
	return 0
}
