package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"
)

// Kinds of experiments. What a declaration may hold depends on it.
const (
	KindIngest = "ingest" // frames into one receiver; the kind of a declaration that names none
	KindStore  = "store"  // operations on whole stores
	KindSim    = "sim"    // seeds of the simulator
)

var kinds = []string{KindIngest, KindStore, KindSim}

// Outline is what declarations of every kind have.
type Outline struct {
	Name, Kind, Question string
	Claims               []OutlineClaim
	Profiles             map[string]OutlineProfile
}

// OutlineClaim is who said what.
type OutlineClaim struct{ Quote, Words, Source string }

// OutlineProfile is how long it takes.
type OutlineProfile struct {
	Minutes float64
	What    string
}

// ReadOutline reads what experiments/<name>/experiment.yaml under root is about, whatever its kind, having
// checked all of it.
func ReadOutline(root, name string) (o Outline, err error) {
	kind, err := KindOf(root, name)
	if err != nil {
		return o, err
	}
	o = Outline{Kind: kind, Profiles: map[string]OutlineProfile{}}
	switch kind {
	case KindStore:
		err = o.store(LoadStore(root, name))
	case KindSim:
		err = o.sim(LoadSim(root, name))
	default:
		err = o.ingest(Load(root, name))
	}
	return o, err
}

func (o *Outline) ingest(e *Experiment, err error) error {
	if err != nil {
		return err
	}
	o.Name, o.Question = e.Name, e.Question
	for _, c := range e.Claims {
		o.Claims = append(o.Claims, OutlineClaim{c.Quote, c.Words, c.Source})
	}
	for name, p := range e.Profiles {
		o.Profiles[name] = OutlineProfile{p.Minutes, p.Explanation}
	}
	return nil
}

func (o *Outline) store(e *Store, err error) error {
	if err != nil {
		return err
	}
	o.Name, o.Question = e.Name, e.Question
	for _, c := range e.Claims {
		o.Claims = append(o.Claims, OutlineClaim{c.Quote, c.Words, c.Source})
	}
	for name, p := range e.Profiles {
		o.Profiles[name] = OutlineProfile{p.Minutes, p.Explanation}
	}
	return nil
}

func (o *Outline) sim(e *Sim, err error) error {
	if err != nil {
		return err
	}
	o.Name, o.Question = e.Name, e.Question
	for _, c := range e.Claims {
		o.Claims = append(o.Claims, OutlineClaim{c.Quote, c.Words, c.Source})
	}
	for name, p := range e.Profiles {
		o.Profiles[name] = OutlineProfile{p.Minutes, p.Explanation}
	}
	return nil
}

// KindOf says of which kind experiments/<name>/experiment.yaml under root is.
func KindOf(root, name string) (string, error) {
	b, err := read(root, name)
	if err != nil {
		return "", err
	}
	var head struct {
		Kind string `yaml:"kind"`
	}
	if err := yaml.Unmarshal(b, &head); err != nil || head.Kind == "" {
		return KindIngest, nil // whoever reads all of it says what is wrong
	}
	if !slices.Contains(kinds, head.Kind) {
		return "", fmt.Errorf("%s: %w", filepath.Join(root, name, File), unknownName("kind", head.Kind, kinds))
	}
	return head.Kind, nil
}

// read is the text of a declaration. An unknown name's error lists what there is.
func read(root, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, name, File))
	if errors.Is(err, os.ErrNotExist) {
		return nil, unknownName("experiment", name, List(root))
	}
	if err != nil {
		return nil, fmt.Errorf("read the experiment: %w", err)
	}
	return b, nil
}
