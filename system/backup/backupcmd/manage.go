package backupcmd

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/backup"
)

// entry is a backup, as JSON.
type entry struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time,omitzero"`
	Cluster  string    `json:"cluster,omitempty"`
	Tag      string    `json:"tag,omitempty"`
	Replica  string    `json:"replica,omitempty"`
	Software string    `json:"software,omitempty"`
	Position uint64    `json:"position"`
	Index    uint64    `json:"index"`
	Epoch    uint64    `json:"epoch"`
	Keys     uint64    `json:"keys"`
	Sessions uint64    `json:"sessions"`
	Bytes    uint64    `json:"bytes"`
	Hash     string    `json:"state_hash,omitempty"`
	Error    string    `json:"error,omitempty"`
}

func newEntry(m *backup.Manifest) entry {
	return entry{ID: m.ID, Time: m.Time, Cluster: m.Cluster, Tag: fmt.Sprintf("%08x", m.Tag), Replica: m.Replica,
		Software: m.Software, Position: m.Position, Index: m.Index, Epoch: m.Epoch, Keys: m.Keys,
		Sessions: m.Sessions, Bytes: m.Bytes, Hash: m.Hash}
}

func listCommand() *cobra.Command {
	var from place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The backups there are, oldest first",
		Example: `  metronome backup list --from /mnt/backups/orders
  metronome backup list --from s3://backups/orders --json | jq -r .[-1].id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			a, err := from.open(ctx, false)
			if err != nil {
				return err
			}
			all, err := a.List(ctx)
			if err != nil {
				return err
			}
			return printList(cmd, all, asJSON)
		},
	}
	from.add(cmd, "from", "where")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printList(cmd *cobra.Command, all []backup.Entry, asJSON bool) error {
	entries := make([]entry, 0, len(all))
	for _, b := range all {
		e := entry{ID: b.ID}
		if b.Manifest != nil {
			e = newEntry(b.Manifest)
		} else {
			e.Error = b.Err.Error()
		}
		entries = append(entries, e)
	}
	if asJSON {
		return printJSON(cmd, entries)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BACKUP\tTIME\tCLUSTER\tPOSITION\tINDEX\tEPOCH\tKEYS\tSIZE")
	for _, e := range entries {
		if e.Error != "" {
			fmt.Fprintf(w, "%s\t%s\n", e.ID, e.Error)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", e.ID, e.Time.Format(time.DateTime), e.Cluster,
			e.Position, e.Index, e.Epoch, e.Keys, size(e.Bytes))
	}
	return w.Flush()
}

// verified is the outcome for one backup, as JSON.
type verified struct {
	backup.Verified
	Error string `json:"error,omitempty"`
}

func verifyCommand() *cobra.Command {
	var from place
	var all, sums, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [ID]",
		Short: "Read a backup back and check everything in it",
		Long: `Read a backup back, the newest one unless another is named: every chunk and the
whole are compared with their sums, then the state is decoded as a replica would at its start.
Decoding needs memory for the whole store; --sums does without.`,
		Example: `  metronome backup verify --from /mnt/backups/orders
  metronome backup verify --from s3://backups/orders --all --sums`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			a, err := from.open(ctx, false)
			if err != nil {
				return err
			}
			ids := append([]string{}, args...)
			if all {
				list, err := a.List(ctx)
				if err != nil {
					return err
				}
				ids = nil
				for _, b := range list {
					ids = append(ids, b.ID)
				}
			} else if len(ids) == 0 {
				ids = []string{""}
			}
			var results []verified
			for _, id := range ids {
				v, err := verify(ctx, cmd, a, id, !sums)
				if err != nil {
					return err
				}
				results = append(results, v)
			}
			return printVerified(cmd, results, asJSON)
		},
	}
	from.add(cmd, "from", "where")
	cmd.Flags().BoolVar(&all, "all", false, "every backup there is")
	cmd.Flags().BoolVar(&sums, "sums", false, "check sums only: needs little memory")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// verify verifies one backup; its error is for what is not the backup's fault.
func verify(ctx context.Context, cmd *cobra.Command, a *backup.Archive, id string,
	decode bool,
) (verified, error) {
	m, err := a.Manifest(ctx, id)
	if errors.Is(err, backup.ErrNotFound) || ctx.Err() != nil {
		return verified{}, err
	}
	if err != nil {
		return verified{backup.Verified{ID: id}, err.Error()}, nil
	}
	p := newProgress(cmd, "verify "+m.ID)
	defer p.done()
	v, err := a.Verify(ctx, m, decode, p.show)
	if err != nil {
		return verified{v, err.Error()}, ctx.Err()
	}
	return verified{v, ""}, nil
}

var errBad = errors.New("not all of it is good. Next: make a new backup with --full, which uses no " +
	"chunk that is there; what is damaged stays so")

func printVerified(cmd *cobra.Command, results []verified, asJSON bool) error {
	var bad error
	for _, v := range results {
		if v.Error != "" {
			bad = errBad
		}
		if asJSON {
			continue
		}
		if v.Error == "" {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good, %s in %s\n", v.ID, size(v.Bytes), plural(v.Chunks, "chunk"))
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", v.ID, v.Error)
		for _, name := range v.Bad {
			fmt.Fprintf(cmd.OutOrStdout(), "  bad or missing: chunks/%s\n", name)
		}
	}
	if asJSON {
		return errors.Join(printJSON(cmd, results), bad)
	}
	return bad
}

func pruneCommand() *cobra.Command {
	var from place
	var o backup.PruneOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove old backups, and later the chunks that no backup needs",
		Long: `Remove all but the newest backups. Chunks that no backup needs any more are written
down first, and removed by a prune that runs at least the grace time later, so that backups may be
made meanwhile: run prune as often as backups. The clocks of the machines that prune one place must
agree within half the grace time.`,
		Example: `  metronome backup prune --from /mnt/backups/orders --keep 14
  metronome backup prune --from s3://backups/orders --keep 14 --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			a, err := from.open(ctx, false)
			if err != nil {
				return err
			}
			p, err := a.Prune(ctx, o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, p)
			}
			printPruned(cmd, &p, &o)
			return nil
		},
	}
	from.add(cmd, "from", "where")
	cmd.Flags().IntVar(&o.Keep, "keep", 0, "how many backups to keep, at least 1")
	cmd.Flags().DurationVar(&o.Grace, "grace", 24*time.Hour, "the longest that a backup takes, at least an hour")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	_ = cmd.MarkFlagRequired("keep")
	return cmd
}

func printPruned(cmd *cobra.Command, p *backup.Pruned, o *backup.PruneOptions) {
	out := cmd.OutOrStdout()
	if o.DryRun {
		fmt.Fprintln(out, "a dry run: nothing is changed")
	}
	for _, id := range p.Removed {
		fmt.Fprintln(out, "removed", id)
	}
	fmt.Fprintf(out, "kept %s; removed %s; %d more may go after %v", plural(len(p.Kept), "backup"),
		plural(p.Freed, "chunk"), p.Doomed, o.Grace)
	if p.Waiting > 0 {
		fmt.Fprintf(out, ", %d sooner", p.Waiting)
	}
	fmt.Fprintln(out)
}
