package model

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// USL is Gunther's Universal Scalability Law ("Guerrilla Capacity Planning", 2007): what n cores do is
// One × n / (1 + Contention (n-1) + Coherence n (n-1)).
type USL struct {
	One        float64 // what one core does
	Contention float64 // share of the work that only one at a time can do
	Coherence  float64 // cost of each pair of cores' keeping their view of memory the same
	Points     int     // different numbers of cores that it was fitted to
}

// At is what n cores do.
func (u USL) At(n float64) float64 {
	return u.One * n / (1 + u.Contention*(n-1) + u.Coherence*n*(n-1))
}

// FitUSL fits the law to rates of so many cores, least squares of the relative deviation. Of two different
// numbers of cores Coherence cannot be told and is 0, of one neither. A parameter that would come out below
// 0, which the law does not have, is 0.
func FitUSL(cores, rates []float64) (USL, error) {
	if len(cores) != len(rates) || len(cores) == 0 {
		return USL{}, errors.New("model: a rate for each number of cores is needed, and one at least")
	}
	distinct := map[float64]bool{}
	for i, n := range cores {
		if n < 1 || rates[i] <= 0 {
			return USL{}, errors.New("model: cores count from 1, and rates are above 0")
		}
		distinct[n] = true
	}
	terms := []func(n float64) float64{
		func(float64) float64 { return 1 },
		func(n float64) float64 { return n - 1 },
		func(n float64) float64 { return n * (n - 1) },
	}
	in := []int{0, 1, 2}[:min(len(distinct), 3)]
	// n / rate = (1 + Contention (n-1) + Coherence n (n-1)) / One is linear in what is sought.
	for {
		x, err := solve(cores, rates, terms, in)
		if err != nil {
			return USL{}, err
		}
		worst := -1
		for i := 1; i < len(in); i++ {
			if x[i] < 0 && (worst < 0 || x[i] < x[worst]) {
				worst = i
			}
		}
		if worst < 0 {
			u := USL{One: 1 / x[0], Points: len(distinct)}
			for i, term := range in {
				switch term {
				case 1:
					u.Contention = x[i] / x[0]
				case 2:
					u.Coherence = x[i] / x[0]
				}
			}
			return u, nil
		}
		in = append(append([]int(nil), in[:worst]...), in[worst+1:]...)
	}
}

// solve weighs each point by its rate, so that deviations are relative.
func solve(cores, rates []float64, terms []func(float64) float64, in []int) ([]float64, error) {
	a, b := mat.NewDense(len(cores), len(in), nil), mat.NewVecDense(len(cores), nil)
	for i, n := range cores {
		weight := rates[i] / n
		for j, term := range in {
			a.Set(i, j, weight*terms[term](n))
		}
		b.SetVec(i, 1)
	}
	var x mat.VecDense
	if err := x.SolveVec(a, b); err != nil {
		return nil, errors.New("model: the rates do not determine the law: " + err.Error())
	}
	return x.RawVector().Data, nil
}

// Server is one that takes frames in on several cores. Times are in s, sizes in bytes.
type Server struct {
	Cores    int
	Software bool    // one core receives and hands frames on to the others, instead of the NIC
	Link     float64 // bits/s
	Frame    float64 // UDP payload
	Items    float64 // in a frame

	Receive  float64 // one core's time to get a frame from its queue
	Pipeline float64 // to verify, place and release it
	Hand     float64 // to put it into another core's ring
	Take     float64 // to get it from there
	Scale    USL     // of the pipeline; only its shape counts

	Memory  float64 // bytes/s
	Crosses float64 // how often each byte of a frame crosses the memory bus
}

// Bytes of a frame on the wire besides the UDP payload: Ethernet, IPv4 and UDP headers, and check sum,
// preamble and gap.
const wireBytes = 42 + 24

// Intake is what a server takes in.
type Intake struct {
	Frames, Items float64 // a second
	Limit         string  // what keeps it from more: cores, poller, wire or memory
}

// Intake predicts how many frames a second the server takes in without loss.
func (s Server) Intake() Intake {
	n := float64(s.Cores)
	limits := []struct {
		name   string
		frames float64
	}{
		{"wire", s.Link / 8 / (s.Frame + wireBytes)},
		{"memory", s.Memory / (s.Crosses * s.Frame)},
	}
	add := func(name string, frames float64) {
		limits = append(limits, struct {
			name   string
			frames float64
		}{name, frames})
	}
	switch {
	case !s.Software || s.Cores == 1:
		add("cores", s.speedup(n)/(s.Receive+s.Pipeline))
	default:
		add("poller", 1/(s.Receive+s.Hand))
		add("cores", s.speedup(n-1)/(s.Take+s.Pipeline))
	}
	least := Intake{Frames: math.Inf(1)}
	for _, l := range limits {
		if l.frames < least.Frames {
			least = Intake{Frames: l.frames, Limit: l.name}
		}
	}
	least.Items = least.Frames * s.Items
	return least
}

// speedup is what n cores do in units of one.
func (s Server) speedup(n float64) float64 {
	u := s.Scale
	u.One = 1
	return u.At(n)
}
