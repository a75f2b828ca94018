package order

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomCut(rng *rand.Rand) (c Cut) {
	for lane := LaneID(0); lane < 8; lane++ {
		if rng.IntN(2) == 0 {
			n := uint64(rng.IntN(5) + 1)
			c = append(c, Mark{Lane: lane, Frames: n, Items: 10 * n, Chain: n})
		}
	}
	return c
}

func asMap(c Cut) map[LaneID]Mark {
	m := map[LaneID]Mark{}
	for _, k := range c {
		m[k.Lane] = k
	}
	return m
}

// Merge is the componentwise maximum of a map, computed without one: commutative, idempotent and
// monotone, so that deciding an old cut late changes nothing (I2).
func TestMergeIsTheComponentwiseMaximum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		a, b := randomCut(rng), randomCut(rng)
		want := asMap(a)
		for lane, k := range asMap(b) {
			if k.Frames > want[lane].Frames {
				want[lane] = k
			}
		}
		got := a.Merge(nil, b)
		if !maps.Equal(asMap(got), want) || got.Validate() != nil {
			t.Fatalf("%v and %v give %v", a, b, got)
		}
		if !got.Covers(a) || !got.Covers(b) || !slices.Equal(got.Merge(nil, a), got) ||
			!slices.Equal(b.Merge(nil, a), got) {
			t.Fatalf("%v of %v and %v", got, a, b)
		}
		if a.Covers(b) != slices.Equal(got, a) {
			t.Fatalf("%v covers %v: %v", a, b, a.Covers(b))
		}
	}
}

func TestValidateAndFind(t *testing.T) {
	good := Cut{{Lane: 1, Frames: 1, Items: 1}, {Lane: 5}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Cut{
		{{Lane: 2}, {Lane: 1}}, {{Lane: 2}, {Lane: 2}}, {{Lane: 2, Items: 1}}, make(Cut, MaxLanes+1),
	} {
		if err := bad.Validate(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v: %v", bad[:min(2, len(bad))], err)
		}
	}
	if m, ok := good.Find(1); !ok || m != good[0] {
		t.Error(m, ok)
	}
	if m, ok := good.Find(3); ok || m != (Mark{Lane: 3}) {
		t.Error(m, ok)
	}
}

// Holdings are the maximum of all reports, in whatever order they come and however often; a full one
// says which lanes are gone.
func TestHoldingsAbsorbReportsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		var reports []Report
		all := Cut(nil)
		for range 5 {
			c := randomCut(rng)
			r := Report{}
			for _, k := range c {
				r.Lanes = append(r.Lanes, Holding{Mark: k, High: k.Frames + 1})
			}
			reports, all = append(reports, r), all.Merge(nil, c)
		}
		reports = append(reports, reports[0])
		rng.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		var h Holdings
		for i := range reports {
			h.Absorb(&reports[i])
		}
		for i, got := range h.Lanes() {
			if got.Mark != all[i] || got.High != got.Frames+1 {
				t.Fatalf("%v of %v", got, all[i])
			}
		}
		full := Report{Full: true, Lanes: []Holding{{Mark: Mark{Lane: 3, Frames: 1}, High: 1}}}
		h.Absorb(&full)
		if len(h.Lanes()) != 1 || h.Lanes()[0].Lane != 3 {
			t.Fatalf("after a full report: %v", h.Lanes())
		}
		h.Forget()
		if len(h.Lanes()) != 0 {
			t.Fatal("not forgotten")
		}
	}
}

func TestHoldingsAreBounded(t *testing.T) {
	var h Holdings
	for first := range LaneID(3) {
		r := Report{}
		for i := range LaneID(MaxLanes / 2 * 3 / 2) {
			r.Lanes = append(r.Lanes, Holding{Mark: Mark{Lane: 3*i + first}})
		}
		h.Absorb(&r)
	}
	if n := len(h.Lanes()); n != MaxLanes {
		t.Fatalf("%d lanes are kept", n)
	}
}

// A listener that absorbs the changes knows what the sender knows.
func TestChangesAreEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var sender, listener Holdings
	var told []Holding
	for range 200 {
		r := Report{}
		for _, k := range randomCut(rng) {
			k.Frames += uint64(rng.IntN(100))
			r.Lanes = append(r.Lanes, Holding{Mark: k, High: k.Frames})
		}
		sender.Absorb(&r)
		changes := Report{Lanes: AppendChanges(nil, told, sender.Lanes())}
		listener.Absorb(&changes)
		told = slices.Clone(sender.Lanes())
		if !slices.Equal(listener.Lanes(), sender.Lanes()) {
			t.Fatalf("%v, told %v", sender.Lanes(), listener.Lanes())
		}
		if again := AppendChanges(nil, told, sender.Lanes()); len(again) != 0 {
			t.Fatalf("told again: %v", again)
		}
	}
}
