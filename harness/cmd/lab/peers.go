package main

import (
	"os"

	"github.com/spf13/cobra"

	"metronome/harness/peer"
)

// peersCommand hands its arguments to package peer, whose flags are its own: the lab speaks to a process
// that it starts this way.
func peersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "peers list | run NAME [flags] | serve NAME [flags]",
		Short: "Start one store, ours or one it is compared with, and load it",
		Long: `Start one store, ours or one it is compared with, and load it. Every answer is a line of JSON.
peers run NAME -h lists the flags; etcd and nats-server must be built first: make peers.`,
		Example: `  lab peers list
  lab peers run redis -mode p16 -seconds 2
  lab peers run metronome -set replicas=5 -rate 100000`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			if status := peer.Main(args, os.Stdin, os.Stdout, peer.Ours()...); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}
