// Command metronome is the store's one binary. Today it holds the device under test of the ingest
// experiment; replica, proxy, edge and the rest join it as they are built.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"metronome/internal/version"
)

func main() {
	root := &cobra.Command{
		Use:           "metronome",
		Short:         "A replicated store: multicast once, order ranges by consensus, apply on dedicated cores",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	bench := &cobra.Command{Use: "bench", Short: "Parts of the store as devices under test"}
	bench.AddCommand(ingestCommand())
	root.AddCommand(bench)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "metronome:", err)
		os.Exit(1)
	}
}
