package spec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"metronome/internal/strictyaml"
)

// Store declares an experiment on whole stores: arms are systems, each started once a block and setup,
// and loaded in several ways while it runs.
type Store struct {
	Head     `yaml:",inline"`
	Figures  []string                `yaml:"figures"` // which to draw; names of package plot
	Claims   []StoreClaim            `yaml:"claims"`
	Workload Workload                `yaml:"workload"`
	Arms     []StoreArm              `yaml:"arms"`
	Setups   []Setup                 `yaml:"setups"`
	Loads    []StoreLoad             `yaml:"loads"`
	Profiles map[string]StoreProfile `yaml:"profiles"`
}

// Workload is what every operation of every arm looks like.
type Workload struct {
	Keys       int     `yaml:"keys"`
	KeyBytes   int     `yaml:"key_bytes"`
	ValueBytes int     `yaml:"value_bytes"`
	ReadRatio  float64 `yaml:"read_ratio"`
}

// StoreArm is one of the systems compared.
type StoreArm struct {
	Name    string   `yaml:"name"`
	What    string   `yaml:"what"`
	Durable string   `yaml:"durable"` // what an acknowledged write survives
	Peer    string   `yaml:"peer"`    // which system: lab peers list
	Mode    string   `yaml:"mode"`    // how it is driven; empty: its best
	Set     Settings `yaml:"set"`
}

// Settings are the knobs of a store; a zero leaves a knob alone.
type Settings struct {
	Replicas           int           `yaml:"replicas"`
	Lanes              int           `yaml:"lanes"`
	Multicast          string        `yaml:"multicast"`
	RoundInterval      time.Duration `yaml:"round_interval"`
	ForceRoundInterval bool          `yaml:"force_round_interval"`
	ApplyPerItem       time.Duration `yaml:"apply_per_item"`
	FramesPerSecond    int64         `yaml:"frames_per_second"`
	LaneWindowFrames   int           `yaml:"lane_window_frames"`
	LaneArenaBytes     int64         `yaml:"lane_arena_bytes"`
	ReceiveBuffer      int64         `yaml:"receive_buffer"` // bytes, of each socket
	ValueBytes         int           `yaml:"value_bytes"`    // the longest value
	Durability         string        `yaml:"durability"`     // memory, fsync
	FsyncEachFrame     bool          `yaml:"fsync_each_frame"`
}

// Setup is settings on top of an arm's own.
type Setup struct {
	Name  string   `yaml:"name"`
	Set   Settings `yaml:"set"`
	Arms  []string `yaml:"arms"`  // empty: all
	Loads []string `yaml:"loads"` // empty: the profile's
}

// StoreLoad is one way to load a system. A load that names neither rate nor fraction is a closed loop in
// the shape of the arm's mode.
type StoreLoad struct {
	Name        string   `yaml:"name"`
	Fraction    float64  `yaml:"fraction"`    // open loop: of the saturation of the same block, arm and setup
	RateOPS     float64  `yaml:"rate_ops"`    // open loop
	Outstanding int      `yaml:"outstanding"` // closed loop: of one connection, one operation each
	ReadRatio   float64  `yaml:"read_ratio"`  // share of gets; 0: the workload's
	Arms        []string `yaml:"arms"`        // empty: all

	// Kill are the roles of processes that are killed meanwhile, each time one drawn from the list: leader,
	// follower, proxy, replicas (all at once). A role may stand there more than once, to come more often.
	Kill []string `yaml:"kill"`
}

// The roles of what is killed.
const (
	KillLeader   = "leader"
	KillFollower = "follower"
	KillProxy    = "proxy"
	KillReplicas = "replicas"
)

var killRoles = []string{KillLeader, KillFollower, KillProxy, KillReplicas}

// Saturation reports whether the load is the closed loop that fractions refer to.
func (l StoreLoad) Saturation() bool {
	return l.Fraction == 0 && l.RateOPS == 0 && l.Outstanding == 0 && l.ReadRatio == 0 && !l.Kills()
}

// Kills reports whether processes are killed under the load.
func (l StoreLoad) Kills() bool { return len(l.Kill) > 0 }

// StoreClaim is what somebody said, in terms of arms, setups, loads and metrics.
type StoreClaim struct {
	Said   `yaml:",inline"`
	Metric string  `yaml:"metric"`
	At     string  `yaml:"at"` // least (the default), or most
	Bound  float64 `yaml:"bound"`
	Always bool    `yaml:"always"` // the bound holds in every block: one that breaks it refutes the claim
	Arm    string  `yaml:"arm"`
	Setup  string  `yaml:"setup"` // empty: the first
	Load   string  `yaml:"load"`

	// Of a ratio: what is divided by. Of several rungs, the best of each block counts.
	Rungs      []string `yaml:"rungs"`
	RungSetup  string   `yaml:"rung_setup"`  // empty: the claim's
	RungLoad   string   `yaml:"rung_load"`   // empty: the claim's
	RungMetric string   `yaml:"rung_metric"` // empty: the claim's
	Others     []string `yaml:"others"`      // further rungs, exploratory
}

// StoreProfile says how much to run.
type StoreProfile struct {
	Effort    `yaml:",inline"`
	WarmupMS  int      `yaml:"warmup_ms"`
	WindowMS  int      `yaml:"window_ms"`
	Keys      int      `yaml:"keys"`    // 0: the workload's
	Preload   bool     `yaml:"preload"` // every key is there before anything is measured
	Kills     int      `yaml:"kills"`   // of each block, under loads that kill
	Arms      []string `yaml:"arms"`    // empty: all, likewise the next two
	Setups    []string `yaml:"setups"`
	Loads     []string `yaml:"loads"`
	NoisePair string   `yaml:"noise_pair"` // the arm whose saturation is measured twice in every block
}

// Warmup is how long a load runs before it is measured.
func (p StoreProfile) Warmup() time.Duration { return time.Duration(p.WarmupMS) * time.Millisecond }

// Window is how long a load is measured.
func (p StoreProfile) Window() time.Duration { return time.Duration(p.WindowMS) * time.Millisecond }

// LoadStore reads experiments/<name>/experiment.yaml under root, which must be of kind store.
func LoadStore(root, name string) (*Store, error) {
	return loadAs(root, name, ParseStore, func(e *Store) string { return e.Name })
}

// ParseStore reads a declaration of kind store and checks it.
func ParseStore(b []byte) (*Store, error) {
	var e Store
	if _, err := strictyaml.Decode(b, &e); err != nil {
		return nil, err
	}
	e.hash = hashOf(b)
	if len(e.Setups) == 0 {
		e.Setups = []Setup{{Name: "default"}}
	}
	return &e, e.check()
}

// Kills reports whether the experiment's loads kill processes.
func (e *Store) Kills() bool { return len(e.Loads) > 0 && e.Loads[0].Kills() }

// Profile finds a profile by name.
func (e *Store) Profile(name string) (StoreProfile, error) {
	return profileNamed(e.Profiles, name)
}

func namesOf[T any](all []T, name func(T) string) (names []string) {
	for _, x := range all {
		names = append(names, name(x))
	}
	return names
}

func (e *Store) armNames() []string {
	return namesOf(e.Arms, func(a StoreArm) string { return a.Name })
}

func (e *Store) setupNames() []string {
	return namesOf(e.Setups, func(s Setup) string { return s.Name })
}

func (e *Store) loadNames() []string {
	return namesOf(e.Loads, func(l StoreLoad) string { return l.Name })
}

// known is an error for the first of names that is not among all.
func known(what string, all []string, names ...string) error {
	for _, n := range names {
		if n != "" && !slices.Contains(all, n) {
			return unknownName(what, n, all)
		}
	}
	return nil
}

// unique is an error for a name that is empty or there twice.
func unique(what string, names []string) error {
	for i, n := range names {
		if n == "" {
			return fmt.Errorf("%s %d has no name", what, i+1)
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%s %q is declared twice", what, n)
		}
	}
	return nil
}

func (e *Store) check() error {
	w := e.Workload
	switch {
	case e.Kind != KindStore:
		return fmt.Errorf("kind %q: use %s", e.Kind, KindStore)
	case e.Name == "" || e.Question == "" || len(e.Arms) == 0 || len(e.Loads) == 0:
		return errors.New("name, question, arms and loads must be given")
	case w.Keys < 1 || w.KeyBytes < 8 || w.ValueBytes < 1 || w.ReadRatio < 0 || w.ReadRatio > 1:
		return errors.New("workload: use keys of at least 1, key_bytes of 8, value_bytes of 1, read_ratio 0 to 1")
	}
	if err := cmp.Or(unique("arm", e.armNames()), unique("setup", e.setupNames()),
		unique("load", e.loadNames())); err != nil {
		return err
	}
	for _, a := range e.Arms {
		if a.Peer == "" || a.What == "" {
			return fmt.Errorf("arm %s: peer and what must be given", a.Name)
		}
	}
	for _, s := range e.Setups {
		if err := cmp.Or(known("arm", e.armNames(), s.Arms...),
			known("load", e.loadNames(), s.Loads...)); err != nil {
			return fmt.Errorf("setup %s: %w", s.Name, err)
		}
	}
	for _, l := range e.Loads {
		if err := e.checkLoad(l); err != nil {
			return fmt.Errorf("load %s: %w", l.Name, err)
		}
	}
	for _, c := range e.Claims {
		if err := e.checkClaim(c); err != nil {
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

func (e *Store) checkLoad(l StoreLoad) error {
	given := 0
	for _, v := range []float64{l.Fraction, l.RateOPS, float64(l.Outstanding)} {
		if v < 0 {
			return errors.New("fraction, rate_ops and outstanding must not be negative")
		}
		if v > 0 {
			given++
		}
	}
	if l.ReadRatio < 0 || l.ReadRatio > 1 {
		return fmt.Errorf("read_ratio %g: use 0 to 1", l.ReadRatio)
	}
	switch {
	case given > 1:
		return errors.New("give one of fraction, rate_ops and outstanding")
	case l.Kills() != e.Kills():
		return errors.New("kill: an experiment's loads all kill, or none does")
	case l.Kills() && l.RateOPS == 0:
		return errors.New("kill: rate_ops must be given")
	}
	return cmp.Or(known("arm", e.armNames(), l.Arms...), known("kill", killRoles, l.Kill...))
}

// checkAt checks which way a claim's bound is meant.
func checkAt(at string) error {
	if at != "" && at != "least" && at != "most" {
		return unknownName("at", at, []string{"least", "most"})
	}
	return nil
}

func (e *Store) checkClaim(c StoreClaim) error {
	if err := checkAt(c.At); err != nil {
		return err
	}
	switch {
	case c.Name == "" || c.Words == "" || c.Metric == "" || c.Arm == "" || c.Load == "":
		return errors.New("name, words, metric, arm and load must be given")
	case len(c.Rungs) == 0 && len(c.Others)+len(c.RungSetup)+len(c.RungLoad)+len(c.RungMetric) > 0:
		return errors.New("rungs must be given: what is divided by")
	}
	return cmp.Or(known("arm", e.armNames(), append(slices.Concat(c.Rungs, c.Others), c.Arm)...),
		known("setup", e.setupNames(), c.Setup, c.RungSetup), known("load", e.loadNames(), c.Load, c.RungLoad))
}

func (e *Store) checkProfile(p StoreProfile) error {
	if p.Blocks < 1 || p.WindowMS < 100 || p.WarmupMS < 0 || p.Keys < 0 {
		return errors.New("blocks must be at least 1, window_ms at least 100, warmup_ms and keys not negative")
	}
	if e.Kills() != (p.Kills > 0) {
		return errors.New("kills: give how many there are in a block, if the loads kill")
	}
	return cmp.Or(known("arm", e.armNames(), append(slices.Clone(p.Arms), p.NoisePair)...),
		known("setup", e.setupNames(), p.Setups...), known("load", e.loadNames(), p.Loads...))
}
