package cluster

import (
	"testing"
	"time"
)

// made is a load that was written by hand: one write a millisecond, none from 1000 to 1400.
func made() *load {
	l := &load{rate: 1000, end: 3000 * int64(time.Millisecond)}
	for at := int64(0); at < l.end; at += int64(time.Millisecond) {
		ms := at / int64(time.Millisecond)
		if ms > 1000 && ms < 1400 {
			continue
		}
		l.all = append(l.all, sample{due: at - int64(time.Millisecond), done: at, ok: true})
	}
	return l
}

func TestOutageAndSteady(t *testing.T) {
	l := made()
	from := 1000 * int64(time.Millisecond)
	m := moments{from: from, to: from + 600*int64(time.Millisecond), whole: from + 700*int64(time.Millisecond)}
	if got := l.gap(from, l.end); got != 400*int64(time.Millisecond) {
		t.Errorf("gap %v", time.Duration(got))
	}
	at, recovered := l.steady(m)
	if d := time.Duration(at - from); !recovered || d < 350*time.Millisecond || d > 500*time.Millisecond {
		t.Errorf("steady after %v, %v", d, recovered)
	}
	o := l.outcome(m)
	if got := o.Values["outage_ms"]; got != 400 {
		t.Errorf("outage %v", got)
	}
	if got := o.Values["during_ratio"]; got < 0.3 || got > 0.36 {
		t.Errorf("of what was due during the fault %v was acknowledged", got)
	}
	l.all = l.all[:1001] // nothing ever again
	if at, recovered := l.steady(m); recovered || at < l.end-(steadyBins+1)*int64(bin) {
		t.Errorf("steady at %v, %v, though nothing came again", at, recovered)
	}
	if got := l.gap(from, l.end); got != l.end-from {
		t.Errorf("gap %v", time.Duration(got))
	}
}

func TestPercentile(t *testing.T) {
	var all []sample
	for i := range int64(100) {
		all = append(all, sample{due: 0, done: i + 1, ok: true})
	}
	for share, want := range map[float64]int64{0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(all, share); got != want {
			t.Errorf("percentile %v is %d", share, got)
		}
	}
	if percentile(nil, 0.5) != 0 {
		t.Error("of nothing")
	}
}
