package backupcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/internal/version"
	"metronome/system/backup"
	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

// source gets a snapshot of a replica of this machine.
type source func(ctx context.Context, c *cluster.Config, from wire.Peer) (io.ReadCloser, error)

func running(ctx context.Context, c *cluster.Config, from wire.Peer) (io.ReadCloser, error) {
	_, r, err := daemon.Snapshot(ctx, c, from)
	return r, err
}

// interruptible ends a command in order at the first SIGINT or SIGTERM.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}

// made is what a backup prints as JSON.
type made struct {
	entry
	To      string  `json:"to"`
	Chunks  int     `json:"chunks"`
	Reused  int     `json:"chunks_reused"`
	Stored  uint64  `json:"bytes_stored"`
	Seconds float64 `json:"seconds"`
}

// Backup is the command metronome backup.
func Backup() *cobra.Command {
	cmd := backupCommand(running)
	cmd.AddCommand(listCommand(), verifyCommand(), pruneCommand())
	return cmd
}

func backupCommand(from source) *cobra.Command {
	var config, name string
	var to place
	var full, asJSON bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up the store, consistently, while it runs",
		Long: `Back up the store: a replica of this machine is asked for its state at one position
of the agreed sequence, and that goes to a directory or an S3-compatible bucket, in chunks. Chunks
that are there already are not sent again. The backup is listed when all of it is durable, and not
before.

Keys and sessions are backed up; the cluster file and its secrets are not. Whoever can read the
place can read the store. Access keys of a bucket come from the environment or a file, never from
the command line.`,
		Example: `  metronome backup --config cluster.yaml --to /mnt/backups/orders
  metronome backup --to s3://backups/orders --s3-endpoint https://s3.example.org --replica replica-1
  metronome backup list --from /mnt/backups/orders
  metronome backup verify --from s3://backups/orders
  metronome backup prune --from s3://backups/orders --keep 14`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c, err := cluster.Load(config)
			if err != nil {
				return err
			}
			peer, err := wire.ParsePeer(name)
			if err != nil {
				return err
			}
			a, err := to.open(ctx, true)
			if err != nil {
				return err
			}
			snapshot, err := from(ctx, c, peer)
			if err != nil {
				return err
			}
			defer snapshot.Close()
			m, err := save(ctx, cmd, a, snapshot, backup.SaveOptions{Full: full,
				Origin: backup.Origin{Cluster: c.Name, Replica: peer.String(), Software: version.String()}})
			if err != nil {
				return err
			}
			m.To = to.where
			return m.print(cmd, asJSON)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().StringVar(&name, "replica", "replica-0", "a replica of this machine to ask; one that does "+
		"not lead is best")
	cmd.Flags().BoolVar(&full, "full", false, "write every chunk anew, also those that are there: after damage")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	to.add(cmd, "to", "where to")
	return cmd
}

func save(ctx context.Context, cmd *cobra.Command, a *backup.Archive, from io.Reader,
	o backup.SaveOptions,
) (*made, error) {
	began := time.Now()
	p := newProgress(cmd, "backup")
	defer p.done()
	var last backup.Progress
	o.Progress = func(n backup.Progress) {
		last = n
		p.show(n)
	}
	m, err := a.Save(ctx, from, o)
	if err != nil {
		return nil, err
	}
	return &made{entry: newEntry(m), Chunks: last.Chunks, Reused: last.Reused, Stored: last.Stored,
		Seconds: time.Since(began).Seconds()}, nil
}

func (m *made) print(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		return printJSON(cmd, m)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "backup %s: %d keys at index %d, position %d, epoch %d\n%s in "+
		"%s, %d of them new (%s), %.1f s\n", m.ID, m.Keys, m.Index, m.Position, m.Epoch, size(m.Bytes),
		plural(m.Chunks, "chunk"),
		m.Chunks-m.Reused, size(m.Stored), m.Seconds)
	return err
}
