package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxRuns bounds the runs that may start within one second.
const maxRuns = 99

// Run is a run's directory. It is only ever added to; a rerun is another run.
type Run struct {
	Dir string // <root>/<experiment>/<ID>
	ID  string
}

// RunID names a run: when it started, from which commit and which declaration, as
// <UTC yyyymmddThhmmssZ>-<commit, 7 digits>-<spec hash, 4 digits>. An absent hash is "unknown".
func RunID(start time.Time, commit, specHash string) string {
	return start.UTC().Format("20060102T150405Z") + "-" + prefix(commit, 7) + "-" + prefix(specHash, 4)
}

func prefix(hash string, n int) string {
	if hash == "" {
		hash = Unknown
	}
	return hash[:min(n, len(hash))]
}

// CreateRun makes <root>/<experiment>/<run id>/logs. A second run within the same second gets "-2"
// appended to its id, and so on.
func CreateRun(root, experiment string, start time.Time, commit, specHash string) (*Run, error) {
	if !filepath.IsLocal(experiment) || strings.ContainsRune(experiment, filepath.Separator) {
		return nil, fmt.Errorf("create a run: %q is not an experiment's name", experiment)
	}
	parent := filepath.Join(root, experiment)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, diskError("create the results directory", err)
	}
	id := RunID(start, commit, specHash)
	for i := 1; i <= maxRuns; i++ {
		r := &Run{ID: id, Dir: filepath.Join(parent, id)}
		err := os.Mkdir(r.Dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			id = fmt.Sprintf("%s-%d", RunID(start, commit, specHash), i+1)
			continue
		}
		if err == nil {
			err = os.Mkdir(r.Path("logs"), 0o755)
		}
		if err != nil {
			return nil, diskError("create the run directory", err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("create a run: %d runs named %s exist already; try again in a second",
		maxRuns, RunID(start, commit, specHash))
}

// Path returns the path of a file in the run's directory.
func (r *Run) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

// PointLatest makes <root>/<experiment>/latest a relative link to this run, in one step.
func (r *Run) PointLatest() error {
	link := filepath.Join(filepath.Dir(r.Dir), "latest")
	if fi, err := os.Lstat(link); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("point latest at %s: %s is not a symbolic link: move it away", r.ID, link)
	}
	next := link + "." + r.ID
	if err := os.Symlink(r.ID, next); err != nil && !errors.Is(err, fs.ErrExist) {
		return diskError("point latest at "+r.ID, err)
	}
	if err := os.Rename(next, link); err != nil {
		return errors.Join(diskError("point latest at "+r.ID, err), os.Remove(next))
	}
	return nil
}

// Results is everything a run directory says in tables.
type Results struct {
	Manifest Manifest
	Trials   []Trial
	Stores   []StoreTrial // the trials of an experiment on stores, which has no others
	Kills    []Kill       // of one that kills
	Timeline []Moment     // likewise
	Sims     []SimTrial   // the trials of an experiment on the simulator
	Coverage []Covered    // likewise

	Factorials []FactorialRow   // the trials of a factorial experiment, a row a metric
	Points     []FactorialPoint // likewise

	Summaries []Summary
	Claims    []Claim
	Offloads  []Offload
}

// ReadRun reads the run in dir. The manifest and trials.csv must exist; an interrupted run may lack
// the other tables.
func ReadRun(dir string) (Results, error) {
	var r Results
	var err error
	if r.Manifest, err = ReadManifest(filepath.Join(dir, "manifest.json")); err != nil {
		return r, fmt.Errorf("%s is not a run: %w", dir, err)
	}
	switch r.Manifest.Kind {
	case ExperimentStore:
		r.Stores, err = ReadFile(filepath.Join(dir, StoreTrials().File), StoreTrials())
	case ExperimentSim:
		r.Sims, err = ReadFile(filepath.Join(dir, SimTrials().File), SimTrials())
	case ExperimentFactorial:
		r.Factorials, err = ReadFile(filepath.Join(dir, FactorialRows().File), FactorialRows())
	default:
		r.Trials, err = ReadFile(filepath.Join(dir, Trials().File), Trials())
	}
	if err != nil {
		return r, err
	}
	course := func() error { return readOptional(dir, Timeline(), &r.Timeline) }
	if r.Manifest.Kind == ExperimentFactorial {
		course = func() error { return readOptional(dir, FactorialPoints(), &r.Points) }
	}
	return r, errors.Join(course(),
		readOptional(dir, Summaries(), &r.Summaries),
		readOptional(dir, Claims(), &r.Claims),
		readOptional(dir, Offloads(), &r.Offloads),
		readOptional(dir, Kills(), &r.Kills),
		readOptional(dir, Coverage(), &r.Coverage))
}

func readOptional[R any](dir string, table Table[R], rows *[]R) (err error) {
	*rows, err = ReadFile(filepath.Join(dir, table.File), table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
