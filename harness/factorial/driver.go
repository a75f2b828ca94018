package factorial

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Driver knows how to measure what an experiment compares.
type Driver interface {
	// Open makes ready what trials need: servers, connections, data. It is called for every block, or once
	// a run, as the declaration's session says.
	Open(ctx context.Context, env Env) (Session, error)
}

// Session is what a driver opened. It is used by one goroutine.
type Session interface {
	// Trial measures one arm at one point. ctx ends when the run is interrupted or the trial takes too long.
	Trial(ctx context.Context, c Cell) (Outcome, error)
	// Close ends every process and undoes everything.
	Close() error
}

// Host is what a [Driver] that changes more than free ports and its own folder says of it, for --dry-run.
type Host interface {
	// Changes are the changes to this machine, a line each, all undone by Close.
	Changes() []string
}

// Env is where a session runs.
type Env struct {
	Bin   string // the folder of lab and metronome; peers lie in its folder peers
	Logs  string // where processes' stderr may be kept; stays
	Dir   string // an empty folder of the session's own on the file system of TMPDIR; removed after Close
	Block int    // 0: the session lasts the run
	Seed  uint64
	Arms  []string // of the plan: what need not be started is not among them
}

// Cell is one trial: an arm at a point.
type Cell struct {
	Arm     string
	Set     map[string]string // the arm's settings
	Factors map[string]string // every factor's value
	Block   int               // from 1
	Repeat  int               // 1; 2: again, for the noise floor
	Attempt int               // from 1
	Seed    uint64            // the same for all arms at the point in the block
	Length  time.Duration     // what to measure for; 0: until the work is done
}

// Folder names this trial like no other of its run: for what it leaves.
func (c Cell) Folder() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d-%s", c.Block, c.Arm)
	for _, name := range slices.Sorted(maps.Keys(c.Factors)) {
		s.WriteString("-" + c.Factors[name])
	}
	fmt.Fprintf(&s, "-%d.%d", c.Repeat, c.Attempt)
	return s.String()
}

// Get is a factor's value, or else the arm's setting of that name.
func (c Cell) Get(name string) (string, error) {
	if v, ok := c.Factors[name]; ok {
		return v, nil
	}
	if v, ok := c.Set[name]; ok {
		return v, nil
	}
	return "", fmt.Errorf("arm %s has neither a factor nor a setting %q; next: declare it in experiment.yaml",
		c.Arm, name)
}

// Int is a value as a whole number.
func (c Cell) Int(name string) (int, error) { return parsed(c, name, "a whole number", strconv.Atoi) }

// Float is a value as a number.
func (c Cell) Float(name string) (float64, error) {
	return parsed(c, name, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Bool is a value as true or false.
func (c Cell) Bool(name string) (bool, error) {
	return parsed(c, name, "true or false", strconv.ParseBool)
}

// Duration is a value as a duration: 20ms.
func (c Cell) Duration(name string) (time.Duration, error) {
	return parsed(c, name, "a duration, as in 20ms", time.ParseDuration)
}

func parsed[T any](c Cell, name, want string, parse func(string) (T, error)) (v T, err error) {
	text, err := c.Get(name)
	if err != nil {
		return v, err
	}
	if v, err = parse(text); err != nil {
		return v, fmt.Errorf("%s is %q: want %s; next: mend it in experiment.yaml", name, text, want)
	}
	return v, nil
}

// Outcome is what a trial told.
type Outcome struct {
	Values   map[string]float64 // by the declaration's metrics; NaN and what is left out is missing
	AtLeast  []string           // metrics of which only a lower bound was seen
	AtMost   []string           // likewise an upper one
	Flags    []string           // remarks on the row
	Void     string             // why the values may not be used; empty: they may
	Files    map[string][]byte  // kept beside the logs, by a name without a folder
	Timeline []Point
}

// Point is one point of a series of a trial.
type Point struct {
	Series string  // with its unit: "requests/s"
	X, Y   float64 // X as a rule in seconds from the trial's beginning
}

// MaxPoints bounds the points that are kept of a trial; more are dropped, and the row says so.
const MaxPoints = 20_000
