package phi

import "math"

// State is what is thought of a peer.
type State string

// States, from good to bad, and Never.
const (
	Never   State = "never"   // not heard yet
	Fresh   State = "fresh"   // heard when it was expected
	Late    State = "late"    // a sign is overdue
	Suspect State = "suspect" // too long overdue to be chance
	Gone    State = "gone"    // silent for so long that nobody waits
)

// Reasons of a verdict.
const (
	WhyNever   = "it has never been heard"
	WhyPromise = "it was heard within the interval it promised"
	WhyPhi     = "its silence compared with its past gaps"
	WhyCeiling = "it has been silent for several promised intervals"
	WhyGone    = "it has been silent for too long to wait for"
	WhyExcused = "nobody could hear it for a while; its silence counts from then"
)

const second = 1e9

// Config says how to judge; a zero field means its default. Times are in nanoseconds.
type Config struct {
	Window       int     // gaps that are remembered; default 200
	Promise      int64   // the peer speaks at least this often; 0 = it promised nothing
	MinDeviation int64   // the least standard deviation of gaps; default 500 ms
	MinSpread    float64 // the least standard deviation as a share of the mean gap; default 0.25
	Late         float64 // φ from which it is late; default 1
	Suspect      float64 // φ from which it is suspect; default 8
	Ceiling      int64   // promised intervals of silence from which it is suspect at least; default 3
	Gone         int64   // silence from which it is gone; default 15 minutes
}

func (c *Config) setDefaults() {
	if c.Window <= 0 {
		c.Window = 200
	}
	if c.MinDeviation <= 0 {
		c.MinDeviation = second / 2
	}
	if c.MinSpread <= 0 {
		c.MinSpread = 0.25
	}
	if c.Late <= 0 {
		c.Late = 1
	}
	if c.Suspect <= 0 {
		c.Suspect = 8
	}
	if c.Ceiling <= 0 {
		c.Ceiling = 3
	}
	if c.Gone <= 0 {
		c.Gone = 15 * 60 * second
	}
}

// Detector judges one peer.
type Detector struct {
	cfg   Config
	gaps  []int64 // a ring once it is full
	next  int
	last  int64 // when it was heard, or excused
	heard bool
	mild  bool // excused since it was heard
}

// New makes a detector that has heard nothing.
func New(cfg Config) *Detector {
	cfg.setDefaults()
	return &Detector{cfg: cfg}
}

// Promise changes the interval that the peer promises.
func (d *Detector) Promise(interval int64) { d.cfg.Promise = max(0, interval) }

// Heard notes a sign of life. A now before the last is taken as the last.
func (d *Detector) Heard(now int64) {
	if d.heard && !d.mild && now > d.last {
		d.remember(now - d.last)
	}
	d.last, d.heard, d.mild = max(now, d.last), true, false
}

// Excuse notes that nothing could be heard until now, because the listener was away: silence counts
// from here, and this gap is not remembered.
func (d *Detector) Excuse(now int64) { d.last, d.mild = max(now, d.last), true }

func (d *Detector) remember(gap int64) {
	if len(d.gaps) < d.cfg.Window {
		d.gaps = append(d.gaps, gap)
		return
	}
	d.gaps[d.next] = gap
	d.next = (d.next + 1) % len(d.gaps)
}

// Gaps are the gaps that are remembered, oldest first: what is kept over a restart.
func (d *Detector) Gaps() []int64 {
	return append(append([]int64(nil), d.gaps[d.next:]...), d.gaps[:d.next]...)
}

// Recall gives a new detector the gaps of an earlier one, whose peer was heard silence ago.
func (d *Detector) Recall(gaps []int64, now, silence int64) {
	d.gaps, d.next = append([]int64(nil), gaps[max(0, len(gaps)-d.cfg.Window):]...), 0
	d.heard, d.last = true, now-max(0, silence)
}

// Verdict is what is thought of a peer at one time.
type Verdict struct {
	State     State
	Phi       float64
	Silence   int64 // since it was heard, or excused
	Mean      int64 // of its gaps, as it counts
	Deviation int64 // likewise
	Why       string
}

// Judge says what to think of the peer.
func (d *Detector) Judge(now int64) Verdict {
	if !d.heard {
		return Verdict{State: Never, Why: WhyNever}
	}
	v := Verdict{Silence: max(0, now-d.last)}
	v.Mean, v.Deviation = d.shape()
	v.Phi = phi(float64(v.Silence), float64(v.Mean), float64(v.Deviation))
	v.State, v.Why = d.classify(&v)
	if d.mild && v.State == Fresh {
		v.Why = WhyExcused
	}
	return v
}

func (d *Detector) classify(v *Verdict) (State, string) {
	promise := d.cfg.Promise
	switch {
	case v.Silence >= d.cfg.Gone:
		return Gone, WhyGone
	case promise > 0 && v.Silence >= d.cfg.Ceiling*promise:
		return Suspect, WhyCeiling
	case v.Silence <= promise:
		return Fresh, WhyPromise
	case v.Phi >= d.cfg.Suspect:
		return Suspect, WhyPhi
	case v.Phi >= d.cfg.Late:
		return Late, WhyPhi
	}
	return Fresh, WhyPhi
}

// shape is the mean and the deviation of gaps, within the bounds.
func (d *Detector) shape() (mean, deviation int64) {
	var sum, squares float64
	for _, g := range d.gaps {
		sum += float64(g)
	}
	n := float64(max(1, len(d.gaps)))
	for _, g := range d.gaps {
		squares += (float64(g) - sum/n) * (float64(g) - sum/n)
	}
	mean = max(int64(sum/n), d.cfg.Promise)
	return mean, max(int64(math.Sqrt(squares/n)), d.cfg.MinDeviation, int64(d.cfg.MinSpread*float64(mean)))
}

// most bounds φ, where the probability is too small for a number.
const most = 300

func phi(silence, mean, deviation float64) float64 {
	p := math.Erfc((silence-mean)/(deviation*math.Sqrt2)) / 2
	if p == 0 {
		return most
	}
	return min(most, max(0, -math.Log10(p)))
}
