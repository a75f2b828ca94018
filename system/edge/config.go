package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Limits bound what clients can make a server hold (I6); a zero field means its default.
type Limits struct {
	Connections  int           // at a time; some more are told so, the rest waits. Default 4096
	BodyBytes    int64         // of request bodies being held; default 64 MiB
	HeaderBytes  int           // default 16 KiB
	HeaderTime   time.Duration // for a request's header, TLS handshake included; default 5 s
	BodyTime     time.Duration // for a whole request; default 30 s
	WriteTime    time.Duration // for a reply, or one event of a stream; default 30 s
	IdleTime     time.Duration // of a connection between requests; default 90 s
	Watchers     int           // at a time; default 256
	WatchLife    time.Duration // of a stream, after which rights are looked at anew; default 5 min
	SessionWait  time.Duration // for a revision that a reader has seen; default 5 s
	ShutdownTime time.Duration // for requests in progress; default 10 s
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (l *Limits) setDefaults() {
	orDefault(&l.Connections, 4096)
	orDefault(&l.BodyBytes, 64<<20)
	orDefault(&l.HeaderBytes, 16<<10)
	orDefault(&l.HeaderTime, 5*time.Second)
	orDefault(&l.BodyTime, 30*time.Second)
	orDefault(&l.WriteTime, 30*time.Second)
	orDefault(&l.IdleTime, 90*time.Second)
	orDefault(&l.Watchers, 256)
	orDefault(&l.WatchLife, 5*time.Minute)
	orDefault(&l.SessionWait, 5*time.Second)
	orDefault(&l.ShutdownTime, 10*time.Second)
}

// Config is what a server needs.
type Config struct {
	Name   string // of this edge, on every reply
	Store  Store
	Access Authorizer // who may do what; [Everybody] for a loopback

	// Conditional are prefixes under which a write without If-Match or If-None-Match is refused.
	Conditional []string

	Ready  func() []Reason // more that keeps the edge from being ready: an expired certificate. May be nil
	Limits Limits
	Log    *slog.Logger // default: slog.Default
}

func (c *Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("edge: no store: set Config.Store")
	case c.Access == nil:
		return errors.New("edge: nobody says who may do what: set Config.Access, to edge.Everybody on a loopback")
	case !named(c.Name):
		return fmt.Errorf("edge: the name %q is not 1 to %d letters, digits, - and _", c.Name, MaxSession)
	}
	c.Limits.setDefaults()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}
