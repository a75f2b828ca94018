package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"metronome/harness/sim"
)

// simCommand hands its arguments to package sim, whose flags are its own.
func simCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sim [flags]",
		Short: "Simulate whole clusters under faults, one seed after another",
		Long: `Simulate whole clusters under faults, one seed after another, and check every invariant and every history. A
violation prints the line that replays it.`,
		Example: `  lab sim --seeds 1000
  lab sim --seed 0x7b --profile network --v 1`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.ContainsFunc(args, isHelp) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n\nExamples:\n%s\n\n", cmd.Long, cmd.Example)
				_ = sim.Main(args, cmd.OutOrStdout()) // which it calls a mistake
				return nil
			}
			if status := sim.Main(args, cmd.OutOrStdout()); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }
