package edge

import "metronome/system/master/phi"

// detector is what a master thinks of one edge.
type detector interface {
	heard(s sign)
	suspects(now int64) bool
	asked() int // messages that only it needs, until now
}

// detectors are the arms of edge-liveness.
var detectors = map[string]func(world) detector{
	"phi": func(w world) detector {
		return &accrual{d: phi.New(phi.Config{Promise: w.interval, Suspect: w.threshold})}
	},
	"silence":   func(w world) detector { return &missed{w: w} },
	"heartbeat": func(w world) detector { return &missed{w: w, beats: true} },
	"heartbeat-phi": func(w world) detector {
		return &accrual{d: phi.New(phi.Config{Promise: w.interval, Suspect: w.threshold}), w: w, beats: true}
	},
}

// accrual is package phi, which the master uses: on the edge's own traffic, or on answers only.
type accrual struct {
	d     *phi.Detector
	w     world
	beats bool
	now   int64
}

func (a *accrual) heard(s sign) {
	if s.answer == a.beats {
		a.d.Heard(s.at)
	}
}

func (a *accrual) suspects(now int64) bool {
	a.now = now
	switch a.d.Judge(now).State {
	case phi.Suspect, phi.Gone:
		return true
	}
	return false
}

func (a *accrual) asked() int { return questions(a.beats, a.now, a.w.interval) }

// questions is how many a master asked until now, answers included.
func questions(beats bool, now, interval int64) int {
	if !beats {
		return 0
	}
	return int(2 * now / interval)
}

// missed suspects an edge after so many intervals without a sign: of its own traffic, or of answers.
type missed struct {
	w     world
	beats bool
	last  int64
	now   int64
}

func (m *missed) heard(s sign) {
	if s.answer == m.beats {
		m.last = max(m.last, s.at)
	}
}

func (m *missed) suspects(now int64) bool {
	m.now = now
	return float64(now-m.last) > m.w.threshold*float64(m.w.interval)
}

func (m *missed) asked() int { return questions(m.beats, m.now, m.w.interval) }
