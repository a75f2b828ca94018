package access

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Config is what a Guard needs to know. Only File has no default.
type Config struct {
	File  string        // the credential file
	Realm string        // shown when a browser asks for a password; "metronome"
	Every time.Duration // between looks at the file; a second

	// PlainLoopback admits credentials over plain HTTP from this machine, for development.
	PlainLoopback bool
	// KeepHashes leaves hashes of a lower cost than the file's as they are. Otherwise a log-in renews them.
	KeepHashes bool
	// Certificate is whose user a connection's client certificate names; false: nobody's. It must have been
	// verified. Nil: certificates are not looked at.
	Certificate func(*tls.ConnectionState) (user string, ok bool)
	// Answer renders a refusal; nil: [Answer].
	Answer func(http.ResponseWriter, *http.Request, *Refusal)
	// Log takes what an audit needs; nil: slog.Default.
	Log *slog.Logger

	Cache  CacheConfig
	Gate   GateConfig
	Limits LimitConfig

	now     func() time.Time                  // tests turn it
	compare func(hash, password []byte) error // tests count it
	hash    func(string, int) (string, error) // tests count it
}

// CacheConfig bounds the memory of credentials that were right.
type CacheConfig struct {
	Size int           // 4096 of them
	Life time.Duration // after the last use; five minutes, as Apache's
}

// GateConfig bounds what passwords may cost. One hash of cost 10 keeps a core busy for 64 ms, so 31 wrong
// passwords a second would stop two cores.
type GateConfig struct {
	Width int           // hashes at a time; half the cores
	Queue int           // that may wait; twice the width
	Wait  time.Duration // for how long; a second
}

// LimitConfig bounds failures. Successes count nowhere.
type LimitConfig struct {
	AddressBurst int           // failures of one address; 20
	AddressEvery time.Duration // then one in this time; 200 ms
	UserBurst    int           // failures of one user, over all addresses that are new to them; 10
	UserEvery    time.Duration // then one in this time; 6 s
	Size         int           // addresses, and users, that are remembered; 4096
}

func (c *Config) fill() error {
	if c.File == "" {
		return errors.New("access: no credential file is named")
	}
	orText(&c.Realm, "metronome")
	if strings.ContainsFunc(c.Realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return errors.New("access: a realm is printable ASCII without quotes")
	}
	orTime(&c.Every, time.Second)
	orTime(&c.Cache.Life, 5*time.Minute)
	orCount(&c.Cache.Size, 4096)
	orCount(&c.Gate.Width, max(1, runtime.GOMAXPROCS(0)/2))
	orCount(&c.Gate.Queue, 2*c.Gate.Width)
	orTime(&c.Gate.Wait, time.Second)
	orCount(&c.Limits.AddressBurst, 20)
	orTime(&c.Limits.AddressEvery, 200*time.Millisecond)
	orCount(&c.Limits.UserBurst, 10)
	orTime(&c.Limits.UserEvery, 6*time.Second)
	orCount(&c.Limits.Size, 4096)
	c.fillFuncs()
	return nil
}

func (c *Config) fillFuncs() {
	if c.Answer == nil {
		c.Answer = Answer
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.compare == nil {
		c.compare = bcrypt.CompareHashAndPassword
	}
	if c.hash == nil {
		c.hash = Hash
	}
}

func orText(s *string, or string) {
	if *s == "" {
		*s = or
	}
}

func orCount(n *int, or int) {
	if *n <= 0 {
		*n = or
	}
}

func orTime(d *time.Duration, or time.Duration) {
	if *d <= 0 {
		*d = or
	}
}
