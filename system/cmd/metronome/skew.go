package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
)

// sampled is what the replicas of one machine or several sampled, by their names, in ns since 1970.
type sampled map[string]daemon.Arrivals

func skewCommand() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "skew [FILE...]",
		Short: "How far apart the replicas received the same frames",
		Long: `How far apart the replicas received the same frames.

Every replica notes when it received one frame in 128, the last 64 of each lane. Asked are the replicas of this
machine; of others, files written there with --json are read. Their clocks must then agree (PTP): what they
differ by is part of the result.`,
		Example: `  metronome cluster skew
  metronome cluster skew --json >here.json        # on each machine
  metronome cluster skew there.json               # then, on one`,
		RunE: func(cmd *cobra.Command, files []string) error {
			all := sampled{}
			if err := errors.Join(all.ask(cmd.Context(), config), all.read(files)); len(all) == 0 {
				return err
			} else if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "not reached:", err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			return printSkew(cmd, all)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "what was sampled, as JSON, for another machine to compare with")
	return cmd
}

// ask takes what the replicas of this machine sampled.
func (s sampled) ask(ctx context.Context, config string) error {
	c, err := cluster.Load(config)
	if err != nil {
		return err
	}
	var errs []error
	for i := range c.Replicas {
		soon, cancel := context.WithTimeout(ctx, answerWithin)
		a, err := daemon.Ask(soon, c, c.Replicas[i].Peer(), daemon.AdminRequest{Cmd: "arrivals"})
		cancel()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s[c.Replicas[i].Peer().String()] = a.Arrivals
		offset := time.Now().UnixNano() - daemon.MachineClock()
		for _, frames := range a.Arrivals {
			for frame := range frames {
				frames[frame] += offset
			}
		}
	}
	return errors.Join(errs...)
}

// read takes what other machines wrote.
func (s sampled) read(files []string) error {
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("%s: %w. Next: write it with \"metronome cluster skew --json\"", name, err)
		}
	}
	return nil
}

func us(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

func printSkew(cmd *cobra.Command, all sampled) error {
	var names []string
	var of []daemon.Arrivals
	for name, a := range all {
		names, of = append(names, name), append(of, a)
	}
	slices.Sort(names)
	if len(of) < 2 {
		return fmt.Errorf("only %v answered: two replicas at least are compared", names)
	}
	k := daemon.SkewOf(of)
	if k.Frames == 0 {
		return fmt.Errorf("%v have sampled no frame in common yet. Next: write a few hundred items, or ask while "+
			"less is being sent", names)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d replicas received the same frame within %v of each other (median of %d "+
		"frames; 99 %%: %v; most: %v)\n", k.Replicas, us(k.Median), k.Frames, us(k.P99), us(k.Most))
	return nil
}
