package replica

import (
	"fmt"

	"metronome/system/lane"
	"metronome/system/store"
	"metronome/system/wire"
)

// Config is what a replica is told at its start. Everything that could change a result is not here
// but in the replicated state (R23).
type Config struct {
	Cluster uint32 // tag of the cluster, in every frame
	Seat    int    // place in the cluster file, 0 to wire.MaxSeats-1
	Seats   int    // replicas in the cluster file
	Nonce   uint64 // names this life of the state until it has an id (R1); random, never reused
	Seed    uint64 // of the jitter of repair requests

	Digest *wire.Digester // not shared with another goroutine
	Lane   lane.Config    // bounds of every lane
	// MaxItem is the largest value that a lane must hold, with the longest key (R6); 0 =
	// wire.MaxValue. Proxies send nothing larger.
	MaxItem int
	Store   store.Config

	// Consensus is the algorithm that orders cuts, of package order/orderers; empty = raft. It is the
	// same for all replicas and for the life of a cluster.
	Consensus string
	// AcceptQuorum is how many voters have to accept a cut, for an algorithm with flexible quorums; 0 =
	// a majority.
	AcceptQuorum int

	Tick           int64 // ns of the orderer's tick
	ElectionTicks  int
	HeartbeatTicks int
	RoundInterval  int64 // ns between rounds under load (R10); a round begins at once when idle
	ForceInterval  bool  // keep to RoundInterval even when idle: an experiment's knob
	GapAge         int64 // ns after which a gap counts as aged: its lane holds up no other (R9)
	Silence        int64 // ns without a frame or heartbeat after which a proxy's lanes are closed (R19)
	ReportInterval int64 // ns between a follower's reports to a proxy; the leader reports every round
	RetainBytes    int   // bound on the frames of all lanes kept for peers; 0 = the lanes' own bounds
	StoreBytes     int   // bound on keys, values and what they need; 0 = none
	ReadBytes      int   // bytes of answers of one barrier to a proxy, the largest result more; 0 = 4 MiB
	ResultBytes    int   // bytes of results a lane keeps until its proxy has them

	// Feature is the highest feature level this replica follows; 0 = the build's. A lower one makes it
	// behave as the version before (R23).
	Feature uint32

	// Durable makes a replica ask for what must not be forgotten to be written down (node.Output), and
	// wait for it. Without, it lives as long as its process (R1).
	Durable bool
	// JournalBytes is how much journal there may be: see JournalTakes. Snapshots are saved in time, so that
	// what they cover can be trimmed.
	JournalBytes int
	// EachFrame makes every frame a record of its own: an experiment's knob.
	EachFrame bool
	// TransferRate bounds the bytes a second of snapshots sent to followers while there is other work;
	// 0 = no bound.
	TransferRate int64
	ChunkBytes   int // of a snapshot in one message; 0 = 256 KiB. What is captured a step goes by it

	Observer Observer // nil outside simulations and tests
}

// Observer sees what a replica does, for checking. Arguments are borrowed.
type Observer interface {
	// Commit is called for every position of the agreed sequence, in order.
	Commit(seat int, position uint64, decision []byte)
	// Batch is called for every batch of items, in order, before it is applied.
	Batch(seat int, position uint64, b *store.Batch)
}

// Defaults fills in what was left zero.
func (c *Config) Defaults() {
	const ms = 1_000_000
	set := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	set(&c.Tick, 15*ms)
	set(&c.RoundInterval, ms)
	set(&c.GapAge, 5*ms)
	set(&c.Silence, 10_000*ms)
	set(&c.ReportInterval, 5*ms)
	if c.ElectionTicks == 0 {
		c.ElectionTicks = 12
	}
	if c.HeartbeatTicks == 0 {
		c.HeartbeatTicks = 2
	}
	if c.MaxItem == 0 {
		c.MaxItem = wire.MaxValue
	}
	if c.Feature == 0 {
		c.Feature = Feature
	}
	if c.JournalBytes == 0 {
		c.JournalBytes = 512 << 20
	}
	if c.ResultBytes == 0 {
		c.ResultBytes = 16 << 20
	}
	if c.ReadBytes == 0 {
		c.ReadBytes = 4 << 20
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = chunkBytes
	}
	if c.Lane.Window == 0 {
		c.Lane = lane.Config{Window: 1 << 15, Arena: 1 << 25}
	}
}

func (c *Config) check() error {
	switch {
	case c.Seat < 0 || c.Seats > wire.MaxSeats || c.Seat >= c.Seats:
		return fmt.Errorf("replica: seat %d of %d: use 0 to seats-1, at most %d seats", c.Seat, c.Seats,
			wire.MaxSeats)
	case c.Lane.GiveUp != 0:
		return fmt.Errorf("replica: a lane that gives up gaps loses acknowledged data")
	}
	if err := c.Lane.Holds(wire.MaxKey, c.MaxItem, wire.MaxFrame-c.Digest.Mode().Overhead()); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	return nil
}

// LifeID makes the id of a life on a seat: what the orderer knows a replica by (R1).
func LifeID(seat int, life uint32) uint64 { return uint64(life)<<8 | uint64(seat) }

// SeatOf is the seat of a life's id.
func SeatOf(id uint64) int { return int(id & 0xff) }
