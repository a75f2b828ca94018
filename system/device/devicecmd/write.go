package devicecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/device"
	"metronome/system/device/queue"
)

// write is a put or delete under way.
type write struct {
	device.Write
	mark             string
	ifMatch          uint64
	absent, existing bool
}

func (w *write) flags(cmd *cobra.Command) {
	markFlag(cmd, &w.mark, queue.Local)
	cmd.Flags().Uint64Var(&w.ifMatch, "if-revision", 0, "only if the key's revision at the edge is this")
	cmd.Flags().BoolVar(&w.existing, "if-exists", false, "only if the key exists at the edge")
}

// condition turns the flags into one condition.
func (w *write) condition() error {
	n := 0
	for _, c := range []struct {
		set bool
		c   queue.Condition
	}{{w.ifMatch != 0, queue.IfMatch}, {w.absent, queue.IfAbsent}, {w.existing, queue.IfPresent}} {
		if c.set {
			w.If = c.c
			n++
		}
	}
	w.Revision = w.ifMatch
	if n > 1 {
		return errors.New("give one condition, not several")
	}
	return nil
}

func (w *write) run(o *options, cmd *cobra.Command) error {
	mark, err := queue.ParseMark(w.mark)
	if err == nil {
		err = w.condition()
	}
	if err != nil {
		return err
	}
	return o.with(cmd, mark != queue.Local, func(ctx context.Context, d *device.Device) error {
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		receipt, err := d.Do(ctx, w.Write, mark)
		if receipt.Number > 0 {
			err = errors.Join(err, printJSON(cmd.OutOrStdout(), receipt))
		}
		return err
	})
}

func (o *options) put() *cobra.Command {
	w := &write{}
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE]",
		Short: "Put a value; without VALUE it is read from standard input",
		Example: `  metronome device put --dir lamp home/lamp/power 12.5
  metronome device put --dir lamp --mark edge --edge https://edge:7443 --client lamp photo < photo.jpg`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.Key = args[0]
			if len(args) == 2 {
				w.Value = []byte(args[1])
				return w.run(o, cmd)
			}
			var err error
			if w.Value, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), queue.MaxValue+1)); err != nil {
				return err
			}
			return w.run(o, cmd)
		},
	}
	w.flags(cmd)
	cmd.Flags().BoolVar(&w.absent, "if-absent", false, "only if the key does not exist at the edge")
	return cmd
}

func (o *options) delete() *cobra.Command {
	w := &write{Write: device.Write{Delete: true}}
	cmd := &cobra.Command{
		Use:     "delete KEY",
		Short:   "Delete a key",
		Example: `  metronome device delete --dir lamp home/lamp/power`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.Key = args[0]
			return w.run(o, cmd)
		},
	}
	w.flags(cmd)
	return cmd
}

func (o *options) load() *cobra.Command {
	var format, mark string
	var wait bool
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Put many: a CSV of key,value or lines of KEY VALUE; from standard input without FILE",
		Long: `Put many at once. A CSV has two columns, key and value, and no heading. A line is a key, one space or
tab, and the value up to the line's end. What was read before an error stays in the queue; the count is
printed.`,
		Example: `  metronome device import --dir lamp readings.csv
  generator | metronome device import --dir lamp --format lines --wait --edge https://edge:7443`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := queue.ParseMark(mark)
			if err != nil {
				return err
			}
			in := cmd.InOrStdin()
			if len(args) == 1 {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }()
				in = f
			}
			writes, err := parse(in, format)
			if err != nil {
				return err
			}
			return o.with(cmd, m != queue.Local || wait && len(o.config.Edges) > 0,
				func(ctx context.Context, d *device.Device) error {
					return importAll(ctx, cmd, d, writes, wait, m, o.timeout)
				})
		},
	}
	cmd.Flags().StringVar(&format, "format", "csv", "csv or lines")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for room when the queue is full, instead of failing")
	markFlag(cmd, &mark, queue.Local)
	return cmd
}

func importAll(ctx context.Context, cmd *cobra.Command, d *device.Device, writes stream, wait bool,
	m queue.Mark, timeout time.Duration,
) error {
	start := time.Now()
	taken, err := d.Import(ctx, writes, wait)
	spent := time.Since(start)
	if err == nil && m != queue.Local {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err = d.Flush(ctx, m)
	}
	if err != nil {
		err = fmt.Errorf("after %d operations: %w", taken, err)
	}
	return errors.Join(err, printJSON(cmd.OutOrStdout(), map[string]any{
		"imported": taken, "seconds": spent.Seconds(), "per_second": float64(taken) / spent.Seconds(),
		"last": d.Status().Last,
	}))
}
