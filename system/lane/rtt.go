package lane

// roundTrip estimates how long a request takes to be answered, as RFC 6298 does for TCP: a smoothed
// mean, a smoothed deviation, and Karn's rule that an answer counts only if it is clear to which
// request it belongs. Where RFC 6298 waits a second before the first measurement, this starts from
// a guess: an early request costs a datagram, a late one stalls a lane.
type roundTrip struct {
	mean, deviation int64 // ns
	measured        bool
	unclear         int   // answers in a row to frames that were asked for more than once
	bound           int64 // the shortest of them, counted from the first request: no round trip is longer
}

// unclearMax answers in a row that could belong to any of several requests: the shortest counts,
// since Karn's rule alone would never learn of a round trip that has become so long that each frame
// is asked for again before the first answer can come.
const unclearMax = 8

func guessed(rtt int64) roundTrip { return roundTrip{mean: rtt, deviation: rtt / 8} }

// answered takes the time since the first request for a frame, which was asked for so many times.
func (e *roundTrip) answered(since int64, asks uint8) {
	since = max(since, 1)
	if asks == 1 {
		e.unclear = 0
		e.sample(since)
		return
	}
	if e.unclear++; e.unclear == 1 || since < e.bound {
		e.bound = since
	}
	enough := e.unclear == unclearMax
	if enough {
		e.unclear = 0
	}
	switch {
	case !e.measured: // better than the guess, and to be replaced by the first clear answer
		e.mean, e.deviation = e.bound, e.bound/8
	case enough:
		e.measured = e.bound < 2*e.mean
		e.sample(e.bound)
	}
}

func (e *roundTrip) sample(rtt int64) {
	if !e.measured {
		e.mean, e.deviation, e.measured = rtt, rtt/8, true
		return
	}
	e.deviation += (abs(rtt-e.mean) - e.deviation) / 4
	e.mean += (rtt - e.mean) / 8
}

// timeout is when to ask again. Its margin is never below an eighth: what answers may linger.
func (e *roundTrip) timeout(floor int64) int64 {
	return e.mean + max(4*e.deviation, e.mean/8, floor)
}

func abs(n int64) int64 { return max(n, -n) }
