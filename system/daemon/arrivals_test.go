package daemon

import (
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	a := Arrivals{"1/1/0": {0: 100, 128: 1000, 256: 5000}, "2/1/0": {0: 7}}
	b := Arrivals{"1/1/0": {0: 140, 128: 900, 384: 1}, "2/1/0": {0: 7}, "3/1/0": {0: 1}}
	c := Arrivals{"1/1/0": {0: 120, 128: 1000, 256: 1}, "2/1/0": {0: 7 + 1000}}
	want := Skew{Replicas: 3, Frames: 3, Median: 100, P99: 1000, Most: 1000} // of 40, 100 and 1000
	if got := SkewOf([]Arrivals{a, b, c}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := SkewOf([]Arrivals{a, {}}); got != (Skew{Replicas: 2}) {
		t.Errorf("nothing in common: %+v", got)
	}
	if got := SkewOf(nil); got != (Skew{}) {
		t.Errorf("nobody: %+v", got)
	}
	if got := SkewOf([]Arrivals{a}); got.Most != time.Duration(0) || got.Frames != 4 {
		t.Errorf("one: %+v", got)
	}
}
