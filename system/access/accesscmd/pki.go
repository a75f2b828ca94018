package accesscmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
)

// The CA's files in a folder of certificates.
const (
	caName    = "ca.crt"
	caKeyName = "ca.key"
)

// CA is the command metronome pki ca.
func CA() *cobra.Command {
	var dir, home string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make the CA of a home: ca.crt for everybody, ca.key for nobody",
		Long: `Make the CA of a home, good for ten years. ca.crt goes to every edge, master and device; ca.key
belongs to the master, which renews certificates with it, or into a safe. Nothing that exists is
overwritten.`,
		Example: `  metronome pki ca --dir pki --home home`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			written, err := makeCA(dir, home)
			for _, f := range written {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "pki", "the folder of certificates")
	cmd.Flags().StringVar(&home, "home", "home", "the installation's name, part of every identity")
	return cmd
}

func makeCA(dir, home string) (written []string, err error) {
	certPath, keyPath := filepath.Join(dir, caName), filepath.Join(dir, caKeyName)
	unlock, err := secretfile.Lock(certPath)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, path := range []string{certPath, keyPath} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s exists: use it, or name another folder", path)
		}
	}
	ca, err := pki.NewAuthority(home, time.Now())
	if err != nil {
		return nil, err
	}
	key, err := ca.KeyPEM()
	if err != nil {
		return nil, err
	}
	// The key first: with it alone the next run says what is there, without it nothing can be issued.
	err = errors.Join(secretfile.Write(keyPath, key), secretfile.Write(certPath, ca.CertPEM()))
	return []string{keyPath, certPath}, err
}

// Leaf is the command metronome pki leaf.
func Leaf() *cobra.Command {
	var dir, out string
	var l pki.Leaf
	cmd := &cobra.Command{
		Use:   "leaf ROLE/ID",
		Short: "Issue a certificate to an edge, a master or a device",
		Long: `Issue a certificate, good for 90 days unless --life says otherwise. The file holds key and
certificate together. What exists is replaced: a running server takes it up within a second. Edges that
joined by a token renew by themselves.`,
		Example: `  metronome pki leaf edge/hallway --dir pki --host hallway.local --host 192.168.1.20
  metronome pki leaf master/main --dir pki --host master.example.org
  metronome pki leaf device/sensor-7 --dir pki --life 8760h`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if l.Name.Role, l.Name.ID, err = pki.ParseRole(args[0]); err != nil {
				return err
			}
			path, err := issueLeaf(dir, out, l)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "pki", "the folder with ca.crt and ca.key")
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file to write (default DIR/ROLE-ID.pem)")
	cmd.Flags().StringArrayVar(&l.Hosts, "host", nil, "host name or IP address it serves under, repeatable")
	cmd.Flags().DurationVar(&l.Life, "life", pki.LeafLife, "how long it is good for")
	return cmd
}

func issueLeaf(dir, out string, l pki.Leaf) (path string, err error) {
	ca, err := pki.LoadAuthority(filepath.Join(dir, caName), filepath.Join(dir, caKeyName))
	if err != nil {
		return "", err
	}
	identity, err := ca.Issue(l, time.Now())
	if err != nil {
		return "", err
	}
	if out == "" {
		out = filepath.Join(dir, fmt.Sprintf("%s-%s.pem", l.Name.Role, l.Name.ID))
	}
	return out, secretfile.Write(out, identity)
}

// Show is the command metronome pki show.
func Show() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Whose certificates these are, and how long they are good for",
		Example: `  metronome pki show pki/*.pem pki/ca.crt
  metronome pki show --json pki/edge-hallway.pem | jq .[0].days_left`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []pki.Info
			for _, path := range args {
				list, err := pki.Describe(path, time.Now())
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			printInfo(cmd, all)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printInfo(cmd *cobra.Command, all []pki.Info) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tIDENTITY\tSTATE\tDAYS LEFT\tRENEW\tEND\tHOSTS\tSHA-256")
	for _, i := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\t%s\t%v\t%s\n", i.File, i.Identity, i.State, i.DaysLeft,
			i.RenewAt.Format(time.DateOnly), i.NotAfter.Format(time.DateOnly), i.Hosts, i.Fingerprint[:16])
	}
	_ = w.Flush()
}
