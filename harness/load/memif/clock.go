package memif

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock reads CLOCK_MONOTONIC in nanoseconds.
type Clock func() int64

// NewClock calibrates a clock. Go's own monotonic time is CLOCK_MONOTONIC read without a system
// call, but from an origin of its own; the offset is constant, and found by reading both at once.
func NewClock() (Clock, error) {
	origin := time.Now()
	offset, best := int64(0), int64(1<<62)
	for range 16 {
		before := int64(time.Since(origin))
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return nil, fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
		}
		after := int64(time.Since(origin))
		if after-before < best { // the tightest bracket is the surest
			best = after - before
			offset = ts.Nano() - (before+after)/2
		}
	}
	return func() int64 { return offset + int64(time.Since(origin)) }, nil
}
