package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"metronome/harness/run"
)

// progress is a bar with the time left on a terminal, and a line a stage and every so often
// elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar
	last  string
	since time.Time
}

// every is how often a plain line is printed.
const every = 15 * time.Second

func newProgress(f *os.File) *progress {
	p := &progress{out: f}
	if term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(1, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *progress) show(s run.Progress) {
	if p.bar != nil {
		p.bar.ChangeMax(max(1, s.Total))
		p.bar.Describe(fmt.Sprintf("%-12s %-44.44s", s.Stage, s.Doing))
		_ = p.bar.Set(s.Done)
		return
	}
	if s.Stage != p.last || time.Since(p.since) > every {
		fmt.Fprintf(p.out, "%s  %d of %d trials  %s\n", s.Stage, s.Done, s.Total, s.Doing)
		p.last, p.since = s.Stage, time.Now()
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
