package edgecmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"metronome/system/edge"
)

// Options are the command's flags.
type Options struct {
	Name   string // of this edge
	Data   string // directory
	Listen string // host:port of the REST interface
	Admin  string // host:port of metrics, health and profiles; "" = none
	Cert   string // PEM: certificate, and key unless Key is given
	Key    string // PEM: key
	CA     string // PEM: who signs clients' certificates; "" = clients show none
	Users  string // credential file; "" = anybody, on a loopback only
	Store  string // local

	Plain       bool // plain HTTP, on a loopback only
	Profile     bool // Go profiles on the admin address
	BackedUp    bool // a master takes backups
	Conditional []string
	MinFree     uint64 // MiB

	Limits edge.Limits
	Log    *slog.Logger
}

// Defaults are the options of an edge that is told nothing.
func Defaults() Options {
	name, err := os.Hostname()
	if err != nil {
		name = "edge"
	}
	return Options{Name: name, Data: "edge-data", Listen: ":7443", Admin: "127.0.0.1:7444", Users: "users.yaml",
		Store: "local", MinFree: 256}
}

func (o *Options) check() error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Store != "local":
		return fmt.Errorf("--store=%s is not built: use --store=local", o.Store)
	case o.Plain && o.Cert != "":
		return errors.New("--plain-loopback and --tls-cert exclude each other")
	case o.Plain && !loopback(o.Listen):
		return fmt.Errorf("plain HTTP is for a loopback: --listen %s is not one; use --tls-cert, or listen on "+
			"127.0.0.1",
			o.Listen)
	case !o.Plain && o.Cert == "":
		return errors.New("no certificate: give --tls-cert (metronome pki leaf makes one), or --plain-loopback " +
			"to try")
	case o.Users == "" && !o.Plain:
		return errors.New("--users is empty: anybody may do anything, which is for --plain-loopback only")
	case o.Key != "" && o.CA != "":
		return errors.New("--ca needs the identity file of metronome pki leaf as --tls-cert, without --tls-key")
	}
	return nil
}

// loopback reports whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
