package edgecmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"metronome/system/access/secretfile"
	"metronome/system/master/ship"
)

const maxToken = 4 << 10

// joinCommand is metronome edge join.
func joinCommand() *cobra.Command {
	var j ship.Joining
	var tokenFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Become an edge: trade the master's token for a certificate and a backup key",
		Long: `Become an edge of the home that the token is of. The token comes from standard input or a file,
not from the command line, which everybody on a machine can see. The master's CA is recognised by the token:
nothing has to be trusted beforehand. If the answer is lost, run it again with the same token.`,
		Example: `  # at the master
  metronome master enroll hallway --host hallway.local > token

  # at the edge, with that token
  metronome edge join --master https://master:7600 --member /var/lib/metronome/member < token
  metronome edge --member /var/lib/metronome/member --data /var/lib/metronome/edge --users users.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if j.Token, err = readToken(cmd, tokenFile); err != nil {
				return err
			}
			m, err := ship.Join(cmd.Context(), j)
			if err != nil {
				return err
			}
			return joined(cmd.OutOrStdout(), &j, m, asJSON)
		},
	}
	cmd.Flags().StringVar(&j.Master, "master", "", "the master's address, https://host:port")
	cmd.Flags().StringVar(&j.Dir, "member", "member", "where certificate and keys are kept")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file that holds the token (default: standard input)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	_ = cmd.MarkFlagRequired("master")
	return cmd
}

func joined(out io.Writer, j *ship.Joining, m *ship.Membership, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"edge": m.Edge, "home": m.Home, "identity": m.Files.Identity,
			"ca": m.Files.CA, "restorable": m.Restorable})
	}
	text := fmt.Sprintf("this is edge %s of %s now: %s\n", m.Edge, m.Home, j.Dir)
	if m.Restorable {
		text += fmt.Sprintf("the master has backups of it: metronome master restore --member %s --to DATA brings "+
			"them back, before the edge is started\n", j.Dir)
	}
	_, err := fmt.Fprintf(out, "%snext: metronome edge --member %s --users users.yaml\n", text, j.Dir)
	return err
}

func readToken(cmd *cobra.Command, file string) (string, error) {
	if file != "" {
		b, err := secretfile.Read(file, maxToken)
		return string(b), err
	}
	if f, ok := cmd.InOrStdin().(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "join token, then Enter and Ctrl-D:")
		}
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxToken))
	if err == nil && strings.TrimSpace(string(b)) == "" {
		return "", errors.New("no token on standard input: at the master, metronome master enroll EDGE prints one")
	}
	return string(b), err
}
