package client

import (
	"crypto/tls"
	"errors"
	"time"
)

// Config says how to reach the store; a zero field means its default.
type Config struct {
	Addresses []string // of proxies, "host:port"; at least one. The first that answers is used

	User, Password string      // no password = do not authenticate; no user = "default"
	TLS            *tls.Config // nil = no TLS. ServerName is taken from the address if it is empty

	Window      int // commands outstanding; more wait. Default 1024
	WindowBytes int // and their bytes; default 16 MiB

	// SessionWindow bounds the writes of one session that are outstanding; default 64. The store
	// refuses numbers too far ahead of the oldest one unanswered.
	SessionWindow int

	DialTimeout time.Duration // of one address; default 5 s
	RetryMin    time.Duration // the first pause before trying again, doubled each time; default 5 ms
	RetryMax    time.Duration // the longest; default 500 ms

	// BarrierReads answers reads by a barrier at any replica instead of as items in the order: as
	// linearizable, and they scale with the replicas (R26).
	BarrierReads bool
}

func (c *Config) setDefaults() error {
	if len(c.Addresses) == 0 {
		return errors.New("client: no address of a proxy: set Config.Addresses")
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Window, 1024}, {&c.WindowBytes, 16 << 20}, {&c.SessionWindow, 64}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.DialTimeout, 5 * time.Second},
		{&c.RetryMin, 5 * time.Millisecond},
		{&c.RetryMax, 500 * time.Millisecond},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.User == "" {
		c.User = "default"
	}
	return nil
}
