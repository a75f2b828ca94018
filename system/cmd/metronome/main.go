// Command metronome is the store's one binary: replica, proxy, a whole cluster for development,
// what operators need, and the parts that experiments measure.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"metronome/internal/usage"
	"metronome/internal/version"
	"metronome/system/access/accesscmd"
	"metronome/system/backup/backupcmd"
	"metronome/system/device/devicecmd"
	"metronome/system/edge/edgecmd"
	"metronome/system/master/mastercmd"
)

func main() {
	if servesOnly(os.Args[1:]) {
		relaxTimers()
	}
	root := &cobra.Command{
		Use:           "metronome",
		Short:         "A replicated store: multicast once, order ranges by consensus, apply on dedicated cores",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	bench := &cobra.Command{Use: "bench", Short: "Parts of the store as devices under test"}
	bench.AddCommand(ingestCommand(), loadCommand())
	pki := pkiCommand()
	pki.AddCommand(accesscmd.CA(), accesscmd.Leaf(), accesscmd.Show())
	root.AddCommand(bench, replicaCommand(), proxyCommand(), devCommand(), clusterCommand(), configCommand(), pki,
		backupcmd.Backup(), backupcmd.Restore(), mastercmd.Command(), devicecmd.Command(), edgecmd.Command(), accesscmd.User())
	usage.Mark(root)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "metronome:", err)
		os.Exit(usage.Status(err))
	}
}
