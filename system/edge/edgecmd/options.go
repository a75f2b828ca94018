package edgecmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

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
	Store  string // local or metronome
	Member string // directory of the membership that metronome edge join made; "" = no master

	Cluster string   // file of the cluster, with --store=metronome
	Proxy   uint32   // the number of its proxy that runs within the edge; 0 = none
	Core    []string // or addresses of proxies, host:port

	Plain       bool // plain HTTP, on a loopback only
	Profile     bool // Go profiles on the admin address
	Conditional []string
	MinFree     uint64 // MiB

	ShipEvery   time.Duration // between looks at what is to be shipped; 0 = a second
	ReportEvery time.Duration // to the master; 0 = 10 s
	RenewEvery  time.Duration // between attempts to renew the certificate; 0 = an hour

	Limits edge.Limits
	Log    *slog.Logger
}

// Defaults are the options of an edge that is told nothing.
func Defaults() Options {
	return Options{Data: "edge-data", Listen: ":7443", Admin: "127.0.0.1:7444", Users: "users.yaml",
		Store: storeLocal, MinFree: 256}
}

func (o *Options) check() error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Plain && o.Cert != "":
		return errors.New("--plain-loopback and --tls-cert exclude each other")
	case o.Plain && !loopback(o.Listen):
		return fmt.Errorf("plain HTTP is for a loopback: --listen %s is not one; use --tls-cert, or listen on "+
			"127.0.0.1",
			o.Listen)
	case !o.Plain && o.Cert == "" && o.Member == "":
		return errors.New("no certificate: give --member (metronome edge join makes it) or --tls-cert (metronome " +
			"pki leaf makes one), or --plain-loopback to try")
	case o.Users == "" && !o.Plain:
		return errors.New("--users is empty: anybody may do anything, which is for --plain-loopback only")
	case o.Cert == "" && (o.Key != "" || o.CA != ""):
		return errors.New("--tls-key and --ca go with --tls-cert")
	case o.Key != "" && o.CA != "":
		return errors.New("--ca needs the identity file of metronome pki leaf as --tls-cert, without --tls-key")
	}
	return o.checkStore()
}

// name is what the edge is called: as the master knows it, else as it was told, else as its machine.
func (o *Options) name(m *membership) error {
	switch {
	case m != nil && o.Name != "" && o.Name != m.Edge:
		return fmt.Errorf("--name %s, and %s makes this edge %s: leave --name out", o.Name, o.Member, m.Edge)
	case m != nil:
		o.Name = m.Edge
	case o.Name == "":
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no --name, and the machine has none: %w", err)
		}
		o.Name, _, _ = strings.Cut(host, ".")
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
