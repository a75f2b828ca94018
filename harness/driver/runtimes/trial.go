package runtimes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"metronome/harness/driver/runtimes/wait4"
	"metronome/harness/factorial"
)

// report is what a client prints.
type report struct {
	Runtime    string
	Operations int
	Checksum   string
	LoadNS     int64   `json:"load_ns"`
	FirstNS    int64   `json:"first_ns"`
	MarksNS    []int64 `json:"marks_ns"`
	PeakKiB    int64   `json:"peak_kib"`
}

// job is a trial, read from its cell.
type job struct {
	work
	language  *language
	verb      string // noop, write, read, delete
	https     bool
	underTime bool // under time(1), too
}

func (s *session) job(c factorial.Cell) (j job, err error) {
	name, err := c.Get("runtime")
	if err != nil {
		return j, err
	}
	if j.language, err = s.language(name); err != nil {
		return j, err
	}
	if j.underTime = c.Set["under"] == "time"; j.underTime {
		if err := missing(gnuTime); err != nil {
			return j, err
		}
	}
	if j.n, err = c.Int("n"); err != nil {
		return j, err
	}
	if j.value, err = c.Int("value"); err != nil {
		return j, err
	}
	if j.verb, err = c.Get("op"); err != nil {
		return j, err
	}
	place, err := c.Get("place")
	j.https = place == "https"
	return j, err
}

// Trial implements factorial.Session.
func (s *session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	j, err := s.job(c)
	if err != nil {
		return o, err
	}
	var st *state
	argv := append(j.language.argv[:len(j.language.argv):len(j.language.argv)], j.verb)
	if j.verb != "noop" {
		if st, err = s.workload(j.work); err != nil {
			return o, err
		}
		if argv = append(argv, "store", st.path); j.https {
			argv[len(argv)-2] = "https"
			argv = append(argv, s.edge.URL, s.edge.CA, s.edge.Secret)
			if err := s.prepare(ctx, st, j.verb); err != nil {
				return o, err
			}
		}
	}
	o, said, err := s.measure(ctx, &j, argv)
	if err != nil || st == nil {
		return o, err
	}
	if want := fmt.Sprintf("%08x", st.loaded.Checksum(j.verb == "delete")); said.Checksum != want ||
		said.Operations != j.n {
		return o, fmt.Errorf("%s: %d operations with checksum %q, not %d with %q: it did other work",
			said.Runtime, said.Operations, said.Checksum, j.n, want)
	}
	if j.https {
		err = s.after(ctx, st, j.verb)
	}
	if c.Block <= 1 {
		o.Timeline = series(said)
	}
	return o, err
}

// measure runs the client once.
func (s *session) measure(ctx context.Context, j *job, argv []string) (
	o factorial.Outcome, r *report, err error,
) {
	times := filepath.Join(s.dir, "time.txt")
	if j.underTime {
		argv = append([]string{gnuTime, "-o", times, "-f", "%e %U %S %M"}, argv...)
	}
	before := s.edge.CPU()
	out, used, err := s.launcher.Run(ctx, argv...)
	edge := s.edge.CPU() - before
	if err != nil {
		return o, nil, err
	}
	r = &report{}
	if err := json.Unmarshal(out, r); err != nil {
		return o, nil, fmt.Errorf("the client said %.200q: %w", out, err)
	}
	o.Flags = append(o.Flags, s.flags...)
	o.Values = values(j, r, &used)
	if j.https && j.verb != "noop" {
		o.Values["edge_cpu_us"] = float64(edge.Nanoseconds()) / 1e3 / float64(j.n)
	}
	if shape, steady := Steady(perOperation(r)); shape != "" {
		o.Flags = append(o.Flags, shape)
		o.Values["steady_us"] = steady
	}
	if j.underTime {
		err = compare(times, &used, o.Values)
	}
	return o, r, err
}

const mib = 1024 // KiB

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// values are a run's, by the names of the declaration.
func values(j *job, r *report, u *wait4.Usage) map[string]float64 {
	v := map[string]float64{
		"wall_ms": ms(u.Wall), "user_ms": ms(u.User), "system_ms": ms(u.System), "cpu_ms": ms(u.CPU()),
		"cpu_percent": 100 * u.CPU().Seconds() / u.Wall.Seconds(),
		"memory":      float64(u.MaxRSS) / mib, "own_memory": float64(r.PeakKiB) / mib,
		"memory_ratio": float64(u.MaxRSS) / float64(r.PeakKiB),
		"minor_faults": float64(u.MinorFaults), "major_faults": float64(u.MajorFaults),
		"voluntary_switches": float64(u.Voluntary), "involuntary_switches": float64(u.Involuntary),
	}
	if j.verb == "noop" {
		return v
	}
	n := float64(j.n)
	v["wall_per_op"], v["cpu_per_op"] = 1e3*v["wall_ms"]/n, 1e3*v["cpu_ms"]/n
	v["load_ms"], v["first_ms"] = float64(r.LoadNS)/1e6, float64(r.FirstNS)/1e6
	if len(r.MarksNS) > 0 {
		v["run_ms"] = float64(r.MarksNS[len(r.MarksNS)-1]) / 1e6
	}
	return v
}

// perOperation is how long an operation took in each part of a run, in microseconds, the first operation
// left out: it opens the connection.
func perOperation(r *report) (us []float64) {
	parts := len(r.MarksNS)
	last, done := r.FirstNS, 1
	for i, mark := range r.MarksNS {
		end := max(1, r.Operations*(i+1)/parts)
		if end > done {
			us = append(us, float64(mark-last)/1e3/float64(end-done))
		}
		last, done = mark, end
	}
	return us
}

// series is the same as points of a figure.
func series(r *report) (points []factorial.Point) {
	all := perOperation(r)
	for i, us := range all {
		at := 100 * float64(i+1) / float64(len(all))
		points = append(points, factorial.Point{Series: "µs per operation", X: at, Y: us})
	}
	return points
}

// compare reads what time(1) wrote of the run that wait4 measured, and tells how far the two are apart.
func compare(path string, u *wait4.Usage, v map[string]float64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f := strings.Fields(string(b))
	if len(f) != 4 {
		return fmt.Errorf("time wrote %q, not four figures", b)
	}
	var n [4]float64
	for i := range f {
		if n[i], err = strconv.ParseFloat(f[i], 64); err != nil {
			return fmt.Errorf("time wrote %q: %w", b, err)
		}
	}
	v["time_wall_ms"], v["time_cpu_ms"], v["time_memory"] = 1e3*n[0], 1e3*(n[1]+n[2]), n[3]/mib
	v["time_wall_ratio"] = v["time_wall_ms"] / ms(u.Wall)
	v["time_cpu_gap_ms"] = abs(v["time_cpu_ms"] - ms(u.CPU()))
	v["time_memory_ratio"] = n[3] / float64(u.MaxRSS)
	return nil
}

func abs(x float64) float64 { return max(x, -x) }
