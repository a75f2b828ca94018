package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "The cluster file"}
	check := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Name every problem of a cluster file at once",
		Example: `  metronome config check cluster.yaml`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := cluster.FileName
			if len(args) > 0 {
				path = args[0]
			}
			c, err := cluster.Load(path)
			if err != nil {
				return err
			}
			warnings, _ := c.Validate()
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d replicas, %d proxies, durability %s: good\n", path, len(c.Replicas),
				len(c.Proxies), c.Durability)
			return nil
		},
	}
	cmd.AddCommand(check)
	return cmd
}

func pkiCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "pki", Short: "The cluster's keys and certificates"}
	var config string
	var pki cluster.PKI
	initialise := &cobra.Command{
		Use:   "init",
		Short: "Make what is missing: cluster key, CA, a certificate for every peer",
		Long: `Make what is missing of the secrets that the cluster file names: the cluster key, a CA, and a certificate for
every replica and proxy. Nothing that exists is overwritten, but certificates with --renew. The CA's key lies beside
the CA; no process needs it, so keep it elsewhere when done.`,
		Example: `  metronome pki init --config cluster.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Load(config)
			if err != nil {
				return err
			}
			pki.Now = time.Now()
			written, err := pki.Init(c)
			for _, f := range written {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return err
		},
	}
	initialise.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	initialise.Flags().BoolVar(&pki.Renew, "renew", false, "issue the peers' certificates again")
	initialise.Flags().DurationVar(&pki.Life, "life", 0, "how long certificates are good for (default a year)")
	cmd.AddCommand(initialise)
	return cmd
}

func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Found a cluster, look at it, change its members"}
	cmd.AddCommand(initCommand(), statusCommand(), skewCommand(), addCommand(), removeCommand(), finalizeCommand(),
		rotateKeyCommand())
	return cmd
}

const operatorTimeout = 2 * time.Minute

// answerWithin is how long one process of this machine may take to answer: one that is busy is not away.
const answerWithin = 5 * time.Second

func initCommand() *cobra.Command {
	var config, name string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Found the cluster: once, explicitly, with all replicas running",
		Long: `Found the cluster of the cluster file. One running replica of this machine is asked; it makes sure that every
replica is there and belongs to no cluster yet, then all begin together. It is explicit because a replica that lost its
state must never vote as if it had not: replicas that come later, or come back, join by themselves.`,
		Example: `  metronome cluster init --config cluster.yaml --replica replica-0`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, peer, err := operatorArgs(config, name)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), operatorTimeout)
			defer cancel()
			s, err := found(ctx, c, peer)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "founded: voters %s, leader %s\n", strings.Join(s.Voters, " "), s.Leader)
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().StringVar(&name, "replica", "replica-0", "a replica of this machine to ask")
	return cmd
}

// found founds a cluster through one replica and waits until it has a leader.
func found(ctx context.Context, c *cluster.Config, peer wire.Peer) (*daemon.ClusterStatus, error) {
	if _, err := daemon.Ask(ctx, c, peer, daemon.AdminRequest{Cmd: "init"}); err != nil {
		return nil, err
	}
	for {
		a, err := daemon.Ask(ctx, c, peer, daemon.AdminRequest{Cmd: "status"})
		if err != nil {
			return nil, err
		}
		switch {
		case a.Status.Leader != "":
			return a.Status, nil
		case a.Status.FoundErr != "":
			return nil, errors.New(a.Status.FoundErr)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no cluster after %v: waiting for %s. Next: start them, look at their logs", operatorTimeout,
				strings.Join(a.Status.Awaited, ", "))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func operatorArgs(config, name string) (*cluster.Config, wire.Peer, error) {
	c, err := cluster.Load(config)
	if err != nil {
		return nil, 0, err
	}
	peer, err := wire.ParsePeer(name)
	return c, peer, err
}

func statusCommand() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What the replicas of this machine say of the cluster",
		Example: `  metronome cluster status --config cluster.yaml
  metronome cluster status --json | jq .[0].voters`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Load(config)
			if err != nil {
				return err
			}
			var all []*daemon.ClusterStatus
			var errs []error
			for i := range c.Replicas {
				ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
				a, err := daemon.Ask(ctx, c, c.Replicas[i].Peer(), daemon.AdminRequest{Cmd: "status"})
				cancel()
				if err != nil {
					errs = append(errs, err)
					continue
				}
				all = append(all, a.Status)
			}
			if len(all) == 0 {
				return errors.Join(errs...)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			printStatus(cmd, all)
			for _, err := range errs {
				fmt.Fprintln(cmd.ErrOrStderr(), "not reached:", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printStatus(cmd *cobra.Command, all []*daemon.ClusterStatus) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "REPLICA\tLIFE\tLEADER\tTERM\tROUNDS\tITEMS\tKEYS\tSTATE HASH\tVOTERS\tLEARNERS\tMARGIN\tSNAPSHOT AT\tJOURNAL\tLEVEL\tNOT READY")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%d\t%d\t%v\t%d\t%s\n", s.Replica, s.Life, s.Leader, s.Term, s.Position,
			s.Index, s.Keys, s.StateHash, strings.Join(s.Voters, ","), strings.Join(s.Learners, ","), s.QuorumMargin, s.SnapshotAt,
			cluster.Bytes(s.JournalBytes), s.Feature, s.NotReady)
	}
	_ = w.Flush()
	for _, s := range all {
		if len(s.Holds) > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "\nagreed up to round %d; each has logged, and holds everything under it, up to:%s\n", s.Position,
				holds(s.Holds))
		}
		if s.Supported > s.Feature {
			fmt.Fprintf(cmd.OutOrStdout(), "\nfeature level %d; all replicas know %d: \"metronome cluster finalize\" raises it, for good\n",
				s.Feature, s.Supported)
		}
	}
	if all[0].Durability == "memory" {
		fmt.Fprintln(cmd.OutOrStdout(), "\ndurability memory: the state survives the loss of a minority of replicas, not of all at once")
	}
}

func holds(m map[string]uint64) (s string) {
	for _, life := range slices.Sorted(maps.Keys(m)) {
		s += fmt.Sprintf(" %s %d", life, m[life])
	}
	return s
}

// self is this program, to start it again as another process.
func self() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return exe, nil
}
