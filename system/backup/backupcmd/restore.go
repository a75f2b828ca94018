package backupcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/backup"
	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/disk"
	"metronome/system/wire"
)

// Restore is the command metronome restore.
func Restore() *cobra.Command {
	var config, id string
	var names []string
	var from place
	var replace, asJSON bool
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Begin a new cluster with a backup",
		Long: `Make the data directories with which the replicas of a new cluster begin. It is
another cluster than the one that was backed up: its cluster file has another name, or another
cluster key. Keys, values and revisions are as they were; sessions have ended, the epoch is the
next, and every new revision is beyond all that the old cluster gave out.

Without --replica the directories of all replicas are made here. Replicas on machines of their own
are restored each at its place, with the same --id. Start them afterwards: the cluster is founded,
"metronome cluster init" is not needed. A replica that is lost later is not restored again: it joins
with an empty data directory.`,
		Example: `  metronome restore --from /mnt/backups/orders --config new/cluster.yaml
  metronome restore --from s3://backups/orders --id 20260820T160000.000Z-0123abcd --replica replica-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			if len(names) > 0 && id == "" {
				return errors.New("--replica needs --id: all replicas begin with the same backup, and a newer one may " +
					"come while they are restored")
			}
			c, err := cluster.Load(config)
			if err != nil {
				return err
			}
			t, err := target(ctx, c, names)
			if err != nil {
				return err
			}
			t.Replace = replace
			a, err := from.open(ctx, false)
			if err != nil {
				return err
			}
			return restore(ctx, cmd, a, id, t, asJSON)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the new cluster's file")
	cmd.Flags().StringVar(&id, "id", "", "the backup (default the newest)")
	cmd.Flags().StringArrayVar(&names, "replica", nil, "only this replica's data directory; may be repeated "+
		"(default all)")
	cmd.Flags().BoolVar(&replace, "set-aside", false, "set aside, in a folder, what lies in a data directory "+
		"that is not empty")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	from.add(cmd, "from", "where")
	return cmd
}

func restore(ctx context.Context, cmd *cobra.Command, a *backup.Archive, id string, t backup.Target,
	asJSON bool,
) error {
	m, err := a.Manifest(ctx, id)
	if err != nil {
		return err
	}
	p := newProgress(cmd, "restore "+m.ID)
	t.Progress = p.show
	r, err := a.Restore(ctx, m, t)
	p.done()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, r)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "restored %s: %d keys at position %d, epoch %d, indexes from %d; %s ended\n", r.Backup,
		r.Keys, r.Position, r.Epoch, r.Index+1, plural(r.Voided, "session"))
	for _, f := range r.Aside {
		fmt.Fprintln(out, "set aside:", f)
	}
	for _, f := range r.Files {
		fmt.Fprintln(out, "written:", f)
	}
	fmt.Fprintln(out, "Next: start the replicas; the cluster is founded already.")
	return nil
}

// target is what a cluster file, and names of some of its replicas, say.
func target(ctx context.Context, c *cluster.Config, names []string) (t backup.Target, err error) {
	if !c.Durable() {
		return t, fmt.Errorf("durability %s: replicas of this cluster file keep nothing on disk. Next: "+
			"durability: fsync", c.Durability)
	}
	ring, err := c.Ring()
	if err != nil {
		return t, err
	}
	t = backup.Target{FS: disk.OS(), Dirs: map[int]string{}}
	t.New.Cluster, t.New.Consensus, t.New.AcceptQuorum = ring.Tag, c.Consensus, c.AcceptQuorum
	for i := range c.Replicas {
		r := &c.Replicas[i]
		seat := r.Peer().Seat()
		t.New.Seats = append(t.New.Seats, seat)
		if len(names) == 0 || slices.Contains(names, r.Name) {
			t.Dirs[seat] = c.DataDir(r)
		}
	}
	slices.Sort(t.New.Seats)
	for _, n := range names {
		if !slices.ContainsFunc(c.Replicas, func(r cluster.Replica) bool { return r.Name == n }) {
			return t, fmt.Errorf("--replica %s: the cluster file has %s", n, seats(c))
		}
	}
	return t, stopped(ctx, c, t.Dirs)
}

func seats(c *cluster.Config) string {
	var all []string
	for i := range c.Replicas {
		all = append(all, c.Replicas[i].Name)
	}
	return strings.Join(all, ", ")
}

// stopped refuses to write under a replica that answers.
func stopped(ctx context.Context, c *cluster.Config, dirs map[int]string) error {
	for seat := range dirs {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		_, err := daemon.Ask(ctx, c, wire.ReplicaPeer(seat), daemon.AdminRequest{Cmd: "status"})
		cancel()
		if err == nil {
			return fmt.Errorf("%v is running on this machine: stop it first", wire.ReplicaPeer(seat))
		}
	}
	return nil
}
