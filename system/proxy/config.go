package proxy

import (
	"fmt"

	"metronome/system/lane"
	"metronome/system/wire"
)

// Config is what a proxy is told at its start.
type Config struct {
	Cluster uint32 // tag of the cluster, in every frame
	Number  uint32 // the proxy's number in the cluster file
	Nonce   uint64 // names this instance (R19); random
	Seed    uint64
	Seats   int // seats there may be
	Lanes   int // lanes to open

	ReadLanes int // over how many replicas reads at a barrier are spread; 0 = Seats

	Digest *wire.Digester
	Sender lane.SenderConfig // bounds of each lane; its name is filled in here
	Repair lane.RepairConfig
	Pace   lane.PaceConfig
	// Pending bounds the items of a lane that are not answered; a power of two. At the bound clients
	// are told to come back (wire.StatusBusy).
	Pending int

	FlushDelay int64 // ns that a frame waits to be filled while others are under way
	HedgeDelay int64 // ns after which another replica is asked for answers that one owes; at least
	Deadline   int64 // ns after which a client is told that its outcome is unknown
	Stall      int64 // ns without a commit after which nothing more is taken: no majority is in reach
	OpenRetry  int64 // ns between requests for lanes

	// Taken, if set, is told where an operation was put, each time: a read that is asked again is put
	// anew.
	Taken func(token uint64, incarnation uint32, lane uint16, number uint64)
	// Complete is called once for each accepted operation. Result.Value is valid during the call.
	Complete func(token uint64, r *wire.Result)
}

// Defaults fills in what was left zero.
func (c *Config) Defaults() {
	const ms = 1_000_000
	for _, d := range []struct {
		p *int64
		v int64
	}{{&c.FlushDelay, ms / 10}, {&c.HedgeDelay, 4 * ms}, {&c.Deadline, 10_000 * ms},
		{&c.Stall, 2_000 * ms}, {&c.OpenRetry, 50 * ms}} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	if c.Lanes == 0 {
		c.Lanes = 1
	}
	if c.ReadLanes == 0 {
		c.ReadLanes = c.Seats
	}
	if c.Pending == 0 {
		c.Pending = 1 << 18
	}
	if c.Sender.Window == 0 {
		c.Sender.Window, c.Sender.Arena = 1<<14, 1<<24
	}
	if c.Sender.FrameBytes == 0 {
		c.Sender.FrameBytes = wire.MaxFrame
	}
}

func (c *Config) check() error {
	switch {
	case c.Seats < 1 || c.Seats > wire.MaxSeats:
		return fmt.Errorf("proxy: %d replicas: use 1 to %d", c.Seats, wire.MaxSeats)
	case c.ReadLanes < 1 || c.ReadLanes > wire.MaxSeats:
		return fmt.Errorf("proxy: %d lanes of reads: use 1 to %d", c.ReadLanes, wire.MaxSeats)
	case c.Lanes < 1 || c.Lanes > lane.MaxLanes:
		return fmt.Errorf("proxy: %d lanes: use 1 to %d", c.Lanes, lane.MaxLanes)
	case c.Nonce == 0:
		return fmt.Errorf("proxy: no nonce")
	case c.Pending < 1 || c.Pending&(c.Pending-1) != 0:
		return fmt.Errorf("proxy: %d pending items a lane: use a power of two", c.Pending)
	case c.Complete == nil:
		return fmt.Errorf("proxy: nobody to tell how operations end")
	}
	return nil
}
