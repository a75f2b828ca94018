package edgecmd

import (
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Command is metronome edge.
func Command() *cobra.Command {
	o := Defaults()
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "An edge server: a persistent key-value store for devices, over HTTPS",
		Long: `An edge server: a persistent key-value store for devices, over HTTPS. Values are raw bytes under
/v1/kv/KEY; /openapi.yaml describes everything. A write that is answered is on stable storage.

The credential file and the certificate are taken up within a second when they change, and at SIGHUP; what
cannot be used is reported, and what was there before stays. SIGTERM lets requests in progress end.

With --member the edge ships its backups to the master that it joined, within a second or so, and has its
certificate renewed there. A master that is away, or a backup that fails, never stops the edge.`,
		Example: `  # once: a certificate and backups by a master's token, and a user
  metronome edge join --master https://master:7600 --member member < token
  metronome user add lamp --allow 'home/=read,write,delete' --generate

  # run, then use it
  metronome edge --member member --data /var/lib/metronome/edge --users users.yaml
  curl --cacert member/ca.crt -u lamp -T reading.bin https://hall:7443/v1/kv/home/lamp/power
  curl --cacert member/ca.crt -u lamp https://hall:7443/v1/kv/home/lamp/power
  curl --cacert member/ca.crt -u lamp 'https://hall:7443/v1/kv?prefix=home/&encoding=utf8'

  # without a master: certificates of your own (metronome pki leaf)
  metronome edge --name hall --tls-cert hall.pem --ca ca.crt --users users.yaml

  # several edges share one cluster's data; each runs a proxy of its own
  metronome edge --member member --users users.yaml --store metronome --cluster cluster.yaml --proxy 2

  # try it on this machine, without certificates or users
  metronome edge --plain-loopback --listen 127.0.0.1:7443 --users ''
  curl -X PUT --data-binary on http://127.0.0.1:7443/v1/kv/home/lamp`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			e, err := Start(ctx, o)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "edge %s: %s\n", e.Name(), e.URL)
			if e.AdminURL != "" {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "operators: %s\n", e.AdminURL)
			}
			if e.member != nil {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "backups: %s\n", e.member.Master)
			}
			return e.Wait()
		},
	}
	o.flags(cmd)
	cmd.AddCommand(joinCommand())
	return cmd
}

func (o *Options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "this edge's name, on every reply (default the member's, or the machine's)")
	f.StringVar(&o.Member, "member", "", "directory that metronome edge join made: certificate, and backups to "+
		"the master")
	f.StringVar(&o.Data, "data", o.Data, "directory of the data; made if absent")
	f.StringVar(&o.Listen, "listen", o.Listen, "address of the REST interface")
	f.StringVar(&o.Admin, "admin", o.Admin, "address of /metrics, /livez, /readyz; empty = none. It knows no "+
		"passwords")
	f.BoolVar(&o.Profile, "pprof", false, "serve Go profiles on the admin address")
	f.StringVar(&o.Cert, "tls-cert", "", "PEM file with certificate and key, as metronome pki leaf writes it "+
		"(default the member's)")
	f.StringVar(&o.Key, "tls-key", "", "PEM file with the key, if it is not in --tls-cert")
	f.StringVar(&o.CA, "ca", "", "PEM file of CAs; devices may then show certificates instead of passwords")
	f.StringVar(&o.Users, "users", o.Users, "credential file, see metronome user; empty = anybody, with "+
		"--plain-loopback")
	f.StringVar(&o.Store, "store", o.Store, "where data lies: local, an embedded store in --data; or "+
		"metronome, the replicated core, shared by edges")
	f.StringVar(&o.Cluster, "cluster", "", "with --store=metronome: the cluster file")
	f.Uint32Var(&o.Proxy, "proxy", 0, "with --cluster: the number of a proxy of it that runs in this process")
	f.StringSliceVar(&o.Core, "core", nil, "with --store=metronome, instead of --cluster: addresses of proxies")
	f.BoolVar(&o.Plain, "plain-loopback", false, "plain HTTP; refused unless --listen is a loopback address")
	f.StringSliceVar(&o.Conditional, "require-conditions", nil,
		"prefixes under which writes need If-Match or If-None-Match")
	f.Uint64Var(&o.MinFree, "min-free", o.MinFree, "MiB of free disk below which writes are refused")
	f.IntVar(&o.Limits.Connections, "max-connections", 4096, "connections at a time")
}
