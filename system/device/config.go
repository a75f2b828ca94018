package device

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"metronome/system/device/queue"
	"metronome/system/disk"
)

// Config says where the store lies, which edges it writes to and how. The zero value of every field
// but Dir is good. A bad Config is refused before anything on the disk is touched.
type Config struct {
	// Dir is the store's directory. One process has it open at a time.
	Dir string
	// Client and Password are what the edge knows this device by. A store belongs to one client.
	Client, Password string
	// Edges are the addresses of edges, as https://host:port; the first is home. None: the store only
	// gathers.
	Edges []string
	// HTTP sends the requests; its transport holds the CA. nil: http.DefaultTransport's settings.
	HTTP *http.Client

	// BatchOps, BatchBytes and Linger cut requests, whichever is reached first: 256, 1 MiB, 50 ms.
	BatchOps   int
	BatchBytes int
	Linger     time.Duration
	// Timeout is how long an edge may take to answer a request: 30 s. A read waits ReadTimeout: 2 s.
	Timeout, ReadTimeout time.Duration
	// RetryLeast and RetryMost bound the random waits between tries: 0.5 s, 60 s.
	RetryLeast, RetryMost time.Duration

	// MaxBytes bounds what is not yet at the edge: 1 GiB. At the bound [ErrFull], unless Rules let
	// something give way.
	MaxBytes int64
	// FreeFloor is what must stay free on the file system: 64 MiB. Below it: [ErrFull].
	FreeFloor int64
	// KeepBytes is how much is kept that is at the edge but in no backup yet, to repair a restored
	// edge: a quarter of MaxBytes. It gives way to what is not at the edge.
	KeepBytes int64
	// DeadBytes bounds the dead letters: an eighth of MaxBytes. At the bound nothing is sent any more.
	DeadBytes int64
	// SeenBytes bounds the cache of values last seen at the edge: 1 MiB.
	SeenBytes int
	// Rules say what may be skipped or dropped, by prefix of the key.
	Rules queue.Rules

	// FS is where the directory lies; nil is the operating system's. For tests.
	FS disk.FS
	// Place tells one copy of the directory from another; nil asks the file system. For tests.
	Place func() string
	// SegmentBytes is what the queue's journal allocates and frees at once: 4 MiB.
	SegmentBytes int64
}

// ErrConfig is wrapped by what is wrong with a Config. Nothing was opened.
var ErrConfig = errors.New("device: configuration")

func (c Config) withDefaults() (Config, error) {
	orInt(&c.BatchOps, 256)
	orInt(&c.BatchBytes, 1<<20)
	or(&c.Linger, 50*time.Millisecond)
	or(&c.Timeout, 30*time.Second)
	or(&c.ReadTimeout, 2*time.Second)
	or(&c.RetryLeast, 500*time.Millisecond)
	or(&c.RetryMost, time.Minute)
	or(&c.MaxBytes, 1<<30)
	or(&c.FreeFloor, 64<<20)
	or(&c.KeepBytes, c.MaxBytes/4)
	or(&c.DeadBytes, c.MaxBytes/8)
	orInt(&c.SeenBytes, 1<<20)
	or(&c.SegmentBytes, 4<<20)
	if c.FS == nil {
		c.FS = disk.OS()
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	return c, c.check()
}

func orInt(v *int, standard int) { or(v, standard) }

func or[T int | int64 | time.Duration](v *T, standard T) {
	if *v == 0 {
		*v = standard
	}
}

func (c *Config) check() error {
	var errs []error
	say := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	say(c.Dir == "", "Dir is empty: name the store's directory")
	say(c.BatchOps < 1 || c.BatchOps > 1024, "BatchOps is %d: use 1 to 1024", c.BatchOps)
	say(c.BatchBytes < 1 || c.BatchBytes > 1<<20, "BatchBytes is %d: use 1 to %d", c.BatchBytes, 1<<20)
	say(c.Linger < 0 || c.Timeout < 0 || c.ReadTimeout < 0 || c.RetryLeast < 0, "a time is negative")
	say(c.RetryMost < c.RetryLeast, "RetryMost %v is below RetryLeast %v", c.RetryMost, c.RetryLeast)
	say(c.MaxBytes < 1<<16, "MaxBytes is %d: use at least 65536", c.MaxBytes)
	say(c.FreeFloor < 0 || c.KeepBytes < 0 || c.DeadBytes < 0 || c.SeenBytes < 0, "a size is negative")
	say(len(c.Client) > 255, "Client has %d bytes: use at most 255", len(c.Client))
	say(len(c.Edges) > maxEdges, "%d edges: name at most %d", len(c.Edges), maxEdges)
	for _, e := range c.Edges {
		u, err := url.Parse(e)
		say(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http",
			"edge %q: use https://host:port", e)
		say(err == nil && (u.User != nil || u.RawQuery != ""), "edge %q: no user and no query in an address", e)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w. Nothing was touched", ErrConfig, errors.Join(errs...))
	}
	return nil
}

// maxEdges bounds Config.Edges.
const maxEdges = 16

func (c *Config) core(seed uint64) queue.Config {
	return queue.Config{
		Ops: c.BatchOps, Bytes: c.BatchBytes, Linger: int64(c.Linger),
		RetryLeast: int64(c.RetryLeast), RetryMost: int64(c.RetryMost),
		Probe: int64(30 * time.Second), ProbeAwaited: int64(time.Second),
		Keep: uint64(c.KeepBytes), Limit: uint64(c.MaxBytes), Rules: c.Rules, Seed: seed,
	}
}
