package history

import (
	"maps"

	"metronome/system/wire"
)

// replayer executes a log: the model, and the rules of sessions round it (R24).
type replayer struct {
	state    *state
	limits   Limits
	time     uint64
	uses     uint64
	sessions map[uint64]*session
	versions map[string][]span
}

// session is what a session remembers.
type session struct {
	low  uint64
	used uint64 // when, in uses of any session
	time uint64 // when, in log time
	done map[uint64]Answer
}

// span is a version of a key and the index from which on it was in force.
type span struct {
	from    uint64
	present bool
	version version
}

func newReplayer(limits Limits) *replayer {
	return &replayer{state: newState(), limits: limits, sessions: map[uint64]*session{},
		versions: map[string][]span{}}
}

// expire ends the sessions last used before a log time.
func (r *replayer) expire(before uint64) {
	maps.DeleteFunc(r.sessions, func(_ uint64, s *session) bool { return s.time < before })
}

// apply executes one record. executed is false if the session's rules kept it from being executed.
func (r *replayer) apply(rec *Record) (a Answer, executed bool) {
	c := &rec.Call
	r.time = max(r.time, rec.Time)
	if idle := r.limits.Idle; idle != 0 && r.time > idle {
		r.expire(r.time - idle)
	}
	if c.Session == 0 {
		return r.execute(rec.Index, c), true
	}
	s := r.sessions[c.Session]
	if s == nil {
		return Answer{Status: wire.StatusSessionUnknown}, false
	}
	r.use(s)
	for ; s.low < c.Low; s.low++ {
		delete(s.done, s.low)
	}
	before, done := s.done[c.Number]
	switch {
	case c.Number < s.low:
		return Answer{Status: wire.StatusSessionForgotten}, false
	case r.limits.Window != 0 && c.Number-s.low >= r.limits.Window:
		return Answer{Status: wire.StatusSessionAhead}, false
	case done:
		return before, false
	}
	a = r.execute(rec.Index, c)
	if !readOnly(c) { // a read may be executed again and again
		s.done[c.Number] = a
	}
	return a, true
}

func (r *replayer) use(s *session) {
	r.uses++
	s.used, s.time = r.uses, r.time
}

// open begins a session, and ends the least recently used one if there are too many.
func (r *replayer) open(id uint64) {
	if r.limits.Sessions != 0 && len(r.sessions) >= r.limits.Sessions {
		oldest := id
		for other, s := range r.sessions {
			if oldest == id || s.used < r.sessions[oldest].used {
				oldest = other
			}
		}
		delete(r.sessions, oldest)
	}
	s := &session{low: 1, done: map[uint64]Answer{}}
	r.sessions[id] = s
	r.use(s)
}

func (r *replayer) execute(index uint64, c *Call) Answer {
	a := r.state.apply(index, c)
	if c.Op == wire.OpSession {
		r.open(index)
	}
	r.remember(index, c)
	for i := range c.Calls {
		r.remember(index, &c.Calls[i])
	}
	return a
}

// remember notes a key's version if the call may have changed it.
func (r *replayer) remember(index uint64, c *Call) {
	if c.Key == "" || c.Op == wire.OpGet || c.Op == wire.OpScan {
		return
	}
	spans := r.versions[c.Key]
	v, present := r.state.keys[c.Key]
	if n := len(spans); n > 0 && spans[n-1].from == index {
		spans = spans[:n-1]
	}
	r.versions[c.Key] = append(spans, span{index, present, v})
}
