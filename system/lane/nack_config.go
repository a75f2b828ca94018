package lane

import "fmt"

// NackConfig says when a lane asks for the frames it misses. Times are in nanoseconds; zero stands
// for the default.
type NackConfig struct {
	Enabled bool
	Seed    uint64 // of the jitter: each replica's own
	Guess   int64  // round trip assumed before one is measured; 1 ms
	Floor   int64  // shortest reorder guard, and shortest time between two requests of a lane; 50 µs
	Cap     int64  // longest time between two requests for a frame, if no round trip is longer; 100 ms
	// Patience is how often the sender is asked for a frame before a peer is; 5.
	Patience int
	// Rate and Burst bound the requests a second of all lanes together; 5000 and 64.
	Rate, Burst int64
}

func (c NackConfig) check() error {
	if c.Guess < 0 || c.Floor < 0 || c.Cap < 0 || c.Patience < 0 || c.Patience > maxAsks || c.Rate < 0 ||
		c.Burst < 0 {
		return fmt.Errorf("lane asks for repairs by %+v: no figure may be negative, patience at most %d",
			c, maxAsks)
	}
	return nil
}

func (c NackConfig) withDefaults() NackConfig {
	orElse := func(v *int64, otherwise int64) {
		if *v == 0 {
			*v = otherwise
		}
	}
	orElse(&c.Guess, 1e6)
	orElse(&c.Floor, 50e3)
	orElse(&c.Cap, 100e6)
	orElse(&c.Rate, 5000)
	orElse(&c.Burst, 64)
	if c.Patience == 0 {
		c.Patience = 5
	}
	return c
}

// Target is who is asked for missing frames: a replica's seat, from 0, or one of the two below.
type Target int8

// The targets that are no seats.
const (
	Nobody Target = -2 // nothing is due
	Origin Target = -1 // the lane's sender
)

// NackCounters tell how a lane was repaired.
type NackCounters struct {
	Requests   uint64 // requests made
	Asked      uint64 // frames asked for in them
	Again      uint64 // of these, not for the first time
	PeerAsked  uint64 // of these, from a replica rather than from the sender
	Answered   uint64 // repairs of frames that were asked for
	Overheard  uint64 // repairs of frames that were missed and not asked for yet: others had asked
	Reordered  uint64 // frames that came by themselves, late
	Needless   uint64 // of these, asked for already
	Deferred   uint64 // requests put off by the budget
	Unclear    uint64 // repairs that came after several requests, so that they measure no round trip
	NoRoom     uint64 // times that frames were not asked for as the arena could not hold them
	GoneAnswer uint64 // answers that frames are kept no longer
}
