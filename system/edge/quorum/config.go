package quorum

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says where the copy lies and how to reach the core; a zero field means its default.
type Config struct {
	Dir string // of this edge's copy alone

	// Addresses of proxies, host:port of the Redis protocol; or a Cluster file, whose proxies are used.
	Addresses []string
	Cluster   string
	// Proxy is the number of a proxy of the cluster file that runs within this process, and takes no other
	// clients; 0 = none, the file's proxies are processes of their own. No two processes may run the same.
	Proxy          uint32
	User, Password string
	TLS            *tls.Config // to the proxies; nil = none

	Space    string        // what all keys of these edges begin with in the core; default "edge/"
	Poll     time.Duration // how often the head is looked at when nobody asks; default 100 ms
	Patience time.Duration // how long the core may take for anything; default 3 s
	Keep     uint64        // turns kept in the core for edges that are behind; default 256
	Queue    int           // batches that wait; default 1024
	MinFree  uint64        // bytes of free disk below which the copy does not grow; default 256 MiB

	Log *slog.Logger // default: slog.Default
}

// maxSpace bounds Config.Space, so that sessions' keys fit.
const maxSpace = 32

func orDefault[T int | uint64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (c *Config) setDefaults() error {
	if c.Space == "" {
		c.Space = "edge/"
	}
	orDefault(&c.Poll, 100*time.Millisecond)
	orDefault(&c.Patience, 3*time.Second)
	orDefault(&c.Keep, 256)
	orDefault(&c.Queue, 1024)
	orDefault(&c.MinFree, 256<<20)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case c.Dir == "":
		return errors.New("edge/quorum: no directory: set Config.Dir to one that only this edge uses")
	case len(c.Addresses) == 0 && c.Cluster == "":
		return errors.New("edge/quorum: no way to the core: give the cluster file, or addresses of proxies")
	case c.Proxy != 0 && c.Cluster == "":
		return errors.New("edge/quorum: a proxy within the edge needs the cluster file")
	case len(c.Space) > maxSpace:
		return fmt.Errorf("edge/quorum: the space %q has %d bytes: at most %d", c.Space, len(c.Space), maxSpace)
	case c.Keep < 2:
		return errors.New("edge/quorum: at least two turns must be kept")
	}
	return nil
}
