package model

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*math.Abs(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestARoundByHand(t *testing.T) {
	raft, _ := Of("raft")
	s := Setting{Replicas: 3, Lanes: 1, Rounds: 1, Items: 32, Frames: 1000, Delay: 1e-3, Heartbeat: 40e-3}
	p := raft.Predict(s)
	near(t, "commit", p.Commit, 2e-3)
	// On average e^-2 of the rounds wait a millisecond for a frame.
	near(t, "rounds", p.Rounds, 1/(2e-3+math.Exp(-2)*1e-3))
	near(t, "items", p.Items, 32000/p.Rounds)
	near(t, "messages", p.Messages, 6+4/(40e-3*p.Rounds))
	// Of 2 + e^-2 frames a round 2 wait, for half of it.
	near(t, "item", p.Item, 3e-3+1e-3*2/(2+math.Exp(-2)))
	s.Rounds = 1000 // as many as come
	near(t, "rounds without a bound", raft.Predict(s).Rounds, 1000)
}

// The least of two sums of two exponentials: 2 b + b (1 + 1/4) by hand, for its distribution is
// e^-2x (1+x)^2.
func TestJitterOfAQuorum(t *testing.T) {
	s := Setting{Replicas: 3, Delay: 1, Jitter: 0.5}
	near(t, "round trip", s.roundTrip(), 2+0.5*1.25)
	s.Replicas = 2
	near(t, "round trip of two", s.roundTrip(), 2+0.5*2)
}

func TestSaturation(t *testing.T) {
	for _, name := range Names() {
		a, _ := Of(name)
		s := Setting{Replicas: 3, Lanes: 8, Rounds: 64, Items: 32, Delay: 1e-3, CPU: 20e-6, Heartbeat: 40e-3}
		most := 1 / (2 * (2 + a.Answers) * s.CPU)
		before := Prediction{}
		for _, s.Frames = range []float64{100, 1000, 10000, 100_000, 1e6} {
			p := a.Predict(s)
			if p.Rounds > most || p.Load > 1 || p.Rounds < before.Rounds || p.Item < before.Item {
				t.Errorf("%s at %g frames/s: %+v, after %+v", name, s.Frames, p, before)
			}
			before = p
		}
		if before.Rounds < 0.9*most {
			t.Errorf("%s: %+v is no saturation, %v would be", name, before, most)
		}
	}
	if _, ok := Of("rabia"); ok {
		t.Error("a model that there is not")
	}
}
