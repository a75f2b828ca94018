package main

import (
	"cmp"
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

// rotation is one step of a rotation: what must be so at every process, and what then becomes of the file.
type rotation struct {
	ready func(*cluster.Ring, *daemon.KeysInUse) string // what is missing, "" for nothing
	step  func(*cluster.Ring) error
	next  string
}

var rotations = map[string]rotation{
	"add": {
		func(*cluster.Ring, *daemon.KeysInUse) string { return "" },
		(*cluster.Ring).Add,
		"then: metronome cluster rotate-key activate (it waits until all have the key)"},
	"activate": {
		func(r *cluster.Ring, k *daemon.KeysInUse) string { return lacks(r.Newest(), k, wire.KeyAccepted) },
		(*cluster.Ring).Activate,
		"then: metronome cluster rotate-key retire (it waits until all use the key)"},
	"retire": {
		func(r *cluster.Ring, k *daemon.KeysInUse) string {
			return cmp.Or(lacks(r.Active(), k, wire.KeyActive), sends(r, k))
		},
		(*cluster.Ring).Retire,
		"then, some time: metronome cluster rotate-key drop (it waits until no journal needs the old key)"},
	"drop": {
		func(r *cluster.Ring, k *daemon.KeysInUse) string { return needs(r, k) },
		func(r *cluster.Ring) error { _, err := r.Drop(); return err },
		"and the old key is nowhere any more"},
}

// lacks says what keeps a process from being ready for the step after a key has reached a state.
func lacks(key *wire.Key, in *daemon.KeysInUse, state wire.KeyState) string {
	switch is, ok := in.States[key.Number]; {
	case !ok || is.Check != key.Check():
		return fmt.Sprintf("lacks key %d: copy the key file there and send SIGHUP", key.Number)
	case is.State != state && is.State != wire.KeyActive:
		return fmt.Sprintf("has key %d %v, not %v: copy the key file there and send SIGHUP", key.Number, is.State, state)
	}
	return ""
}

// sends says which proxy has frames under way that only an older key than the active one opens. Replicas' journals
// open them still when it is retired.
func sends(r *cluster.Ring, in *daemon.KeysInUse) string {
	for _, n := range in.Needed {
		if in.Proxy && n != r.Active().Number {
			return fmt.Sprintf("has frames under key %d that are not answered yet", n)
		}
	}
	return ""
}

// needs says what keeps retired keys from being dropped.
func needs(r *cluster.Ring, in *daemon.KeysInUse) string {
	for i := range r.Keys.List {
		k := &r.Keys.List[i]
		if k.State != wire.KeyRetired {
			continue
		}
		if is, ok := in.States[k.Number]; ok && is.State != wire.KeyRetired {
			return fmt.Sprintf("has key %d %v, not retired: copy the key file there and send SIGHUP", k.Number, is.State)
		}
		if slices.Contains(in.Needed, k.Number) {
			return fmt.Sprintf("has frames under key %d in its journal, until a snapshot covers them", k.Number)
		}
	}
	return ""
}

func rotateKeyCommand() *cobra.Command {
	var config string
	var timeout time.Duration
	var unchecked bool
	cmd := &cobra.Command{
		Use:   "rotate-key [add|activate|retire|drop]",
		Short: "Change the key of frames, step by step, while the cluster runs",
		Long: `Change the key under which frames are sealed, while the cluster runs. Keys have numbers, frames name theirs, and every
process opens frames under each key of its key file that is not retired. Steps change the key file beside this command; in
between, copy it to every machine (mode 0600) and send SIGHUP to every replica and proxy (an edge that embeds a proxy is
started again instead):

  add       a new key, which everybody is to accept before anybody uses it
  activate  it seals what is sent from now on; the old one is accepted still
  retire    the old one opens nothing any more that comes off the network, only what journals hold
  drop      it is gone from the file

Before a step the metrics of all replicas and proxies of the cluster file are asked whether the step before has reached
them. Without a step, what each has is shown.`,
		Example: `  metronome cluster rotate-key add         # copy secrets/cluster.key to every machine; SIGHUP
  metronome cluster rotate-key activate    # the same again
  metronome cluster rotate-key retire      # and again`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"add", "activate", "retire", "drop"},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.Load(config)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return showKeys(cmd, c)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return rotate(ctx, cmd, c, rotations[args[0]], unchecked)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the step before to have reached everybody")
	cmd.Flags().BoolVar(&unchecked, "unchecked", false, "ask nobody: who misses a step is cut off until it has the key file")
	return cmd
}

// rotate makes one step. The file is judged before anybody is waited for, and again when it is changed.
func rotate(ctx context.Context, cmd *cobra.Command, c *cluster.Config, s rotation, unchecked bool) error {
	ring, err := c.Ring()
	if err != nil {
		return err
	}
	if err := s.step(ring); err != nil {
		return err
	}
	if ring, err = c.Ring(); err != nil {
		return err
	}
	if !unchecked {
		if err := everybody(ctx, cmd, c, func(k *daemon.KeysInUse) string { return s.ready(ring, k) }); err != nil {
			return err
		}
	}
	if ring, err = c.ChangeRing(s.step); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	printRing(cmd, ring)
	fmt.Fprintf(out, "\nNext: copy %s to every machine, send SIGHUP to every replica and proxy,\n%s\n",
		c.Path(c.Secrets.ClusterKeyFile), s.next)
	return nil
}

func everybody(ctx context.Context, cmd *cobra.Command, c *cluster.Config, missing func(*daemon.KeysInUse) string) error {
	told := ""
	for {
		var all []string
		for _, p := range c.Peers() {
			k, err := daemon.AskKeys(ctx, c, p)
			if err != nil {
				all = append(all, err.Error())
			} else if what := missing(k); what != "" {
				all = append(all, p.String()+" "+what)
			}
		}
		if len(all) == 0 {
			return nil
		}
		if now := strings.Join(all, "\n"); now != told {
			told = now
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting:\n"+told)
		}
		select {
		case <-ctx.Done():
			return errors.New("nothing was changed: " + told)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func printRing(cmd *cobra.Command, r *cluster.Ring) {
	for i := range r.Keys.List {
		k := &r.Keys.List[i]
		fmt.Fprintf(cmd.OutOrStdout(), "key %d  %08x  %s\n", k.Number, k.Check(), k.State)
	}
}

func showKeys(cmd *cobra.Command, c *cluster.Config) error {
	r, err := c.Ring()
	if err != nil {
		return err
	}
	printRing(cmd, r)
	for _, p := range c.Peers() {
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		k, err := daemon.AskKeys(ctx, c, p)
		cancel()
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", p, k)
	}
	return nil
}
