// Command lab runs experiments: list | show | run | check | diff | figures | peers | sim | doctor.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"metronome/harness/driver/rss/worker"
	"metronome/harness/fleet/fleetcmd"
	"metronome/harness/vswitch/vswitchd"
	"metronome/internal/usage"
	"metronome/internal/version"
)

// Folders of the repository, from which lab is run.
const (
	experimentsDir = "experiments"
	resultsDir     = "results"
	figuresDir     = "figures"
)

// exitStatus is an error that only carries the status to exit with.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	var status exitStatus
	switch {
	case err == nil:
	case errors.As(err, &status):
		os.Exit(int(status))
	default:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(usage.Status(err))
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "lab",
		Short: "Run Metronome's experiments, judge their claims, draw their figures",
		Example: `  lab list                                 what there is, and how long it takes
  lab run ingest-11x --profile=quick       measure; Ctrl-C keeps what there is
  lab show ingest-11x                      print the newest run again
  lab check --strict ingest-11x            exit 0, 1 or 2: reproduced, not, undecided`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(listCommand(), runCommand(), showCommand(), checkCommand(), diffCommand(),
		figuresCommand(), readmeCommand(), doctorCommand(), generateCommand(), peersCommand(),
		simCommand(), simulateCommand(), edgeGuardedCommand(), trialCommand(),
		fleetcmd.Command(), vswitchd.Command(), worker.Command())
	usage.Mark(root)
	return root
}
