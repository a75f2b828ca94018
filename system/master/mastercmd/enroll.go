package mastercmd

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/access/join"
	"metronome/system/master"
)

// enrolled is what enroll prints as JSON.
type enrolled struct {
	Edge    string    `json:"edge"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

func enrollCommand() *cobra.Command {
	var dir string
	var e master.Enrolment
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "enroll EDGE",
		Short: "Print a one-time token with which an edge joins",
		Long: `Print a one-time token with which an edge joins: it gets a certificate and a backup key for
it. The token is a secret, is good for one key, and ends after an hour unless --life says otherwise.
An edge that was enrolled before keeps its backup key, so one with a new disk can be restored.

--host names what the edge's certificate may speak for; the edge itself has no say in it.`,
		Example: `  metronome master enroll hallway --host hallway.local --host 192.168.1.20
  metronome master enroll hallway | ssh hallway metronome edge join --master https://master:7600`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ca, err := layout(dir).authority()
			if err != nil {
				return err
			}
			token, err := master.RegistryIn(dir).Enroll(args[0], ca, master.TokensIn(dir), e)
			if err != nil {
				return err
			}
			life := e.Life
			if life == 0 {
				life = join.DefaultLife
			}
			if asJSON {
				return printJSON(cmd, enrolled{args[0], token.Text(), time.Now().Add(life).UTC()})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Text())
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Within %v, at the edge: metronome edge join --master "+
				"https://THIS-HOST:7600 --member DIR, and give it this token.\nCopy %s to a safe place: it holds the "+
				"backup key.\n", life,
				filepath.Join(dir, "edges"))
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringArrayVar(&e.Hosts, "host", nil, "name or address under which the edge serves; repeatable")
	cmd.Flags().DurationVar(&e.Life, "life", 0, "how long the token is good for (default 1h, at most a week)")
	cmd.Flags().BoolVar(&e.Again, "again", false, "let in an edge that was revoked")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func revokeCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "revoke EDGE",
		Short:   "Shut an edge out: its certificate and tokens are refused; its backups stay",
		Example: `  metronome master revoke hallway`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := master.RegistryIn(dir).Revoke(args[0], master.TokensIn(dir), time.Now()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "edge %s is shut out; a running master knows within seconds\n",
				args[0])
			return err
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
