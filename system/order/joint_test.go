package order

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// at is the n-th frame boundary of a test's lane: ten items a frame.
func at(lane LaneID, n uint64) Mark {
	if n == 0 {
		return Mark{Lane: lane}
	}
	return Mark{Lane: lane, Items: 10 * n, Frames: n, Chain: uint64(lane)<<32 | n}
}

// marks are frame counts, lane by lane.
func marks(frames ...uint64) (c Cut) {
	for lane, n := range frames {
		c = append(c, at(LaneID(lane), n))
	}
	return c
}

func report(frames ...uint64) (h []Holding) {
	for _, m := range marks(frames...) {
		h = append(h, Holding{Mark: m, High: m.Frames})
	}
	return h
}

func lookup(lane LaneID, n uint64) (Mark, bool) { return at(lane, n), true }

func TestJointCut(t *testing.T) {
	for _, test := range []struct {
		name    string
		own     Cut
		base    Cut
		reports [][]Holding
		quorum  int
		aged    []LaneID
		want    Cut
	}{
		{name: "alone", own: marks(3, 4), quorum: 1, want: marks(3, 4)},
		{name: "nobody heard of", own: marks(3), reports: [][]Holding{nil, nil}, quorum: 2},
		{name: "the faster of two", own: marks(9), reports: [][]Holding{report(3), report(7)}, quorum: 2,
			want: marks(7)},
		{name: "never beyond the leader's own", own: marks(5), reports: [][]Holding{report(9), report(9)},
			quorum: 2, want: marks(5)},
		{name: "nothing new", own: marks(5), base: marks(5), reports: [][]Holding{report(5)}, quorum: 2},
		{name: "only lanes that advance", own: marks(5, 5), base: marks(5, 2),
			reports: [][]Holding{report(5, 4)}, quorum: 2, want: Cut{at(1, 4)}},
		{name: "a lane the voter does not know", own: marks(5, 5), reports: [][]Holding{report(4)}, quorum: 2,
			want: Cut{at(0, 4)}},
		{name: "three of five", own: marks(9, 9),
			reports: [][]Holding{report(9, 1), report(8, 8), report(7, 9), nil}, quorum: 3, want: marks(7, 8)},
		{name: "R9: lane 0 dead at one, lane 1 at the other: one set, not each lane's best",
			own: marks(9, 9), reports: [][]Holding{report(1, 9), report(9, 1)}, quorum: 2, want: marks(1, 9)},
		{name: "R9: whoever misses what is decided cannot accept more", base: marks(1, 9),
			own: marks(99, 10), reports: [][]Holding{report(1, 10), report(99, 1)}, quorum: 2,
			aged: []LaneID{0, 1}, want: Cut{at(1, 10)}},
		{name: "what is missing and not aged will be repaired", base: marks(5, 5),
			own: marks(9, 9), reports: [][]Holding{report(4, 6), report(5, 5)}, quorum: 2, want: Cut{at(1, 6)}},
		{name: "aged gaps weigh more than others", base: marks(5, 5), own: marks(9, 9),
			reports: [][]Holding{report(4, 9), report(9, 2)}, quorum: 2, aged: []LaneID{0}, want: Cut{at(0, 9)}},
	} {
		j := Joint{Lookup: lookup, Aged: func(l LaneID) bool { return slices.Contains(test.aged, l) }}
		for range 2 { // the second time with memory that was used
			if got := j.Cut(nil, test.own, test.base, test.reports, test.quorum); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, want %v", test.name, got, test.want)
			}
		}
	}
}

// A voter whose chain is another is named, and its lane left out; so is one that the leader cannot
// attest any more. The other lanes go on.
func TestJointLeavesOutWhatCannotBeAttested(t *testing.T) {
	other := report(3, 3, 3)
	other[1].Chain = 77
	j := Joint{Lookup: func(lane LaneID, n uint64) (Mark, bool) { return at(lane, n), lane != 2 }}
	got := j.Cut(nil, marks(9, 9, 9), nil, [][]Holding{nil, other}, 2)
	if !slices.Equal(got, marks(3)) || !slices.Equal(j.Disagreed, []Disagreement{{Voter: 1, Lane: 1}}) {
		t.Fatalf("%v, disagreed %v", got, j.Disagreed)
	}
}

// The search agrees with a plain one over all subsets, a subset as a bit mask.
func TestJointIsTheBestOfAllSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 3000 {
		n, lanes := rng.IntN(6)+1, rng.IntN(4)+1
		random := func() (frames []uint64) {
			for range lanes {
				frames = append(frames, uint64(rng.IntN(6)))
			}
			return frames
		}
		own, base := random(), random()
		for i := range own {
			own[i] = max(own[i], base[i])
		}
		var rows [][]uint64
		var reports [][]Holding
		for range n {
			rows = append(rows, random())
			reports = append(reports, report(rows[len(rows)-1]...))
		}
		quorum := (n+1)/2 + 1
		aged := func(l LaneID) bool { return l == 0 }
		j := Joint{Lookup: lookup, Aged: aged}
		got := j.Cut(nil, marks(own...), marks(base...), reports, quorum)
		if want := bestOfAll(own, base, rows, quorum-1); !slices.Equal(got, want) {
			t.Fatalf("own %v base %v others %v: %v, want %v", own, base, rows, got, want)
		}
	}
}

// bestOfAll judges every subset of size k; lane 0 is aged.
func bestOfAll(own, base []uint64, rows [][]uint64, k int) (best Cut) {
	var top []int64 // what to have more of, most important first
	for mask := range 1 << len(rows) {
		var stuck, lag, gain int64
		var cut Cut
		size := 0
		least := slices.Clone(own)
		for i, row := range rows {
			if mask>>i&1 == 0 {
				continue
			}
			size++
			for lane := range own {
				least[lane] = min(least[lane], row[lane])
				if miss := max(0, int64(base[lane])-int64(row[lane])); lane == 0 {
					stuck += miss
				} else {
					lag += miss
				}
			}
		}
		for lane, n := range least {
			if n > base[lane] {
				gain += int64(n - base[lane])
				cut = append(cut, at(LaneID(lane), n))
			}
		}
		first := int64(0) // the earlier members: lower bits, read from the lowest
		for i := range rows {
			first = first<<1 | int64(mask>>i&1)
		}
		s := []int64{min(gain, 1), -stuck, -lag, gain, first}
		if size == k && (top == nil || slices.Compare(s, top) > 0) {
			top, best = s, cut
		}
	}
	return best
}

// Once its memory has grown, computing a cut allocates nothing.
func TestJointAllocatesNothing(t *testing.T) {
	j := Joint{Lookup: lookup}
	own, base := marks(9, 9, 9, 9), marks(1, 1, 1, 1)
	reports := [][]Holding{report(3, 9, 9, 9), report(9, 4, 9, 9), nil, report(9, 9, 5, 9)}
	dst := make(Cut, 0, 8)
	if n := testing.AllocsPerRun(100, func() { dst = j.Cut(dst[:0], own, base, reports, 3) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
