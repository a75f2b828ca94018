package model

import (
	"math/rand/v2"
	"testing"
)

// The fit finds the law that made the points.
func TestFitFindsTheLaw(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		want := USL{One: 1e5 + 1e7*r.Float64(), Contention: 0.3 * r.Float64(), Coherence: 0.01 * r.Float64()}
		var cores, rates []float64
		for n := 1.0; n <= 16; n *= 2 {
			cores, rates = append(cores, n), append(rates, want.At(n))
		}
		got, err := FitUSL(cores, rates)
		if err != nil {
			t.Fatal(err)
		}
		if got.Points != 5 || !within(got.At(64), want.At(64), 1e-6) || !within(got.One, want.One, 1e-6) {
			t.Errorf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}

func within(a, b, by float64) bool { return a-b < by*b && b-a < by*b }

func TestFitOfFewPoints(t *testing.T) {
	for _, c := range []struct {
		name         string
		cores, rates []float64
		want         USL
	}{
		{"one", []float64{1}, []float64{7}, USL{One: 7, Points: 1}},
		{"one number, twice", []float64{1, 1}, []float64{7, 7}, USL{One: 7, Points: 1}},
		{"two: Amdahl", []float64{1, 2}, []float64{10, 16}, USL{One: 10, Contention: 0.25, Points: 2}},
		{"better than linear is linear", []float64{1, 2}, []float64{10, 20}, USL{One: 10, Points: 2}},
	} {
		got, err := FitUSL(c.cores, c.rates)
		if err != nil {
			t.Fatal(err)
		}
		if got.Points != c.want.Points || !within(got.At(1), c.want.At(1), 1e-9) ||
			!within(got.At(8), c.want.At(8), 1e-9) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if u, err := FitUSL([]float64{1, 2}, []float64{10, 30}); err != nil || u.Contention != 0 {
		t.Errorf("a law that speeds up: %+v, %v", u, err)
	}
	for _, bad := range [][2][]float64{{nil, nil}, {{1}, {1, 2}}, {{0}, {1}}, {{1}, {0}}} {
		if u, err := FitUSL(bad[0], bad[1]); err == nil {
			t.Errorf("%v: %+v", bad, u)
		}
	}
}

// Each limit binds where it should, by hand.
func TestIntakeByHand(t *testing.T) {
	s := Server{Cores: 1, Link: 100e9, Frame: 134, Items: 2, Receive: 50e-9, Pipeline: 150e-9, Hand: 30e-9,
		Take: 10e-9, Memory: 1e12, Crosses: 4, Scale: USL{One: 1}}
	for _, c := range []struct {
		name   string
		change func(*Server)
		want   float64
		limit  string
	}{
		{"one core", func(*Server) {}, 5e6, "cores"},
		{"four", func(s *Server) { s.Cores = 4 }, 20e6, "cores"},
		{"four that contend", func(s *Server) { s.Cores, s.Scale.Contention = 4, 0.1 }, 20e6 / 1.3, "cores"},
		{"64 at 100 GbE", func(s *Server) { s.Cores = 64 }, 62.5e6, "wire"},
		{"64 at 10 GbE", func(s *Server) { s.Cores, s.Link = 64, 10e9 }, 6.25e6, "wire"},
		{"little memory", func(s *Server) { s.Memory = 536e6 }, 1e6, "memory"},
		{"software on one core", func(s *Server) { s.Software = true }, 5e6, "cores"},
		{"software, one worker", func(s *Server) { s.Software, s.Cores = true, 2 }, 6.25e6, "cores"},
		{"software, many", func(s *Server) { s.Software, s.Cores = true, 16 }, 12.5e6, "poller"},
	} {
		of := s
		c.change(&of)
		got := of.Intake()
		if !within(got.Frames, c.want, 1e-9) || got.Limit != c.limit || got.Items != 2*got.Frames {
			t.Errorf("%s: %+v, want %v by %s", c.name, got, c.want, c.limit)
		}
	}
}
