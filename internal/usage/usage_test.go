package usage

import (
	"errors"
	"io"
	"testing"

	"github.com/spf13/cobra"
)

func lab() *cobra.Command {
	run := &cobra.Command{Use: "run EXPERIMENT", Args: cobra.ExactArgs(1),
		RunE: func(*cobra.Command, []string) error { return errors.New("it broke") }}
	run.Flags().Int("blocks", 0, "")
	run.Flags().Bool("quiet", false, "")
	up := &cobra.Command{Use: "up", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	up.Flags().String("file", "", "")
	_ = up.MarkFlagRequired("file")
	group := &cobra.Command{Use: "cluster", Short: "Clusters"}
	group.AddCommand(up)
	root := &cobra.Command{Use: "lab", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(run, group)
	root.SetOut(io.Discard)
	Mark(root)
	return root
}

// A wrong call says what is wrong, then where to look, with status 2; what a command fails at has status 1.
func TestWrongCalls(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"run", "x"}, 1, "it broke"},
		{[]string{"run"}, 2, "accepts 1 arg(s), received 0: lab run EXPERIMENT [flags]; see 'lab run --help'"},
		{[]string{"run", "x", "--blocs=3"}, 2,
			"unknown flag: --blocs; did you mean --blocks?; see 'lab run --help'"},
		{[]string{"run", "x", "--zebra-zebra"}, 2, "unknown flag: --zebra-zebra; see 'lab run --help'"},
		{[]string{"run", "x", "-z"}, 2, "unknown shorthand flag: 'z' in -z; see 'lab run --help'"},
		{[]string{"run", "x", "--blocks"}, 2, "flag needs an argument: --blocks; see 'lab run --help'"},
		{[]string{"run", "x", "--blocks=many"}, 2, `invalid argument "many" for "--blocks" flag: ` +
			`strconv.ParseInt: parsing "many": invalid syntax; see 'lab run --help'`},
		{[]string{"rum"}, 2, `unknown command "rum"; did you mean run?; see 'lab --help'`},
		{[]string{"cluster", "upp"}, 2, `unknown command "upp"; did you mean up?; see 'lab cluster --help'`},
		{[]string{"cluster", "sideways"}, 2, `unknown command "sideways"; see 'lab cluster --help'`},
		{[]string{"cluster", "up"}, 2, `required flag(s) "file" not set; see 'lab cluster up --help'`},
		{[]string{"cluster", "up", "--file=f"}, 0, ""},
		{[]string{"cluster"}, 0, ""},
		{[]string{}, 0, ""},
		{[]string{"run", "--help"}, 0, ""},
	} {
		root := lab()
		root.SetArgs(c.args)
		err := root.Execute()
		said := ""
		if err != nil {
			said = err.Error()
		}
		if said != c.want || Status(err) != c.status {
			t.Errorf("lab %q: status %d, %q", c.args, Status(err), said)
		}
	}
}
