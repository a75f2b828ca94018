package phi

import (
	"math"
	"math/rand/v2"
	"testing"
)

const ms = 1e6

// beat lets a detector hear n signs, every so often, and returns the time of the last.
func beat(d *Detector, from, every int64, n int) int64 {
	for i := range n {
		d.Heard(from + int64(i)*every)
	}
	return from + int64(n-1)*every
}

func TestStates(t *testing.T) {
	d := New(Config{Promise: 10 * second})
	if v := d.Judge(5 * second); v.State != Never || v.Why != WhyNever {
		t.Fatalf("%+v", v)
	}
	at := beat(d, 0, 10*second, 50)
	for _, c := range []struct {
		silence int64
		want    State
		why     string
	}{
		{0, Fresh, WhyPromise}, {10 * second, Fresh, WhyPromise}, {13 * second, Fresh, WhyPhi},
		{13300 * ms, Late, WhyPhi}, {20 * second, Late, WhyPhi}, {23900 * ms, Late, WhyPhi},
		{24100 * ms, Suspect, WhyPhi},
		{30 * second, Suspect, WhyCeiling}, {899 * second, Suspect, WhyCeiling}, {900 * second, Gone, WhyGone},
	} {
		if v := d.Judge(at + c.silence); v.State != c.want || v.Why != c.why {
			t.Errorf("silent for %d ms: %+v, want %s: %s", c.silence/ms, v, c.want, c.why)
		}
	}
}

// TestPhiIsTheNormalTail: the figures of the normal distribution's tail.
func TestPhiIsTheNormalTail(t *testing.T) {
	for _, c := range []struct{ z, p float64 }{{0, 0.5}, {1, 0.158655}, {2, 0.0227501}, {3, 1.349898e-3},
		{6, 9.8659e-10}} {
		if got, want := phi(10+c.z, 10, 1), -math.Log10(c.p); math.Abs(got-want) > 1e-4 {
			t.Errorf("z=%v: φ=%v, want %v", c.z, got, want)
		}
	}
	if got := phi(1e12, 1, 1); got != most {
		t.Errorf("φ=%v beyond all numbers", got)
	}
}

// TestBurstsAccuseNobody: a thousand requests in a second, then silence until the next beat.
func TestBurstsAccuseNobody(t *testing.T) {
	d := New(Config{Promise: 10 * second})
	at := beat(d, 0, ms, 1000)
	for silence := int64(0); silence <= 10*second; silence += 100 * ms {
		if v := d.Judge(at + silence); v.State != Fresh {
			t.Fatalf("accused after %d ms: %+v", silence/ms, v)
		}
	}
	if v := d.Judge(at + 30*second); v.State != Suspect {
		t.Errorf("%+v", v)
	}
}

// TestAnIrregularPeerIsGivenMoreTime: what is late for a regular one is not for it.
func TestAnIrregularPeerIsGivenMoreTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	regular, irregular := New(Config{Gone: 1e15}), New(Config{Gone: 1e15})
	var a, b int64
	for range 200 {
		a += 10 * second
		b += 4*second + rng.Int64N(12*second)
		regular.Heard(a)
		irregular.Heard(b)
	}
	x, y := regular.Judge(a+25*second), irregular.Judge(b+25*second)
	if x.State != Suspect || y.State == Suspect || y.Phi >= x.Phi {
		t.Errorf("regular %+v, irregular %+v", x, y)
	}
}

// TestNobodyIsAccusedAfterTheMastersOwnAbsence: silence counts from its return, and the gap is
// forgotten.
func TestNobodyIsAccusedAfterTheMastersOwnAbsence(t *testing.T) {
	d := New(Config{Promise: 10 * second})
	at := beat(d, 0, 10*second, 50)
	again := New(Config{Promise: 10 * second})
	back := int64(5 * second) // another process's clock
	again.Recall(d.Gaps(), back, 3600*second)
	if v := again.Judge(back); v.State != Gone {
		t.Fatalf("without an excuse %+v", v)
	}
	again.Excuse(back)
	if v := again.Judge(back + 9*second); v.State != Fresh || v.Why != WhyExcused {
		t.Errorf("%+v", v)
	}
	if v := again.Judge(back + 60*second); v.State != Suspect {
		t.Errorf("an edge that died meanwhile: %+v", v)
	}
	again.Heard(back + 9*second)
	if n := len(again.Gaps()); n != len(d.Gaps()) {
		t.Errorf("%d gaps: the absence is one of them", n)
	}
	_ = at
}

// TestClockSteps: time that stands still or goes back is no silence and no gap.
func TestClockSteps(t *testing.T) {
	d := New(Config{Promise: second})
	at := beat(d, 0, second, 10)
	d.Heard(at - 5*second)
	d.Heard(at)
	if v := d.Judge(at - 3*second); v.Silence != 0 || v.State != Fresh {
		t.Errorf("%+v", v)
	}
	for _, g := range d.Gaps() {
		if g <= 0 {
			t.Errorf("a gap of %d", g)
		}
	}
}

func TestTheWindowIsBounded(t *testing.T) {
	d := New(Config{Window: 5})
	at := beat(d, 0, second, 100)
	beat(d, at+2*second, 2*second, 5)
	gaps := d.Gaps()
	if len(gaps) != 5 {
		t.Fatalf("%d gaps", len(gaps))
	}
	for _, g := range gaps {
		if g != 2*second {
			t.Errorf("gaps %v: the old ones should be gone", gaps)
		}
	}
	d.Recall(make([]int64, 100), 0, 0)
	if n := len(d.Gaps()); n != 5 {
		t.Errorf("%d gaps recalled", n)
	}
}
