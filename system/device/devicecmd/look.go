package devicecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/device"
	"metronome/system/device/queue"
)

func (o *options) get() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print a key's value: what waits here, else the edge's, else what was last seen there",
		Example: `  metronome device get --dir lamp --edge https://edge:7443 --client lamp home/lamp/power
  metronome device get --dir lamp --json home/lamp/power | jq '.stale, .age_seconds'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd, len(o.config.Edges) > 0, func(ctx context.Context, d *device.Device) error {
				ctx, cancel := context.WithTimeout(ctx, o.timeout)
				defer cancel()
				v, err := d.Get(ctx, args[0])
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(cmd.OutOrStdout(), map[string]any{"key": args[0], "value": v.Value,
						"revision": v.Revision, "source": v.Source, "stale": v.Stale, "age_seconds": v.Age.Seconds()})
				}
				if v.Stale {
					fmt.Fprintf(cmd.ErrOrStderr(), "stale: last seen at the edge %v ago\n", v.Age.Round(time.Second))
				}
				_, err = cmd.OutOrStdout().Write(v.Value)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, the value in base64, with where it comes from")
	return cmd
}

func (o *options) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What waits, how safe what is, what was skipped, refused, repeated",
		Example: `  metronome device status --dir lamp
  metronome device status --dir lamp | jq '.pending, .marks'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, false, func(_ context.Context, d *device.Device) error {
				return printJSON(cmd.OutOrStdout(), d.Status())
			})
		},
	}
}

func (o *options) flush() *cobra.Command {
	var mark string
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Send what waits, until all of it has reached a mark",
		Example: `  metronome device flush --dir lamp --edge https://edge:7443 --client lamp --ca ca.crt
  metronome device flush --dir lamp --edge https://edge:7443 --client lamp --mark backed_up --timeout 10m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := queue.ParseMark(mark)
			if err != nil {
				return err
			}
			return o.with(cmd, m != queue.Local, func(ctx context.Context, d *device.Device) error {
				ctx, cancel := context.WithTimeout(ctx, o.timeout)
				defer cancel()
				err := d.Flush(ctx, m)
				s := d.Status()
				if err != nil && s.Why != "" {
					err = fmt.Errorf("%w (%s: %s)", err, s.State, s.Why)
				}
				return errors.Join(err, printJSON(cmd.OutOrStdout(), s))
			})
		},
	}
	markFlag(cmd, &mark, queue.Edge)
	return cmd
}

func (o *options) deadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "Operations that the edge refused: list them, one JSON object a line; retry or discard",
		Example: `  metronome device dead-letters --dir lamp
  metronome device dead-letters --dir lamp | jq -r 'select(.status == 403).number' |
    xargs metronome device dead-letters discard --dir lamp`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, false, func(_ context.Context, d *device.Device) error {
				e := json.NewEncoder(cmd.OutOrStdout())
				for letter, err := range d.DeadLetters() {
					if err == nil {
						err = e.Encode(letter)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.AddCommand(
		o.letters("retry NUMBER…", "Enqueue refused operations again, behind all others",
			`  metronome device dead-letters retry --dir lamp 17 18`,
			func(d *device.Device, n uint64) (any, error) {
				fresh, err := d.Retry(n)
				return map[string]uint64{"letter": n, "number": fresh}, err
			}),
		o.letters("discard NUMBER…", "Delete refused operations for good",
			`  metronome device dead-letters discard --dir lamp 17`,
			func(d *device.Device, n uint64) (any, error) {
				return map[string]uint64{"discarded": n}, d.Discard(n)
			}))
	return cmd
}

// letters is a command that does something with each letter named.
func (o *options) letters(use, short, example string,
	do func(*device.Device, uint64) (any, error),
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers := make([]uint64, len(args))
			for i, a := range args {
				var err error
				if numbers[i], err = strconv.ParseUint(a, 10, 64); err != nil {
					return fmt.Errorf("%q is no number of a dead letter", a)
				}
			}
			return o.with(cmd, false, func(_ context.Context, d *device.Device) error {
				for _, n := range numbers {
					said, err := do(d, n)
					if err == nil {
						err = printJSON(cmd.OutOrStdout(), said)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (o *options) adopt() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt",
		Short: "Go on with this copy of the directory after another was found to write under its name",
		Long: `Go on with this copy after status says "fenced": another copy of this directory, or another process
with it, has written to the edge under the same identity. The other copy is turned away from then on.
What it alone holds stays there: adopt only the copy you want to go on with.`,
		Example: `  metronome device adopt --dir lamp`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, false, func(_ context.Context, d *device.Device) error {
				if err := d.Adopt(); err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), d.Status())
			})
		},
	}
}
