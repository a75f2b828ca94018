package mastercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/master"
	"metronome/system/master/api"
	"metronome/system/master/page"
)

// status asks the master, or reads what it left.
func (l layout) status(ctx context.Context) (s api.Status, err error) {
	c, done, err := l.reach()
	if err != nil {
		return s, err
	}
	return s, errors.Join(c.Call(ctx, http.MethodGet, "/v1/status", nil, &s), done())
}

func statusCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [EDGE]",
		Short: "Which edges are alive, and how their backups are",
		Long: `Which edges are alive and why that is thought, how old their backups are, and when a
restore was last proven. Without a running master this is what the last one left.`,
		Example: `  metronome master status
  metronome master status hallway
  metronome master status --json | jq '.edges[] | select(.level != "good") | .name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := layout(dir).status(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return showOne(cmd, &s, args[0], asJSON)
			}
			if asJSON {
				return printJSON(cmd, s)
			}
			return printStatus(cmd.OutOrStdout(), &s)
		},
	}
	dirFlag(cmd, &dir)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showOne(cmd *cobra.Command, s *api.Status, name string, asJSON bool) error {
	for i := range s.Edges {
		if e := &s.Edges[i]; e.Name == name && asJSON {
			return printJSON(cmd, e)
		} else if e.Name == name {
			return printEdge(cmd.OutOrStdout(), s, e)
		}
	}
	return fmt.Errorf("edge %s: %w: metronome master enroll %s makes it known", name, master.ErrNotEnrolled,
		name)
}

func printStatus(out io.Writer, s *api.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "EDGE\tSTATE\tHEARD\tBACKUP\tREVISION\tLAST PROVEN\tSTORED\tCERTIFICATE\tLEVEL")
	for i := range s.Edges {
		e := &s.Edges[i]
		heard, age, reach, proven, days := "never", page.Ago(e.BackupAge), "-", "never", "-"
		if !e.LastSeen.IsZero() {
			heard = page.Ago(e.Passive.Silence)
		}
		if e.Newest != nil {
			reach = fmt.Sprint(e.Newest.Reach)
		}
		if e.Proof != nil {
			proven = page.Ago(s.Now.Sub(e.Proof.At))
		}
		if e.Report != nil {
			days = fmt.Sprintf("%.0f days", e.Report.CertDays)
			if e.Newest == nil && e.Report.Backup.State == api.Elsewhere {
				age = "cluster's"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Passive.State, heard,
			age, reach, proven, page.Bytes(e.Stored), days, e.Level)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	printFindings(out, "master", s.Findings)
	for i := range s.Edges {
		printFindings(out, s.Edges[i].Name, s.Edges[i].Findings)
	}
	return nil
}

func printFindings(out io.Writer, of string, list []api.Finding) {
	for _, f := range list {
		_, _ = fmt.Fprintf(out, "%s: %s: %s: %s\n", f.Level, of, f.Code, f.Text)
	}
}

func printEdge(out io.Writer, s *api.Status, e *api.Edge) error {
	one := *s
	one.Edges, one.Findings = []api.Edge{*e}, nil
	if err := printStatus(out, &one); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nBACKUP\tRECEIVED\tREVISIONS\tKEYS\tSIZE\tLOG\tNOTE")
	for _, b := range e.Backups {
		note := ""
		if b.Missing > 0 {
			note = fmt.Sprintf("%d chunks missing", b.Missing)
		}
		if e.Proof != nil && e.Proof.Backup == b.Number {
			note += "proven"
		}
		if !b.Readable {
			fmt.Fprintf(w, "%d\t\t\t\t\t\tmanifest damaged\n", b.Number)
			continue
		}
		fmt.Fprintf(w, "%d\t%s\t%d-%d\t%d\t%s\t%s\t%s\n", b.Number, b.Received.Format("2006-01-02 15:04:05"),
			b.Revision,
			b.Reach, b.Keys, page.Bytes(b.Bytes), page.Bytes(b.LogBytes), note)
	}
	return w.Flush()
}

// named are the edges that a command is about: those named, or all.
func (l layout) named(args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	return master.RegistryIn(string(l)).List()
}

func verifyCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [EDGE...]",
		Short: "Read all backups again, and say what is damaged or missing",
		Long: `Read every manifest, chunk and piece of log again. What is damaged is set aside; a living
edge is then asked for a new checkpoint, which brings back what it still has. It fails if anything
was wrong.`,
		Example: `  metronome master verify
  metronome master verify hallway --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			good := true
			err := layout(dir).each(cmd.Context(), args, "check", func(edge string, call func(any) error) error {
				var c api.Check
				if err := call(&c); err != nil {
					return err
				}
				good = good && c.Good()
				if asJSON {
					return printJSON(cmd, map[string]any{"edge": edge, "check": c})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %d manifests, %d chunks, %d pieces of log, %s read; %d "+
					"damaged, %d chunks missing\n", edge, c.Manifests, c.Chunks, c.Pieces, page.Bytes(c.Bytes), len(c.Bad),
					len(c.Missing))
				for _, name := range c.Bad {
					_, _ = fmt.Fprintf(cmd.OutOrStdout(), "  damaged: %s\n", name)
				}
				return err
			})
			if err == nil && !good {
				err = errors.New("backups are damaged: a living edge brings back what it still has; look at status")
			}
			return err
		},
	}
	dirFlag(cmd, &dir)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func drillCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drill [EDGE...]",
		Short: "Restore the newest backups into a scratch directory, to prove that it can be done",
		Long: `Restore each edge's newest backup into a scratch directory of the master, count everything
anew and compare the digest with the one that the edge reported. It fails if any of them cannot be
restored.`,
		Example: `  metronome master drill
  metronome master drill hallway --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			good := true
			err := layout(dir).each(cmd.Context(), args, "drill", func(edge string, call func(any) error) error {
				var d master.DrillReply
				if err := call(&d); err != nil {
					return err
				}
				good = good && d.Drill.Good
				if asJSON {
					return printJSON(cmd, map[string]any{"edge": edge, "drill": d.Drill, "last_proven": d.Proof})
				}
				return printDrill(cmd.OutOrStdout(), edge, &d)
			})
			if err == nil && !good {
				err = errors.New("not every backup can be restored")
			}
			return err
		},
	}
	dirFlag(cmd, &dir)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printDrill(out io.Writer, edge string, d *master.DrillReply) error {
	if !d.Drill.Good {
		_, err := fmt.Fprintf(out, "%s: FAILED: %s\n", edge, d.Drill.Error)
		return err
	}
	compared := "recounted"
	if d.Proof.Compared {
		compared = "as the edge reported it"
	}
	_, err := fmt.Fprintf(out, "%s: proven: backup %d to revision %d in %v, digest %s %s\n", edge,
		d.Proof.Backup,
		d.Proof.Revision, page.Span(d.Proof.Took), d.Proof.Digest, compared)
	return err
}

// each asks the master to do something for each edge, one after the other.
func (l layout) each(ctx context.Context, args []string, what string,
	do func(edge string, call func(any) error) error) error {
	edges, err := l.named(args)
	if err != nil {
		return err
	}
	c, done, err := l.reach()
	if err != nil {
		return err
	}
	for _, edge := range edges {
		err = errors.Join(err, do(edge, func(out any) error {
			return afterwards(ctx, func() error {
				return c.Call(ctx, http.MethodPost, api.EdgePath(edge, what), nil, out)
			})
		}))
	}
	return errors.Join(err, done())
}

// A running server checks and drills by itself: who asks for the same meanwhile waits so long for his turn.
const turnWithin, turnEvery = 10 * time.Minute, 200 * time.Millisecond

// afterwards does something, and again while the server is doing it already.
func afterwards(ctx context.Context, do func() error) error {
	for end := time.Now().Add(turnWithin); ; {
		err := do()
		if p := (*api.Problem)(nil); !errors.As(err, &p) || p.Code() != "running" || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(turnEvery):
		}
	}
}
