package model

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// Setting is where rounds run. Times are in s.
type Setting struct {
	Replicas  int
	Lanes     int     // that are not idle
	Rounds    int     // that may be under way
	Items     float64 // in a frame
	Frames    float64 // a second, of all lanes, at random
	Delay     float64 // one way
	Jitter    float64 // mean of what is added to it
	Sync      float64
	CPU       float64 // for a message, sent or received
	Heartbeat float64 // between two
}

// Prediction is what is to be expected. Times are in s.
type Prediction struct {
	Commit   float64 // from the proposal until the leader has it decided
	Item     float64 // from a frame's leaving its proxy until it is decided, on average
	Rounds   float64 // a second
	Items    float64 // a round
	Messages float64 // a round, heartbeats included
	Bytes    float64 // likewise
	Load     float64 // share of the leader's time
}

// Predict says how rounds of an algorithm go.
func (a Algorithm) Predict(s Setting) (p Prediction) {
	followers := float64(s.Replicas - 1)
	visits := followers * (2 + a.Answers) // messages that the leader handles a round
	least := s.path()
	load := func(t float64) float64 { return s.rounds(t) * visits * s.CPU }
	// A longer round makes fewer of them, and so less waiting: the lengths meet in one point.
	lower, upper := least, least+1
	for range 200 {
		t := (lower + upper) / 2
		if rho := load(t); rho < 1 && least+a.queueing(rho, s) <= t {
			upper = t
		} else {
			lower = t
		}
	}
	p.Commit, p.Rounds, p.Load = upper, s.rounds(upper), load(upper)
	p.Items = s.Frames * s.Items / p.Rounds
	p.Item = s.Delay + s.Jitter + s.Sync + s.waiting(p.Commit) + p.Commit
	beats := 2 * followers / (s.Heartbeat * p.Rounds)
	p.Messages = visits + beats
	round := a.OfferSize + s.decision(p.Items/s.Items) + a.NoticeSize + a.Answers*a.AnswerSize
	p.Bytes = followers*round + beats/2*a.BeatSize
	return p
}

// queueing is what a round waits at the leader: for its messages' turn to leave, and for answers' turn.
func (a Algorithm) queueing(rho float64, s Setting) float64 { return 2 * s.CPU * rho / (2 * (1 - rho)) }

// quorum is how many followers' answers a leader needs.
func (s Setting) quorum() int { return s.Replicas / 2 }

// path is how long a round takes with nothing in its way.
func (s Setting) path() float64 {
	q := float64(s.quorum())
	if q == 0 {
		return s.Sync
	}
	// The q-th offer leaves after q messages; a follower takes one in and sends one; the last of q
	// answers is taken in, which come as far apart as the offers left.
	cpu := s.CPU * (q + 2 + 1)
	return s.roundTrip() + s.Sync + cpu
}

// roundTrip is the expected time of the quorum's slowest answer: an order statistic of sums of two delays.
func (s Setting) roundTrip() float64 {
	if s.Jitter == 0 {
		return 2 * s.Delay
	}
	n, k := s.Replicas-1, s.quorum()
	both := distuv.Gamma{Alpha: 2, Beta: 1 / s.Jitter}
	late := func(t float64) float64 { // fewer than k answers by t
		return distuv.Binomial{N: float64(n), P: both.CDF(t)}.CDF(float64(k - 1))
	}
	return 2*s.Delay + quad.Fixed(late, 0, 40*s.Jitter, 200, nil, 0)
}

// rounds is how many there are a second if each takes t.
func (s Setting) rounds(t float64) float64 {
	a := s.Frames * t
	if s.Rounds == 1 {
		return 1 / (t + math.Exp(-a)/s.Frames)
	}
	_, last := s.states(a)
	return s.Frames * (1 - last)
}

// states of the queue M/M/W/W+1: how likely all rounds are under way, and how likely one waits besides.
func (s Setting) states(a float64) (busy, last float64) {
	w := s.Rounds
	weight, sum := 1.0, 1.0
	for k := 1; k <= w; k++ {
		weight *= a / float64(k)
		sum += weight
	}
	full := weight * a / float64(w)
	sum += full
	return (weight + full) / sum, full / sum
}

// waiting is how long a frame waits on average until a round may begin that takes it along.
func (s Setting) waiting(t float64) float64 {
	a := s.Frames * t
	if s.Rounds == 1 {
		return t / 2 * a / (a + math.Exp(-a))
	}
	busy, _ := s.states(a)
	return busy * t / 2
}

// decision is the size of an encoded decision: marks of the lanes that so many frames moved.
func (s Setting) decision(frames float64) float64 {
	const head, mark = 7, 13 // format, time, counts; lane, frames, items, chain
	lanes := float64(s.Lanes)
	return head + mark*lanes*(1-math.Pow(1-1/lanes, max(frames, 1)))
}
