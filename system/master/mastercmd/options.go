package mastercmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"metronome/system/access/pki"
	"metronome/system/master"
	"metronome/system/master/keep"
)

// Options are the flags of metronome master serve.
type Options struct {
	Dir    string // as Init made it
	Listen string // host:port for edges
	Page   string // host:port of the page for people; "" = none
	Admin  string // host:port of metrics and health; "" = none
	Users  string // credential file for the page; "" = anybody on a loopback, with Plain
	Plain  bool   // the page without TLS, on a loopback only

	Place      Place
	Policy     keep.Policy
	Grace      time.Duration
	Drill      time.Duration // 0 = the default, < 0 = never
	Check      time.Duration
	Heartbeat  time.Duration // 0 = never
	MinFree    uint64        // MiB
	WithoutKey bool          // start without the CA's key: nobody is admitted, nothing is renewed
	RenewEvery time.Duration // between attempts to renew the master's own certificate; 0 = an hour

	Log *slog.Logger
}

// Defaults are the options of a master that is told nothing.
func Defaults() Options {
	return Options{Dir: "master", Listen: ":7600", Page: "127.0.0.1:7601", Admin: "127.0.0.1:7602",
		Policy: keep.Default(), Grace: 24 * time.Hour, Drill: 7 * 24 * time.Hour, Check: 24 * time.Hour,
		MinFree: 1024}
}

func (o *Options) check() error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Page == "":
	case o.Users == "" && !o.Plain:
		return errors.New("the page needs --users FILE (see metronome user), or --plain-loopback to show it to " +
			"everybody on this machine, or --page '' for none")
	case o.Plain && !loopback(o.Page):
		return fmt.Errorf("plain HTTP is for a loopback: --page %s is not one; use --users, which makes it HTTPS",
			o.Page)
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

// config opens what a master stands on.
func (o *Options) config() (cfg master.Config, err error) {
	l := layout(o.Dir)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	cfg = master.Config{Dir: o.Dir, Policy: o.Policy, Grace: o.Grace, DrillEvery: o.Drill, CheckEvery: o.Check,
		Heartbeat: o.Heartbeat, MinFree: o.MinFree << 20, Log: o.Log}
	if !o.WithoutKey {
		if cfg.Authority, err = l.authority(); err != nil {
			return cfg, err
		}
	}
	cfg.Keeper, err = pki.Open(pki.Files{Identity: l.identity(), CA: l.caFile()}, nil)
	if err != nil {
		return cfg, err
	}
	place, err := l.place(o.Place)
	if err != nil {
		return cfg, err
	}
	o.Place, cfg.Where = place, place.Where
	cfg.Place, err = place.open()
	return cfg, err
}
