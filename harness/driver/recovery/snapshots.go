package recovery

import (
	"context"
	"fmt"
	"time"

	"metronome/system/wire"
)

// Snapshots is the latency of puts at one rate, in ms.
type Snapshots struct {
	P50, P999, P9999, Max float64
	Rate                  float64 // puts answered a second
	Unsent                float64 // due and not submitted in time
	Taken                 float64 // snapshots that became durable meanwhile
}

// snapshotsWindow is how often it is looked whether a snapshot was taken.
const snapshotsWindow = 20 * time.Millisecond

// TakeSnapshots offers puts at a rate to a filled cluster. Whether snapshots are taken meanwhile, the
// journal's bound says: at half of it one is.
func TakeSnapshots(ctx context.Context, set Setting, rate float64, length time.Duration) (r Snapshots,
	err error,
) {
	b, err := open(ctx, set)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := b.fill(ctx); err != nil {
		return r, err
	}
	wait, err := b.offer(ctx, Load{Rate: rate, Outstanding: 1 << 17, Warmup: time.Second, Length: length})
	if err != nil {
		return r, err
	}
	done := make(chan int)
	watching, stop := context.WithCancel(ctx)
	go func() { done <- b.countSnapshots(watching) }()
	l, err := wait()
	stop()
	taken := <-done
	if err != nil {
		return r, err
	}
	if rate > 0 && float64(l.Unsent) > rate*length.Seconds()/100 {
		err = fmt.Errorf("%d of %.0f puts were not submitted in time: the rate is too high for this machine",
			l.Unsent, rate*length.Seconds())
	}
	return Snapshots{P50: l.quantileMS(50), P999: l.quantileMS(99.9), P9999: l.quantileMS(99.99),
		Max: l.LatencyMax / 1e3, Rate: l.OpsPerS, Unsent: float64(l.Unsent), Taken: float64(taken)}, err
}

// countSnapshots counts the snapshots that replicas save until ctx ends.
func (b *bed) countSnapshots(ctx context.Context) (n int) {
	var last [3]uint64
	for first := true; ; first = false {
		for seat := range last {
			s, err := b.Status(ctx, wire.ReplicaPeer(seat))
			if err != nil {
				continue
			}
			if !first && s.SnapshotAt != last[seat] {
				n++
			}
			last[seat] = s.SnapshotAt
		}
		select {
		case <-ctx.Done():
			return n
		case <-time.After(snapshotsWindow):
		}
	}
}
