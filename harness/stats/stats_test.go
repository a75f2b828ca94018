package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func TestRanksNamedInTheDocumentation(t *testing.T) {
	for _, c := range []struct {
		n, d     int
		coverage float64
	}{
		{0, 0, 0}, {1, 0, 0}, {5, 0, 0},
		{6, 1, 0.96875}, {7, 1, 0.984375}, {8, 1, 0.9921875}, {9, 2, 0.9609375},
		{10, 2, 0.978515625}, {20, 6, 0.9586105}, {100, 40, 0.9647998},
	} {
		d, coverage := Ranks(c.n, Level)
		if d != c.d || math.Abs(coverage-c.coverage) > 1e-6 {
			t.Errorf("n = %d: got %d, %v; want %d, %v", c.n, d, coverage, c.d, c.coverage)
		}
	}
	if d, _ := Ranks(MinValues, Level); d == 0 {
		t.Error("MinValues gives no interval")
	}
	if d, _ := Ranks(MinValues-1, Level); d != 0 {
		t.Error("MinValues is not the smallest number of values")
	}
}

// The fast form must agree with counting: toss n coins in all 2^n ways.
func TestRanksAgainstAllTosses(t *testing.T) {
	for n := 1; n <= 16; n++ {
		heads := make([]int, n+1)
		for tosses := range 1 << n {
			heads[bits.OnesCount(uint(tosses))]++
		}
		for _, level := range []float64{0.5, 0.9, 0.95, 0.99} {
			want := 0
			for d := 1; 2*d <= n; d++ {
				below := 0
				for k := range d {
					below += heads[k]
				}
				if 1-2*float64(below)/float64(int(1)<<n) >= level-1e-12 {
					want = d
				}
			}
			if got, _ := Ranks(n, level); got != want {
				t.Errorf("n = %d, level %v: got %d, want %d", n, level, got, want)
			}
		}
	}
}

func TestRanksAgainstDistuv(t *testing.T) {
	for _, n := range []int{17, 30, 64, 101, 1000, 5000} {
		b := distuv.Binomial{N: float64(n), P: 0.5}
		d, coverage := Ranks(n, Level)
		if want := 1 - 2*b.CDF(float64(d-1)); math.Abs(coverage-want) > 1e-9 {
			t.Errorf("n = %d: coverage %v, want %v", n, coverage, want)
		}
		if 1-2*b.CDF(float64(d)) >= Level {
			t.Errorf("n = %d: %d is not the largest rank", n, d)
		}
	}
}

// The promise itself: intervals of samples of a known median cover it as often as they say.
func TestIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const rounds = 20000
	for _, n := range []int{6, 9, 10, 15} {
		covered, coverage := 0, 0.0
		for range rounds {
			values := make([]Value, n)
			for i := range values {
				values[i] = Exactly(math.Exp(rng.NormFloat64())) // skewed, median 1
			}
			e := Estimated(values)
			coverage = e.Coverage
			if e.Low <= 1 && 1 <= e.High {
				covered++
			}
		}
		if got := float64(covered) / rounds; math.Abs(got-coverage) > 0.006 {
			t.Errorf("n = %d: covers %v of the time, says %v", n, got, coverage)
		}
	}
}

func TestMedian(t *testing.T) {
	xs := []float64{3, 1, 2}
	if m := Median(xs); m != 2 || xs[0] != 3 {
		t.Errorf("%v of %v", m, xs)
	}
	if m := Median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Error(m)
	}
	if m := Median(nil); !math.IsNaN(m) {
		t.Error(m)
	}
}

func TestRatiosOfCensoredValues(t *testing.T) {
	exact, low, high := Exactly(24), AtLeast(24), AtMost(24)
	for _, c := range []struct {
		a, b   Value
		point  float64
		censor Censor
	}{
		{exact, Exactly(2), 12, None},
		{low, Exactly(2), 12, LowerBound},
		{high, Exactly(2), 12, UpperBound},
		{exact, AtLeast(2), 12, UpperBound},
		{exact, AtMost(2), 12, LowerBound},
		{low, AtMost(2), 12, LowerBound},
		{high, AtLeast(2), 12, UpperBound},
		{low, AtLeast(2), math.NaN(), Unseen},
		{high, AtMost(2), math.NaN(), Unseen},
		{exact, Exactly(0), math.NaN(), None}, // a rate of 0 never occurs; no NaN is all we ask
		{Exactly(0), Exactly(0), math.NaN(), Unseen},
	} {
		got := c.a.Over(c.b)
		if math.IsNaN(got.Lo) || math.IsNaN(got.Hi) {
			t.Errorf("%v / %v = %v", c.a, c.b, got)
		}
		if !math.IsNaN(c.point) && (got.Point() != c.point || got.Censor() != c.censor) {
			t.Errorf("%v / %v = %v (%v)", c.a, c.b, got, got.Censor())
		}
		if c.censor == Unseen && got.Censor() != Unseen {
			t.Errorf("%v / %v = %v (%v), want nothing", c.a, c.b, got, got.Censor())
		}
	}
}

// Whatever the hidden values are, the interval computed from bounds contains the one that would
// have been computed from the values: censoring can widen, never shift.
func TestCensoringIsConservative(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		n := 1 + rng.IntN(14)
		hidden, seen := make([]Value, n), make([]Value, n)
		for i := range n {
			x := 1 + 10*rng.Float64()
			hidden[i], seen[i] = Exactly(x), Exactly(x)
			switch rng.IntN(4) {
			case 0:
				seen[i] = AtLeast(x * rng.Float64())
			case 1:
				seen[i] = AtMost(x * (1 + rng.Float64()))
			}
		}
		truth, e := Estimated(hidden), Estimated(seen)
		if e.N != truth.N || e.HasInterval() != truth.HasInterval() {
			t.Fatal("censoring changed the number of values")
		}
		if e.Median.Lo > truth.Median.Lo || e.Median.Hi < truth.Median.Hi {
			t.Fatalf("median %v does not contain %v", e.Median, truth.Median)
		}
		if e.HasInterval() && (e.Low > truth.Low || e.High < truth.High) {
			t.Fatalf("[%v, %v] does not contain [%v, %v]", e.Low, e.High, truth.Low, truth.High)
		}
	}
}

func TestOneCensoredBlockOfTenKeepsTheIntervalClosed(t *testing.T) {
	var values []Value
	for i := range 9 {
		values = append(values, Exactly(float64(i+1)))
	}
	e := Estimated(append(values, AtLeast(5)))
	if e.Low != 2 || e.High != 9 || e.Censored != 1 || e.Median != (Value{5, 5.5}) {
		t.Errorf("%+v", e)
	}
	if e.Median.Censor() != LowerBound || e.Median.Point() != 5 {
		t.Errorf("median %v prints as %v", e.Median, e.Median.Point())
	}
	if e = Estimated(append(values, AtLeast(5), AtLeast(5))); !math.IsInf(e.High, 1) {
		t.Errorf("two open blocks of eleven: %+v", e)
	}
}

func TestEstimateOfFewValues(t *testing.T) {
	e := Estimated([]Value{Exactly(1), Exactly(math.NaN()), Exactly(3)})
	if e.N != 2 || e.HasInterval() || !math.IsNaN(e.Low) || e.Median != Exactly(2) {
		t.Errorf("%+v", e)
	}
	if e = Estimated(nil); e.N != 0 || !math.IsNaN(e.Median.Lo) || e.Median.Censor() == None {
		t.Errorf("%+v", e)
	}
}

func TestPairedRatios(t *testing.T) {
	above := map[int]Value{3: Exactly(30), 1: AtLeast(10), 2: Exactly(7)}
	below := map[int]Value{1: Exactly(2), 3: Exactly(3), 4: Exactly(1)}
	got := PairedRatios(above, below)
	if !slices.Equal(got, []Value{AtLeast(5), Exactly(10)}) {
		t.Errorf("%v", got)
	}
	if e := NoiseFloor(below, below); e.Median != Exactly(1) || e.N != 3 {
		t.Errorf("%+v", e)
	}
}
