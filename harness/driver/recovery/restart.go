package recovery

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"metronome/system/daemon"
	"metronome/system/wire"
)

// Restart is what a restart took.
type Restart struct {
	ServingS      float64 // from the start of the process, or of all of them, until it serves
	Keys          float64
	JournalBytes  float64 // on disk, before
	SnapshotBytes float64
}

// RestartOne kills a follower of a filled cluster and starts it again: it serves when it is a voter that
// follows a leader and has applied all that it had before.
func RestartOne(ctx context.Context, set Setting) (r Restart, err error) {
	b, err := open(ctx, set)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := b.fill(ctx); err != nil {
		return r, err
	}
	_, p, err := b.follower(ctx)
	if err != nil {
		return r, err
	}
	if r, err = b.before(ctx, p); err != nil {
		return r, err
	}
	had, err := b.Status(ctx, p)
	if err != nil {
		return r, err
	}
	if err := b.kill(ctx, p); err != nil {
		return r, err
	}
	began := time.Now()
	if err := b.Run(p); err != nil {
		return r, err
	}
	err = b.until(ctx, p, "to serve", func(s *daemon.ClusterStatus) bool {
		return s.NotReady == "" && s.Index >= had.Index && s.Life == had.Life
	})
	r.ServingS = time.Since(began).Seconds()
	return r, err
}

// RestartAll kills all replicas at once, as a power cut does, and starts them again: the cluster serves
// when a client's put is acknowledged.
func RestartAll(ctx context.Context, set Setting) (r Restart, err error) {
	b, err := open(ctx, set)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := b.fill(ctx); err != nil {
		return r, err
	}
	if r, err = b.before(ctx, wire.ReplicaPeer(0)); err != nil {
		return r, err
	}
	for seat := range b.Config.Replicas {
		if err := b.kill(ctx, wire.ReplicaPeer(seat)); err != nil {
			return r, err
		}
	}
	began := time.Now()
	for seat := range b.Config.Replicas {
		if err := b.Run(wire.ReplicaPeer(seat)); err != nil {
			return r, err
		}
	}
	err = b.put(ctx)
	r.ServingS = time.Since(began).Seconds()
	return r, err
}

// before says what there is to restart from.
func (b *bed) before(ctx context.Context, p wire.Peer) (r Restart, err error) {
	s, err := b.Status(ctx, p)
	if err != nil {
		return r, err
	}
	_, size := snapshot(b.data(p))
	return Restart{Keys: float64(s.Keys), JournalBytes: float64(s.JournalBytes),
		SnapshotBytes: float64(size)}, nil
}

// putPatience is how long one attempt to put may take.
const putPatience = 250 * time.Millisecond

// put tries to put until it is acknowledged.
func (b *bed) put(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: b.Addresses()[0], MaxRetries: -1, DisableIdentity: true,
		DialTimeout: putPatience, ReadTimeout: putPatience, WriteTimeout: putPatience})
	defer c.Close()
	for {
		err := c.Set(ctx, "recovered", "yes", 0).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no put was acknowledged: %w", err)
		case <-time.After(pollEvery):
		}
	}
}
