package store

import (
	"errors"
	"fmt"
	"math/bits"
)

// Config bounds a store. All fields but Parts are replicated state (R23): they decide answers, so
// every replica of a cluster must use the same, and [Restore] refuses a snapshot made under others.
// Zero fields take the defaults.
type Config struct {
	Slots          int    // hash slots, a power of two up to 1<<16; default 4096
	Seed           uint64 // of the keys' hashes: a secret one keeps strangers from filling one slot
	MaxSessions    int    // open sessions; one more ends the least recently used; default 10,000
	SessionWindow  int    // numbers above its low mark a session may use; default 1024
	MaxResultBytes int    // of the values of one session's stored results; default 64 KiB
	SessionTTL     uint64 // ticks of log time a session may idle; 0 = it never expires
	MaxReplyBytes  int    // of the value that answers one multi or scan; default 4 MiB

	// Parts is how many cores may execute at once, 1 to 64; default 1. It is local: it changes no
	// answer, hash or snapshot.
	Parts int
}

const (
	maxSlots   = 1 << 16
	maxParts   = 64
	maxWindow  = 1 << 16
	maxReply   = 1 << 30
	maxSession = 1 << 24
)

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.Slots, 4096)
	set(&c.Parts, 1)
	set(&c.MaxSessions, 10_000)
	set(&c.SessionWindow, 1024)
	set(&c.MaxResultBytes, 64<<10)
	set(&c.MaxReplyBytes, 4<<20)
	return c
}

func (c Config) check() error {
	if c.Slots < 1 || bits.OnesCount(uint(c.Slots)) != 1 {
		return fmt.Errorf("store: %d slots: use a power of two", c.Slots)
	}
	var errs []error
	for _, f := range []struct {
		name    string
		v, high int
	}{
		{"Slots", c.Slots, maxSlots}, {"Parts", c.Parts, maxParts},
		{"MaxSessions", c.MaxSessions, maxSession}, {"SessionWindow", c.SessionWindow, maxWindow},
		{"MaxResultBytes", c.MaxResultBytes, maxReply}, {"MaxReplyBytes", c.MaxReplyBytes, maxReply},
	} {
		if f.v < 1 || f.v > f.high {
			errs = append(errs, fmt.Errorf("store: %s = %d: use 1 to %d", f.name, f.v, f.high))
		}
	}
	if c.Parts > c.Slots {
		errs = append(errs, fmt.Errorf("store: %d parts of %d slots: use at most a part a slot", c.Parts, c.Slots))
	}
	return errors.Join(errs...)
}
