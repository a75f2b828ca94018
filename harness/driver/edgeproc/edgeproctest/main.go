// Package edgeproctest lets a test program be the servers that its tests start, so that they need no build
// of metronome.
//
//	func TestMain(m *testing.M) { os.Exit(edgeproctest.Main(m.Run)) }
//
//	edgeproc.Start(ctx, edgeproc.Config{Command: []string{os.Args[0], "edge"}, ...})
//
// It is imported by tests only, and is no test itself.
package edgeproctest

import (
	"os"

	"github.com/spf13/cobra"

	"metronome/system/edge/edgecmd"
	"metronome/system/master/mastercmd"
)

// Main is the main of such a program: an edge or a master if its first argument says so, or else what is
// given. It returns the exit status.
func Main(tests func() int) int {
	if len(os.Args) < 2 {
		return tests()
	}
	be := map[string]func() *cobra.Command{"edge": edgecmd.Command, "master": mastercmd.Command}[os.Args[1]]
	if be == nil {
		return tests()
	}
	cmd := be()
	cmd.SilenceUsage = true
	cmd.SetArgs(os.Args[2:])
	if cmd.Execute() != nil {
		return 1
	}
	return 0
}
