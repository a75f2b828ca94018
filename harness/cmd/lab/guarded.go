package main

import (
	"github.com/spf13/cobra"

	"metronome/harness/driver/edge"
)

// edgeGuardedCommand is an edge with some defences switched off as a process, for edge-security; not meant to
// be typed.
func edgeGuardedCommand() *cobra.Command {
	return &cobra.Command{Use: "edge-guarded JSON", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Serve an edge whose guard is set as JSON says (used by run)",
		RunE: func(cmd *cobra.Command, args []string) error {
			return edge.ServeGuarded(cmd.Context(), args[0])
		}}
}
