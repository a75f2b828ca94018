package main

import (
	"github.com/spf13/cobra"

	"metronome/harness/sim"
)

// simCommand hands its arguments to package sim, whose flags are its own.
func simCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sim [flags]",
		Short: "Simulate whole clusters under faults, one seed after another",
		Long: `Simulate whole clusters under faults, one seed after another, and check every invariant and every history. A
violation prints the line that replays it. lab sim -h lists the flags.`,
		Example: `  lab sim --seeds 1000
  lab sim --seed 0x7b --profile network --v 1`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if status := sim.Main(args, cmd.OutOrStdout()); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}
