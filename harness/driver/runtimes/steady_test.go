package runtimes

import (
	"math"
	"math/rand/v2"
	"testing"
)

// levels is a series of fifty with noise, whose level changes where told.
func levels(seed uint64, at map[int]float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	level, x := 0.0, make([]float64, 50)
	for i := range x {
		if l, ok := at[i]; ok {
			level = l
		}
		x[i] = level * math.Exp(0.03*rng.NormFloat64())
	}
	return x
}

func TestSteady(t *testing.T) {
	for _, c := range []struct {
		name, want string
		at         map[int]float64
		level      float64
	}{
		{"flat", Flat, map[int]float64{0: 100}, 100},
		{"a just-in-time compiler", WarmUp, map[int]float64{0: 300, 4: 150, 9: 50}, 50},
		{"it gets worse", SlowDown, map[int]float64{0: 50, 20: 80}, 80},
		{"warm, then worse", SlowDown, map[int]float64{0: 90, 10: 50, 30: 60}, 60},
		{"still changing", None, map[int]float64{0: 100, 46: 40}, 100},
		{"a difference that means nothing", Flat, map[int]float64{0: 100, 25: 102}, 101},
	} {
		wrong := 0
		for seed := range uint64(100) {
			shape, level := Steady(levels(seed, c.at))
			if shape != c.want || math.Abs(level/c.level-1) > 0.04 {
				wrong++
				t.Logf("%s, seed %d: %s at %.0f, want %s at %.0f", c.name, seed, shape, level, c.want, c.level)
			}
		}
		if wrong > 5 {
			t.Errorf("%s: %d of 100 series are called something else", c.name, wrong)
		}
	}
}

func TestSteadyOfLittle(t *testing.T) {
	if shape, _ := Steady([]float64{1, 2, 3}); shape != "" {
		t.Fatalf("three values are called %q", shape)
	}
	if shape, level := Steady(make([]float64, 20)); shape != Flat || level != 0 {
		t.Fatalf("zeros are called %q at %v", shape, level)
	}
}

func TestTheFirstOperationIsNotInTheSeries(t *testing.T) {
	r := &report{Operations: 5, FirstNS: 1_000_000, MarksNS: []int64{1_000_000, 1_002_000, 1_004_000, 1_006_000,
		1_008_000}}
	if us := perOperation(r); len(us) != 4 || us[0] != 2 || us[3] != 2 {
		t.Fatal(us)
	}
}
