package backupcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"metronome/system/backup"
)

// progress is a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	out   io.Writer
	what  string
	bar   *progressbar.ProgressBar
	shown time.Time
}

// showEvery is how often a plain line is printed.
const showEvery = 15 * time.Second

func newProgress(cmd *cobra.Command, what string) *progress {
	p := &progress{out: cmd.ErrOrStderr(), what: what, shown: time.Now()}
	if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24),
			progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetDescription(what), progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *progress) show(n backup.Progress) {
	if p.bar != nil {
		p.bar.ChangeMax64(int64(max(1, n.Total)))
		_ = p.bar.Set64(int64(n.Done))
		return
	}
	if time.Since(p.shown) > showEvery {
		fmt.Fprintf(p.out, "%s: %s of %s\n", p.what, size(n.Done), size(n.Total))
		p.shown = time.Now()
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// size is a number of bytes for people.
func size(n uint64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/step, 0
	for v >= step && unit < len("kMGTP")-1 {
		v, unit = v/step, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[unit])
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func plural(n int, one string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", one, "s")
}
