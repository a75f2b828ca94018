package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"metronome/internal/strictyaml"
)

// File is the declaration's name in an experiment's folder.
const File = "experiment.yaml"

// Experiment is a declaration.
type Experiment struct {
	Head     `yaml:",inline"`
	Claims   []Claim            `yaml:"claims"`
	Primary  Cell               `yaml:"primary"`
	Arms     []Arm              `yaml:"arms"`
	Slices   []Slice            `yaml:"slices"`
	Search   Search             `yaml:"search"`
	Profiles map[string]Profile `yaml:"profiles"`
}

// Claim is what somebody said, in terms of arms and metrics.
type Claim struct {
	Said   `yaml:",inline"`
	Kind   string   `yaml:"kind"`   // ratio, rate, offloads
	Metric string   `yaml:"metric"` // empty: loss-free frames/s
	Bound  float64  `yaml:"bound"`
	Arm    string   `yaml:"arm"`
	Rung   string   `yaml:"rung"`   // ratio, offloads: compared with
	Others []string `yaml:"others"` // further rungs, exploratory
	Items  string   `yaml:"items"`  // items a frame of the primary cell, if another than primary's
	Burst  int      `yaml:"burst"`  // likewise

	RungMetric string `yaml:"rung_metric"`
}

// Arm is one of the implementations compared.
type Arm struct {
	Name string `yaml:"name"`
	What string `yaml:"what"`
	// KernelHalf says that the arm's frames cross the kernel, so that it is measured in every
	// placement.
	KernelHalf bool `yaml:"kernel_half"`
	// Ceiling marks a reference that is only ever measured at the generator's maximum.
	Ceiling bool `yaml:"ceiling"`
}

// Cell is one combination of factors.
type Cell struct {
	ItemBytes int    `yaml:"item_bytes"` // key and value
	Items     string `yaml:"items"`      // a number, or max: as many as fit
	Burst     int    `yaml:"burst"`      // frames a receive call
	Digest    string `yaml:"digest"`
	Hugepages bool   `yaml:"hugepages"`
	Lanes     int    `yaml:"lanes"`
}

// Slice varies one factor round the primary cell.
type Slice struct {
	Factor string   `yaml:"factor"` // items, item_bytes, burst, digest, hugepages, lanes
	Values []string `yaml:"values"`
	Arms   []string `yaml:"arms"`
}

// Search says how the loss-free rate is sought and re-measured.
type Search struct {
	LossLimit float64   `yaml:"loss_limit"` // loss ratio still called loss-free
	Precision float64   `yaml:"precision"`  // the search ends when the bracket is this tight
	Bracket   []float64 `yaml:"bracket"`    // fixed rates of each block, as multiples of the rate found
	Overload  float64   `yaml:"overload"`   // multiple of the rate found
}

// Profile says how much to run.
type Profile struct {
	Effort     `yaml:",inline"`
	TrialMS    int      `yaml:"trial_ms"`
	SearchMS   int      `yaml:"search_ms"`
	Precision  float64  `yaml:"precision"` // of the search; 0: Search.Precision
	Placements []string `yaml:"placements"`
	Arms       []string `yaml:"arms"`   // empty: all
	Slices     []string `yaml:"slices"` // factors; empty: none
	// Bracket of the arms that the first claim does not name, and of the slices' cells; empty:
	// Search.Bracket.
	OtherRates []float64 `yaml:"other_bracket"`
	SliceArms  []string  `yaml:"slice_arms"` // empty: as each slice says
	SliceRates []float64 `yaml:"slice_bracket"`
	OverloadIn int       `yaml:"overload_blocks"`
	NoisePairs bool      `yaml:"noise_pairs"` // an A/A pair in every block
}

// Trial is a trial's length.
func (p Profile) Trial() time.Duration { return time.Duration(p.TrialMS) * time.Millisecond }

// SearchTrial is the length of a trial of the search.
func (p Profile) SearchTrial() time.Duration { return time.Duration(p.SearchMS) * time.Millisecond }

// Load reads experiments/<name>/experiment.yaml under root. An unknown name's error lists what
// there is.
func Load(root, name string) (*Experiment, error) {
	return loadAs(root, name, Parse, func(e *Experiment) string { return e.Name })
}

// loadAs reads a declaration of any kind, which must bear its folder's name.
func loadAs[E any](root, folder string, parse func([]byte) (*E, error), name func(*E) string) (*E, error) {
	b, err := read(root, folder)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, folder, File)
	e, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if name(e) != folder {
		return nil, fmt.Errorf("%s: name is %q, the folder is %q", path, name(e), folder)
	}
	return e, nil
}

// List is the names of the experiments under root.
func List(root string) (names []string) {
	paths, _ := filepath.Glob(filepath.Join(root, "*", File))
	for _, p := range paths {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	sort.Strings(names)
	return names
}

// Parse reads a declaration and checks it.
func Parse(b []byte) (*Experiment, error) {
	var e Experiment
	if _, err := strictyaml.Decode(b, &e); err != nil {
		return nil, err
	}
	e.hash = hashOf(b)
	return &e, e.check()
}

func hashOf(declaration []byte) string {
	sum := sha256.Sum256(declaration)
	return hex.EncodeToString(sum[:])
}

// Arm finds an arm by name.
func (e *Experiment) Arm(name string) (Arm, error) {
	for _, a := range e.Arms {
		if a.Name == name {
			return a, nil
		}
	}
	return Arm{}, unknownName("arm", name, e.armNames())
}

func (e *Experiment) armNames() (names []string) {
	for _, a := range e.Arms {
		names = append(names, a.Name)
	}
	return names
}

// Profile finds a profile by name.
func (e *Experiment) Profile(name string) (Profile, error) {
	return profileNamed(e.Profiles, name)
}

func profileNamed[P any](all map[string]P, name string) (p P, err error) {
	p, ok := all[name]
	if !ok {
		return p, unknownName("profile", name, slices.Sorted(maps.Keys(all)))
	}
	return p, nil
}

// Factors lists what a slice may vary.
var factors = []string{"item_bytes", "items", "burst", "digest", "hugepages", "lanes"}

func (e *Experiment) check() error {
	if e.Name == "" || e.Question == "" || len(e.Arms) == 0 {
		return errors.New("name, question and arms must be given")
	}
	if _, err := e.Primary.Resolve(); err != nil {
		return fmt.Errorf("primary: %w", err)
	}
	if e.Search.LossLimit <= 0 || e.Search.Precision <= 0 || len(e.Search.Bracket) == 0 {
		return errors.New("search: loss_limit, precision and bracket must be given and positive")
	}
	for _, s := range e.Slices {
		if !slices.Contains(factors, s.Factor) {
			return unknownName("factor", s.Factor, factors)
		}
		if _, err := e.cells(s); err != nil {
			return err
		}
		if err := e.checkArms(s.Arms); err != nil {
			return fmt.Errorf("slice %s: %w", s.Factor, err)
		}
	}
	for _, c := range e.Claims {
		if err := e.checkArms(append([]string{c.Arm, c.Rung}, c.Others...)); err != nil {
			return fmt.Errorf("claim %s: %w", c.Name, err)
		}
	}
	for name, p := range e.Profiles {
		if err := e.checkProfile(p); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
	}
	return nil
}

func (e *Experiment) checkArms(names []string) error {
	for _, n := range names {
		if n == "" {
			continue
		}
		if _, err := e.Arm(n); err != nil {
			return err
		}
	}
	return nil
}

func (e *Experiment) checkProfile(p Profile) error {
	switch {
	case p.Blocks < 1 || p.TrialMS < 50 || p.SearchMS < 50:
		return errors.New("blocks must be at least 1, trial_ms and search_ms at least 50")
	case p.Precision < 0 || p.Precision > 0 && !p.NotJudged:
		return errors.New("precision: only a profile that is not judged may search less closely, and not below 0")
	case len(p.Placements) == 0:
		return errors.New("placements must name same, other, or both")
	}
	for _, pl := range p.Placements {
		if pl != "same" && pl != "other" {
			return unknownName("placement", pl, []string{"same", "other"})
		}
	}
	for _, f := range p.Slices {
		if !slices.ContainsFunc(e.Slices, func(s Slice) bool { return s.Factor == f }) {
			return fmt.Errorf("no slice varies %q", f)
		}
	}
	return e.checkArms(slices.Concat(p.Arms, p.SliceArms))
}

// unknownName is the error for a name that is none of known, with the nearest that is.
func unknownName(what, name string, known []string) error {
	if near := strictyaml.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s? (there is: %s)", what, name, near,
			strings.Join(known, ", "))
	}
	return fmt.Errorf("unknown %s %q (there is: %s)", what, name, strings.Join(known, ", "))
}
