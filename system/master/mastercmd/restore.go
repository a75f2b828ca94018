package mastercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/access/pki"
	"metronome/system/master"
	"metronome/system/master/page"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

func restoreCommand() *cobra.Command {
	var dir, member, at string
	var r vault.Restoration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore [EDGE]",
		Short: "Make an edge's data directory of its backup",
		Long: `Make an edge's data directory of its backup: the newest there is, or the state at a
revision or a time of the edge's clock. Everything is read through its seal, counted anew and
compared; a damaged backup is passed over for an older one that leads to the same state, which is
said. The directory appears when all is good.

At the master, with EDGE and --dir. At an edge that has joined, with --member: its backups come over
the network.

Stop the edge before. Devices that still hold what the backup has not send it again when they
reconnect.`,
		Example: `  metronome master restore hallway --to /mnt/new-disk/edge
  metronome master restore hallway --to old --time 2026-03-01T07:30:00+01:00
  metronome master restore --member /var/lib/metronome/member --to /var/lib/metronome/edge`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if at != "" {
				if r.Time, err = time.Parse(time.RFC3339, at); err != nil {
					return fmt.Errorf("--time %q: write it as 2026-03-01T07:30:00+01:00", at)
				}
			}
			r.Progress, r.Log = progress(cmd.ErrOrStderr()), slog.New(slog.DiscardHandler)
			done, err := restore(ctx, dir, member, args, r)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, done)
			}
			return printRestored(cmd.OutOrStdout(), r.Dir, done)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&member, "member", "", "at an edge: the directory of its membership")
	cmd.Flags().StringVar(&r.Dir, "to", "", "the data directory to make; must not exist, or be empty")
	cmd.Flags().Uint64Var(&r.Revision, "revision", 0, "up to this revision")
	cmd.Flags().StringVar(&at, "time", "", "up to this time of the edge's clock, RFC 3339")
	cmd.Flags().Uint64Var(&r.Backup, "backup", 0, "from this backup only")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func restore(ctx context.Context, dir, member string, args []string, r vault.Restoration) (*vault.Restored,
	error) {
	switch {
	case member != "" && len(args) > 0:
		return nil, errors.New("--member says which edge it is: give no name")
	case member != "":
		m, err := ship.Load(member)
		if err != nil {
			return nil, err
		}
		k, err := pki.Open(m.Files, nil)
		if err != nil {
			return nil, err
		}
		return ship.Restore(ctx, m, ship.Client(k), r)
	case len(args) == 0:
		return nil, errors.New("which edge? At an edge itself, use --member DIR")
	}
	return restoreHere(ctx, layout(dir), args[0], r)
}

// restoreHere restores at the master, whether it runs or not.
func restoreHere(ctx context.Context, l layout, edge string, r vault.Restoration) (*vault.Restored, error) {
	registry := master.RegistryIn(string(l))
	record, err := registry.Read(edge)
	if err != nil {
		return nil, err
	}
	key, err := vault.ParseKey(record.Key)
	if err != nil {
		return nil, err
	}
	place, err := l.place(Place{})
	if err != nil {
		return nil, err
	}
	open, err := place.open()
	if err != nil {
		return nil, err
	}
	dest, err := open(ctx, edge)
	if err != nil {
		return nil, err
	}
	v, err := vault.Open(ctx, dest, key, vault.Options{})
	if err != nil {
		return nil, err
	}
	r.Epoch = func(_ context.Context, above uint16) (uint16, error) { return registry.NextEpoch(edge, above) }
	return v.Restore(ctx, r)
}

// progress shows on a terminal how far a restore is; elsewhere nothing.
func progress(out io.Writer) func(done, total int64) {
	f, ok := out.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	last := time.Time{}
	return func(done, total int64) {
		if now := time.Now(); done == total || now.Sub(last) > 200*time.Millisecond {
			last = now
			_, _ = fmt.Fprintf(f, "\r%s of %s ", page.Bytes(done), page.Bytes(total))
			if done == total {
				_, _ = fmt.Fprintln(f)
			}
		}
	}
}

func printRestored(out io.Writer, dir string, d *vault.Restored) error {
	for _, w := range d.Warnings {
		_, _ = fmt.Fprintf(out, "warning: %s\n", w)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: revision %d, %d keys, %d sessions, digest %s, from backup %d, in %s\nIt "+
		"is life %d of this edge: metronome edge --member DIR --data %s starts it.\n", abs, d.Revision, d.Keys,
		d.Sessions, d.Digest,
		d.Backup, page.Span(d.Took), d.Epoch, abs)
	return err
}
