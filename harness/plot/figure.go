package plot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

// ErrNoData is wrapped by the errors of figures that have nothing to show.
var ErrNoData = errors.New("nothing to draw")

// Figure is a figure ready to be encoded.
type Figure struct {
	Name string // file name without extension
	Alt  string // what it shows, in a sentence

	width, height vg.Length
	paint         func(pen)
}

// PDF returns the figure as a PDF page whose text is outlines.
func (f Figure) PDF() ([]byte, error) { return encodePDF(f.width, f.height, f.on) }

// SVG returns the figure as SVG.
func (f Figure) SVG() ([]byte, error) { return encodeSVG(f.width, f.height, f.on) }

// PNG returns the figure as PNG, 300 dots an inch.
func (f Figure) PNG() ([]byte, error) { return encodePNG(f.width, f.height, f.on) }

func (f Figure) on(c vg.Canvas) {
	p := pen{c}
	p.rectangle(0, 0, f.width, f.height, white, nil)
	f.paint(p)
}

// Save writes the figure's three files into dir, which it creates, and returns their paths.
func (f Figure) Save(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the figures directory: %w", err)
	}
	var paths []string
	for _, form := range []struct {
		ext    string
		encode func() ([]byte, error)
	}{{".pdf", f.PDF}, {".svg", f.SVG}, {".png", f.PNG}} {
		b, err := form.encode()
		if err != nil {
			return paths, fmt.Errorf("figure %s: %w", f.Name, err)
		}
		path := filepath.Join(dir, f.Name+form.ext)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return paths, fmt.Errorf("write figure %s: %w", f.Name, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// All returns every figure that r has data for, and an error that joins one [ErrNoData] for each
// other figure. A run that was cut short has some of both.
func All(r record.Results) ([]Figure, error) {
	switch r.Manifest.Kind {
	case record.ExperimentStore:
		return allStores(r)
	case record.ExperimentSim:
		return allSims(r)
	case record.ExperimentFactorial:
		return allFactorials(r)
	}
	v := newView(r)
	var figures []Figure
	var errs []error
	for _, draw := range []func(*view) (Figure, error){throughput, ratio, cpu, memory, overload} {
		f, err := draw(v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		figures = append(figures, f)
	}
	return figures, errors.Join(errs...)
}

// noData says which figure lacks what.
func noData(figure, what string) error {
	return fmt.Errorf("figure %s: %w: %s", figure, ErrNoData, what)
}
