package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

// change is a change of the cluster that an operator wants: asked for again and again until the
// state shows it, for requests may be lost and leaders may change.
type change struct {
	config, via string
	timeout     time.Duration
}

func (c *change) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().StringVar(&c.via, "replica", "replica-0", "a replica of this machine to ask")
	cmd.Flags().DurationVar(&c.timeout, "timeout", time.Minute, "how long to wait for the effect")
}

// until asks until done says so, and tells on the way how far it is.
func (c *change) until(cmd *cobra.Command, q daemon.AdminRequest, done func(*daemon.ClusterStatus) (bool, string)) error {
	cfg, via, err := operatorArgs(c.config, c.via)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	told := ""
	for {
		a, err := daemon.Ask(ctx, cfg, via, daemon.AdminRequest{Cmd: "status"})
		if err != nil {
			return err
		}
		ok, how := done(a.Status)
		if how != told {
			told = how
			fmt.Fprintln(cmd.OutOrStdout(), how)
		}
		if ok {
			return nil
		}
		if _, err := daemon.Ask(ctx, cfg, via, q); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %s. It may still come: look with \"metronome cluster status\"", c.timeout, how)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// seatOf is the seat of a replica's name.
func seatOf(name string) (int, error) {
	p, err := wire.ParsePeer(name)
	if err == nil && !p.IsReplica() {
		err = fmt.Errorf("%s is no replica", name)
	}
	if err != nil {
		return 0, err
	}
	return p.Seat(), nil
}

// voterOf is the voting life of a seat, "" if it has none.
func voterOf(s *daemon.ClusterStatus, name string) string {
	i := slices.IndexFunc(s.Voters, func(v string) bool { return strings.HasPrefix(v, name+"/") })
	if i < 0 {
		return ""
	}
	return s.Voters[i]
}

// newLifeAfter is how long a replica that lost its disk may take to ask for a new life, and to get it.
const newLifeAfter = 2 * time.Second

// steadiness says for how long something has been the same.
type steadiness struct {
	what string
	from time.Time
}

func (s *steadiness) since(now time.Time, what string) time.Duration {
	if s.what != what {
		*s = steadiness{what, now}
	}
	return now.Sub(s.from)
}

func addCommand() *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use:   "add REPLICA",
		Short: "Let a replica join: first as a learner, then, when it has caught up, as a voter",
		Long: `Let a replica of the cluster file join a running cluster. It joins by itself when it is started with an empty data
directory; it holds everything before it votes. A replica that lost its disk needs no add: its seat is admitted still.

A replica that is new in the cluster file: change the file on every machine, "metronome pki init" for its certificate, and
send SIGHUP to every replica and proxy that runs.`,
		Example: `  metronome cluster add replica-3
  metronome replica --name replica-3     # on its machine, before or after`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seat, err := seatOf(args[0])
			if err != nil {
				return err
			}
			var steady steadiness
			return c.until(cmd, daemon.AdminRequest{Cmd: "add", Seat: seat}, func(s *daemon.ClusterStatus) (bool, string) {
				voter, connected := voterOf(s, args[0]), slices.Contains(s.Connected, args[0])
				switch {
				case voter != "" && connected && steady.since(time.Now(), voter) >= newLifeAfter:
					return true, fmt.Sprintf("%s votes", voter)
				case voter != "" && connected:
					return false, fmt.Sprintf("%s votes, and is here; waiting whether a new life takes its place", voter)
				case voter != "":
					steady = steadiness{}
					return false, fmt.Sprintf("%s votes, and is not connected: start it; if its data directory was emptied, "+
						"it comes as a new life", voter)
				case slices.ContainsFunc(s.Learners, func(l string) bool { return strings.HasPrefix(l, args[0]+"/") }):
					return false, fmt.Sprintf("%s is a learner, and catches up", args[0])
				case slices.Contains(s.Admitted, args[0]):
					return false, fmt.Sprintf("%s is admitted: start it, with an empty data directory", args[0])
				}
				return false, fmt.Sprintf("asking for %s to be admitted", args[0])
			})
		},
	}
	c.add(cmd)
	return cmd
}

func removeCommand() *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use:   "remove REPLICA",
		Short: "Take a replica out of the cluster, for good",
		Long: `Take a replica out of the cluster. Its state never votes again: to come back it needs "cluster add" and an empty
data directory. It is refused if those that remain could not go on without it. The leader hands over first.`,
		Example: `  metronome cluster remove replica-2
  metronome cluster remove replica-2 && metronome cluster add replica-2   # replace: then start it on its new machine`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seat, err := seatOf(args[0])
			if err != nil {
				return err
			}
			if args[0] == c.via {
				return errors.New("a replica cannot be asked to remove itself: name another one of this machine with --replica")
			}
			return c.until(cmd, daemon.AdminRequest{Cmd: "remove", Seat: seat}, func(s *daemon.ClusterStatus) (bool, string) {
				switch {
				case voterOf(s, args[0]) != "":
					return false, fmt.Sprintf("asking for %s to be removed", args[0])
				case slices.Contains(s.Admitted, args[0]):
					return false, fmt.Sprintf("%s does not vote; asking for its seat to be closed", args[0])
				}
				return true, fmt.Sprintf("%s is removed; voters: %s", args[0], strings.Join(s.Voters, " "))
			})
		},
	}
	c.add(cmd)
	return cmd
}

func finalizeCommand() *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use:   "finalize",
		Short: "Raise the feature level, once all replicas run the new version: then there is no way back",
		Long: `After a rolling upgrade the cluster still does nothing that the version before does not know, so that every replica
can go back to it. finalize ends that: the feature level is raised through the log. It waits until every member runs a
version that knows the level.`,
		Example: `  metronome cluster status      # says which level all replicas know
  metronome cluster finalize`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.until(cmd, daemon.AdminRequest{Cmd: "finalize"}, func(s *daemon.ClusterStatus) (bool, string) {
				if s.Feature >= daemon.Feature {
					return true, fmt.Sprintf("feature level %d", s.Feature)
				}
				return false, fmt.Sprintf("feature level %d; waiting until all members know %d", s.Feature, daemon.Feature)
			})
		},
	}
	c.add(cmd)
	return cmd
}
