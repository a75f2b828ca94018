package fleetcmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"metronome/harness/fleet"
)

// Command is "cluster" with its subcommands, to be added to a program's commands.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Bring a whole cluster up with Ansible: in namespaces of this machine, or on a rack",
		Long: `Bring a whole cluster up with Ansible, look at it, take it down: in network namespaces of
this machine (inventory local, as root) or on other machines (an inventory file; begin with a copy of
ansible/inventory/servers.example.yml).`,
		Example: `  sudo bin/lab cluster up                     three replicas, a proxy, a client, in namespaces
  sudo bin/lab cluster status
  sudo ip netns exec mtn-lab-client-1 redis-cli -h 10.78.0.101 set greeting hello
  sudo bin/lab cluster down
  bin/lab cluster up --inventory rack.yml --name rack`,
	}
	cmd.AddCommand(upCommand(), statusCommand(), collectCommand(), downCommand())
	return cmd
}

func upCommand() *cobra.Command {
	o := fleet.Options{Keep: true}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up, or make one that is up what is asked for",
		Long: `Bring a cluster up, or make one that is up what is asked for: a second run changes nothing.
What a failed or interrupted run began on this machine is taken down again.`,
		Example: `  sudo bin/lab cluster up
  sudo bin/lab cluster up --name five --replicas 5
  bin/lab cluster up --inventory rack.yml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Progress = func(task string) { fmt.Fprintln(cmd.ErrOrStderr(), " ", task) }
			f, r, err := fleet.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			describe(cmd.OutOrStdout(), f, r)
			return nil
		},
	}
	nameFlag(cmd, &o.Name)
	inventoryFlag(cmd, &o.Inventory)
	cmd.Flags().IntVar(&o.Replicas, "replicas", 3, "replicas of a local cluster: an odd number")
	cmd.Flags().IntVar(&o.Proxies, "proxies", 1, "proxies of a local cluster")
	cmd.Flags().IntVar(&o.Clients, "clients", 1, "namespaces for clients of a local cluster")
	cmd.Flags().StringVar(&o.Binary, "binary", filepath.Join("bin", "metronome"), "the program to hand out")
	cmd.Flags().StringSliceVar(&o.Peers, "peers", nil,
		"stores to put beside the replicas, not started: etcd, nats, redis")
	cmd.Flags().BoolVar(&o.SkipMachines, "skip-machines", false,
		"leave packages, kernel settings and drivers as they are")
	return cmd
}

func describe(w io.Writer, f *fleet.Fleet, r *fleet.Result) {
	fmt.Fprintf(w, "fleet %s is up after %.1f s; %d changes on %d hosts\n", f.Name(), r.Elapsed.Seconds(),
		len(r.Changed), len(r.Hosts))
	client := ""
	for _, n := range f.Nodes() {
		fmt.Fprintf(w, "  %-12s %-14s %s\n", n.Name, n.Address, n.Namespace)
		if n.Role == "client" && client == "" {
			client = n.Namespace
		}
	}
	for _, p := range f.Proxies() {
		if client == "" {
			client = p.Namespace
		}
		host, port, _ := strings.Cut(p.Resp, ":")
		fmt.Fprintf(w, "  clients: ip netns exec %s redis-cli -h %s -p %s\n", client, host, port)
	}
}

func statusCommand() *cobra.Command {
	var name, inventory string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What each replica says of the cluster; without a cluster, which there are",
		Example: `  sudo bin/lab cluster status
  bin/lab cluster status --inventory rack.yml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := open(cmd, name, inventory)
			if errors.Is(err, os.ErrNotExist) {
				return errors.Join(list(cmd.OutOrStdout()), err)
			}
			if err != nil {
				return err
			}
			defer f.Release()
			all, err := f.Status(cmd.Context())
			printReports(cmd.OutOrStdout(), all)
			return err
		},
	}
	nameFlag(cmd, &name)
	inventoryFlag(cmd, &inventory)
	return cmd
}

func printReports(out io.Writer, all []fleet.Report) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tREPLICA\tLIFE\tLEADER\tTERM\tROUNDS\tITEMS\tKEYS\tSTATE HASH\tVOTERS\t"+
		"LEARNERS\tNOT READY")
	for _, r := range all {
		s := &r.Status
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", r.Host, s.Replica, s.Life,
			s.Leader, s.Term, s.Position, s.Index, s.Keys, s.StateHash, strings.Join(s.Voters, ","),
			strings.Join(s.Learners, ","), s.NotReady)
	}
	_ = w.Flush()
}

func list(w io.Writer) error {
	all, err := fleet.List()
	for _, s := range all {
		fmt.Fprintf(w, "%s: %s, inventory %s, %d nodes on this machine\n", s.Name, s.Phase, s.Inventory,
			len(s.Nodes))
	}
	return err
}

func collectCommand() *cobra.Command {
	var name, inventory, dir string
	cmd := &cobra.Command{
		Use:     "collect",
		Short:   "Gather the logs of all nodes on this machine",
		Example: "  sudo bin/lab cluster collect",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := open(cmd, name, inventory)
			if err != nil {
				return err
			}
			defer f.Release()
			return f.Collect(cmd.Context(), dir)
		},
	}
	nameFlag(cmd, &name)
	inventoryFlag(cmd, &inventory)
	cmd.Flags().StringVar(&dir, "to", "logs", "where to: a folder for each node")
	return cmd
}

func downCommand() *cobra.Command {
	var name, inventory string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take a cluster down and leave nothing",
		Example: `  sudo bin/lab cluster down
  bin/lab cluster down --inventory rack.yml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := open(cmd, name, inventory)
			if err != nil {
				return err
			}
			return f.Down(cmd.Context())
		},
	}
	nameFlag(cmd, &name)
	inventoryFlag(cmd, &inventory)
	return cmd
}

func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "",
		`what the cluster is called (default "lab", of an inventory file its name)`)
}

func inventoryFlag(cmd *cobra.Command, inventory *string) {
	cmd.Flags().StringVar(inventory, "inventory", fleet.Local, "local, or an inventory file of other machines")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		name := cmd.Flags().Lookup("name")
		if *inventory == fleet.Local || name.Changed {
			return nil
		}
		base, _, _ := strings.Cut(filepath.Base(*inventory), ".")
		return name.Value.Set(base)
	}
}

// open takes hold of a cluster that is up.
func open(cmd *cobra.Command, name, inventory string) (*fleet.Fleet, error) {
	if name == "" {
		name = "lab"
	}
	f, err := fleet.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no cluster %s is up: %w. Next: %s up --name %s --inventory %s", name,
			os.ErrNotExist, cmd.Parent().CommandPath(), name, inventory)
	}
	return f, err
}
