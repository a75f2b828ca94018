package mastercmd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Command is metronome master.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "master",
		Short: "The master: keeps edges' backups, and knows who is alive",
		Long: `The master keeps edges' backups, encrypted with a key for each edge, and knows which edges
are alive. Its directory holds everything, the CA's key and the backup keys included: copy its
folders pki and edges to a safe place, for without the keys the backups are noise.`,
		Example: `  metronome master init --dir /var/lib/metronome/master --home villa --host master.example.org
  metronome master serve --dir /var/lib/metronome/master --users admins.yaml
  metronome master enroll hallway --host hallway.local --dir /var/lib/metronome/master
  metronome master status --dir /var/lib/metronome/master`,
	}
	cmd.AddCommand(initCommand(), serveCommand(), enrollCommand(), revokeCommand(), statusCommand(),
		restoreCommand(),
		verifyCommand(), drillCommand())
	return cmd
}

// dirFlag names the master's directory.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", Defaults().Dir, "the master's directory")
}

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "as JSON")
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func initCommand() *cobra.Command {
	var dir, home string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a master's directory: a CA and the master's certificate",
		Long: `Make a master's directory. A CA that lies there already (DIR/pki/ca.crt and ca.key) is
used; otherwise one is made for the home, good for ten years. The master's certificate renews itself
while the master runs.`,
		Example: `  metronome master init --dir /var/lib/metronome/master --home villa --host 10.0.0.5`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := Init(dir, home, hosts); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is ready. Next: metronome master serve --dir %s\nCopy "+
				"%s/pki and, after each enrolment, %s/edges to a safe place.\n", dir, dir, dir, dir)
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&home, "home", "home", "the installation's name, part of every identity")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "name or address under which the master is reached; "+
		"repeatable")
	return cmd
}

func serveCommand() *cobra.Command {
	o := Defaults()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the master",
		Long: `Run the master: take in edges' backups over HTTPS with certificates on both sides, verify
and prune them, restore each from time to time to prove that it can be done, and show what is known
on a page. What was backed up stays where it is when --backups changes: move it by hand.

Retention: 0 of a kind keeps none of that kind; the newest three and the last one that was proven
always stay.`,
		Example: `  metronome master serve --dir /var/lib/metronome/master --users admins.yaml --page :7601
  metronome master serve --plain-loopback --page 127.0.0.1:7601   # try it on this machine
  metronome master serve --backups s3://backups/villa --s3-endpoint https://s3.example.org \
      --users admins.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := Start(ctx, o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			_, _ = fmt.Fprintf(out, "master: %s for edges, backups in %s\n", r.URL, r.o.Place.Where)
			p := o.Policy
			_, _ = fmt.Fprintf(out, "kept: %d last, %d hourly, %d daily, %d weekly, %d monthly\n", p.Last, p.Hourly,
				p.Daily,
				p.Weekly, p.Monthly)
			if r.PageURL != "" {
				_, _ = fmt.Fprintf(out, "page: %s\n", r.PageURL)
			}
			if r.AdminURL != "" {
				_, _ = fmt.Fprintf(out, "operators: %s\n", r.AdminURL)
			}
			return r.Wait()
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *Options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	dirFlag(cmd, &o.Dir)
	f.StringVar(&o.Listen, "listen", o.Listen, "address for edges")
	f.StringVar(&o.Page, "page", o.Page, "address of the page for people; empty = none")
	f.StringVar(&o.Admin, "admin", o.Admin, "address of /metrics, /livez, /readyz; empty = none. It knows no "+
		"passwords")
	f.StringVar(&o.Users, "users", "", "credential file whose administrators may see the page, over HTTPS")
	f.BoolVar(&o.Plain, "plain-loopback", false, "the page over plain HTTP, without passwords; on a loopback "+
		"only")
	f.StringVar(&o.Place.Where, "backups", "", "where backups lie: a directory or s3://bucket/prefix "+
		"(default as last time, or DIR/vault)")
	f.StringVar(&o.Place.Endpoint, "s3-endpoint", "", "the bucket's server, https://host[:port]")
	f.StringVar(&o.Place.Region, "s3-region", "", "the bucket's region")
	f.StringVar(&o.Place.Credentials, "s3-credentials", "", "file with the access key, in the AWS client's "+
		"form (default: the environment)")
	f.IntVar(&o.Policy.Last, "keep-last", o.Policy.Last, "newest backups kept; three at least")
	f.IntVar(&o.Policy.Hourly, "keep-hourly", o.Policy.Hourly, "of the last so many hours that have one")
	f.IntVar(&o.Policy.Daily, "keep-daily", o.Policy.Daily, "likewise, days")
	f.IntVar(&o.Policy.Weekly, "keep-weekly", o.Policy.Weekly, "likewise, weeks")
	f.IntVar(&o.Policy.Monthly, "keep-monthly", o.Policy.Monthly, "likewise, months")
	f.DurationVar(&o.Grace, "grace", o.Grace, "between marking what nobody wants and removing it")
	f.DurationVar(&o.Drill, "drill-every", o.Drill, "restore each edge's newest backup this often to prove "+
		"it; < 0 = never")
	f.DurationVar(&o.Check, "check-every", o.Check, "read a hundredth of all chunks again this often; < 0 = "+
		"never")
	f.DurationVar(&o.Heartbeat, "heartbeat", 0, "ask edges for a sign of life this often; 0 = never, their "+
		"requests are signs enough")
	f.Uint64Var(&o.MinFree, "min-free", o.MinFree, "MiB of free disk below which nothing is taken in")
	f.BoolVar(&o.WithoutKey, "without-ca-key", false, "run without the CA's key: nobody can join, nothing is "+
		"renewed")
}
