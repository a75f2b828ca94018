// Package devicecmd is the command line of a device's data store: metronome device put, get,
// delete, import, status, flush, dead-letters, adopt. Each command opens the store, does one thing,
// prints JSON (get: the value) and closes it. A program that writes often should use package device
// instead, and keep it open: opening reads the whole queue.
package devicecmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/device"
	"metronome/system/device/queue"
)

// passwordEnv holds the password if no file does. It is never taken from the command line, which
// others can read.
const passwordEnv = "METRONOME_DEVICE_PASSWORD"

// options are what every command takes.
type options struct {
	config       device.Config
	passwordFile string
	ca           string
	timeout      time.Duration
}

// Command is `metronome device` with all below it.
func Command() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "device",
		Short: "A device's durable store: what it holds reaches the edge exactly once",
		Long: `A device's durable store. Operations go to a queue on this disk first and to an edge when it can be
reached, exactly once, in order, however often anything crashes in between.

A directory is open in one process at a time. The password comes from --password-file or the environment's
` + passwordEnv + `.`,
		Example: `  metronome device put --dir lamp home/lamp/power 12.5
  metronome device flush --dir lamp --client lamp --password-file lamp.secret --edge https://edge:7443
  metronome device status --dir lamp | jq .pending`,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&o.config.Dir, "dir", "", "the store's directory (required)")
	f.StringArrayVar(&o.config.Edges, "edge", nil, "an edge's address, https://host:port; several, home first")
	f.StringVar(&o.config.Client, "client", "", "the name that the edge knows this device by")
	f.StringVar(&o.passwordFile, "password-file", "", "a file with the password, readable by its owner only")
	f.StringVar(&o.ca, "ca", "", "a file with the CA of the edges' certificates (default: the system's)")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait for an edge")
	f.Int64Var(&o.config.MaxBytes, "max-bytes", 0, "bound of what waits for the edge (default 1 GiB)")
	f.StringArrayVar(&o.config.Rules.History, "history", nil, "a prefix of which every operation is sent")
	f.StringArrayVar(&o.config.Rules.LatestOnly, "latest-only", nil, "a prefix of which only the newest counts")
	f.StringArrayVar(&o.config.Rules.DropOldest, "drop-oldest", nil, "a prefix whose oldest give way when full")
	_ = cmd.MarkPersistentFlagRequired("dir")
	cmd.AddCommand(o.put(), o.delete(), o.get(), o.load(), o.status(), o.flush(), o.deadLetters(), o.adopt())
	return cmd
}

// with opens the store for one command. Without network it only gathers.
func (o *options) with(cmd *cobra.Command, network bool,
	do func(context.Context, *device.Device) error,
) error {
	c, err := o.resolve(network)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := device.Open(c)
	if err != nil {
		return err
	}
	if found := d.Status().Found; found.Damaged || found.Anew || found.Unknown > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the store was damaged: queue: %s; dead letters: %s; "+
			"%d records of an unknown kind; identity lost: %v\n", found.Queue, found.Dead, found.Unknown, found.Anew)
	}
	return errors.Join(do(ctx, d), d.Close())
}

// resolve reads the files that the flags name.
func (o *options) resolve(network bool) (device.Config, error) {
	c := o.config
	if !network {
		c.Edges = nil
		return c, nil
	}
	if len(c.Edges) == 0 {
		return c, errors.New("no edge to talk to: give --edge https://host:port")
	}
	c.Password = os.Getenv(passwordEnv)
	if o.passwordFile != "" {
		secret, err := readSecret(o.passwordFile)
		if err != nil {
			return c, err
		}
		c.Password = secret
	}
	transport, err := o.transport()
	c.HTTP = &http.Client{Transport: transport}
	return c, err
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %o). Next: chmod 600 %s", path,
			info.Mode().Perm(), path)
	}
	b, err := os.ReadFile(path)
	return strings.TrimRight(string(b), "\r\n"), err
}

func (o *options) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", o.ca)
	}
	return t, nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// markFlag adds --mark.
func markFlag(cmd *cobra.Command, mark *string, standard queue.Mark) {
	cmd.Flags().StringVar(mark, "mark", standard.String(), "wait for local, edge, backed_up or quorum")
}
