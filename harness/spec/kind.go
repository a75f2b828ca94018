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

	KindFactorial = "factorial" // arms at points of a grid of factors, carried out by a driver
)

var kinds = []string{KindIngest, KindStore, KindSim, KindFactorial}

// Head is what declarations of every kind begin with.
type Head struct {
	Name       string `yaml:"name"`
	Kind       string `yaml:"kind"` // empty: ingest
	Question   string `yaml:"question"`
	Conditions string `yaml:"conditions"` // printed on every figure and verdict

	hash string
}

// Hash is the SHA-256 of the declaration as read, in hexadecimal.
func (h *Head) Hash() string { return h.hash }

// Said is what claims of every kind begin with: who said what.
type Said struct {
	Name   string `yaml:"name"`
	Words  string `yaml:"words"`  // how a sentence names it
	Quote  string `yaml:"quote"`  // what was said
	Source string `yaml:"source"` // where
	Reason string `yaml:"reason"` // why the bound is what it is
}

// Effort is what profiles of every kind begin with.
type Effort struct {
	Minutes     float64 `yaml:"minutes"` // stated duration of the measurements
	Blocks      int     `yaml:"blocks"`
	NotJudged   bool    `yaml:"not_judged"`
	Explanation string  `yaml:"what"`
}

// Outline is what declarations of every kind have.
type Outline struct {
	Head     `yaml:",inline"`
	Claims   []Said            `yaml:"claims"`
	Profiles map[string]Effort `yaml:"profiles"`
}

// ReadOutline reads what experiments/<name>/experiment.yaml under root is about, whatever its kind, having
// checked all of it.
func ReadOutline(root, name string) (o Outline, err error) {
	kind, err := KindOf(root, name)
	if err != nil {
		return o, err
	}
	switch kind {
	case KindStore:
		_, err = LoadStore(root, name)
	case KindSim:
		_, err = LoadSim(root, name)
	case KindFactorial:
		_, err = LoadFactorial(root, name)
	default:
		_, err = Load(root, name)
	}
	if err != nil {
		return o, err
	}
	b, err := read(root, name)
	if err != nil {
		return o, err
	}
	if err := yaml.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("outline of %s: %w", name, err)
	}
	o.Kind = kind
	return o, nil
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
