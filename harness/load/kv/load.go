package kv

import (
	"errors"
	"fmt"
)

// Distributions of keys.
const (
	Uniform = "uniform"
	Zipf    = "zipf" // YCSB's scrambled Zipfian
)

// Arrivals of an open loop.
const (
	Constant = "constant" // evenly spaced, connections out of phase
	Poisson  = "poisson"  // independent clients
)

// Bounds of a load (I6).
const (
	MaxKeys        = 100_000_000
	MaxKeyBytes    = 1 << 10
	MaxValueBytes  = 1 << 20
	MaxConnections = 256
	MaxOutstanding = 1 << 16 // batches a connection
	MaxBatch       = 4096
	MaxIntervals   = 3600
	maxHeldBytes   = 2 << 30 // keys and values of all batches
	maxScheduled   = 1e9     // operations of an open loop
)

// Workload is what operations look like.
type Workload struct {
	Keys         int     `json:"keys"` // how many different ones
	KeyBytes     int     `json:"key_bytes"`
	ValueBytes   int     `json:"value_bytes"`
	ReadRatio    float64 `json:"read_ratio"`   // 0 = puts only, 1 = gets only
	Distribution string  `json:"distribution"` // [Uniform] or [Zipf]
	Theta        float64 `json:"theta"`        // of Zipf, 0 < theta < 1
}

// Load is a workload and how it is offered.
type Load struct {
	Workload
	RateOPS     float64 `json:"rate_ops"` // operations/s over all connections; 0 = closed loop
	Arrivals    string  `json:"arrivals"` // [Constant] or [Poisson]
	Connections int     `json:"connections"`
	Outstanding int     `json:"outstanding"` // batches in flight a connection
	Batch       int     `json:"batch"`       // operations a batch, at most
	WarmupNS    int64   `json:"warmup_ns"`   // offered, and left out of every figure but the series
	WindowNS    int64   `json:"window_ns"`   // measured
	// DrainNS is how long to wait for answers after the window; during the first half, an open loop
	// still sends what was due before.
	DrainNS    int64  `json:"drain_ns"`
	IntervalNS int64  `json:"interval_ns"` // of the series
	Preload    bool   `json:"preload"`     // write every key once first
	Seed       uint64 `json:"seed"`
}

// Default is the load of the figures: a million 16-byte keys, 64-byte values, puts, closed loop.
func Default() Load {
	return Load{
		Workload: Workload{Keys: 1_000_000, KeyBytes: 16, ValueBytes: 64, Distribution: Uniform, Theta: 0.99},
		Arrivals: Constant, Connections: 1, Outstanding: 1, Batch: 1,
		WarmupNS: 1e9, WindowNS: 5e9, DrainNS: 5e9, IntervalNS: 1e9, Seed: 1,
	}
}

// Check says what is wrong with a load.
func (l Load) Check() error {
	if err := l.valid(); err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	switch {
	case !(l.RateOPS >= 0 && l.RateOPS <= 1e9):
		return fmt.Errorf("rate_ops %g: use 0 (closed loop) to 1e9", l.RateOPS)
	case l.Arrivals != Constant && l.Arrivals != Poisson:
		return fmt.Errorf("arrivals %q: use %s or %s", l.Arrivals, Constant, Poisson)
	case l.Connections < 1 || l.Connections > MaxConnections:
		return fmt.Errorf("connections %d: use 1 to %d", l.Connections, MaxConnections)
	case l.Outstanding < 1 || l.Outstanding > MaxOutstanding:
		return fmt.Errorf("outstanding %d: use 1 to %d", l.Outstanding, MaxOutstanding)
	case l.Batch < 1 || l.Batch > MaxBatch:
		return fmt.Errorf("batch %d: use 1 to %d", l.Batch, MaxBatch)
	case l.held() > maxHeldBytes:
		return fmt.Errorf("batches in flight may hold %d bytes: use fewer or smaller, to %d",
			l.held(), maxHeldBytes)
	case l.WarmupNS < 0 || l.WindowNS < 1 || l.DrainNS < 0 || l.IntervalNS < 1:
		return errors.New("warmup_ns and drain_ns must not be negative, window_ns and interval_ns positive")
	case l.RateOPS*float64(l.WarmupNS+l.WindowNS)/1e9 > maxScheduled:
		return fmt.Errorf("%g operations/s for this long: use at most %g in all", l.RateOPS, maxScheduled)
	case l.intervals() > MaxIntervals:
		return fmt.Errorf("%d intervals: use at most %d", l.intervals(), MaxIntervals)
	}
	return nil
}

func (w Workload) valid() error {
	switch {
	case w.Keys < 1 || w.Keys > MaxKeys:
		return fmt.Errorf("keys %d: use 1 to %d", w.Keys, MaxKeys)
	case w.KeyBytes < minKeyBytes || w.KeyBytes > MaxKeyBytes:
		return fmt.Errorf("key_bytes %d: use %d to %d", w.KeyBytes, minKeyBytes, MaxKeyBytes)
	case w.ValueBytes < 1 || w.ValueBytes > MaxValueBytes:
		return fmt.Errorf("value_bytes %d: use 1 to %d", w.ValueBytes, MaxValueBytes)
	case !(w.ReadRatio >= 0 && w.ReadRatio <= 1):
		return fmt.Errorf("read_ratio %g: use 0 to 1", w.ReadRatio)
	case w.Distribution == Zipf && !(w.Theta > 0 && w.Theta < 1):
		return fmt.Errorf("theta %g: use more than 0 and less than 1", w.Theta)
	case w.Distribution != Uniform && w.Distribution != Zipf:
		return fmt.Errorf("distribution %q: use %s or %s", w.Distribution, Uniform, Zipf)
	}
	return nil
}

// held is how many bytes of keys and values all batches have room for.
func (l Load) held() int64 {
	ops := int64(l.Connections) * int64(l.Outstanding) * int64(l.Batch)
	return ops * int64(l.KeyBytes+l.ValueBytes+opBytes)
}

func (l Load) intervals() int64 {
	return (l.WarmupNS+l.WindowNS+l.DrainNS)/max(1, l.IntervalNS) + 1
}
