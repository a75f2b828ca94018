package recovery

import (
	"context"
	"time"

	"metronome/system/wire"
)

// Overwrite is the space on disk while the same keys are written again and again.
type Overwrite struct {
	OverBound float64 // most of the moments' space over 3 × live data + configured journal
	LiveBytes float64 // keys and values
	MostBytes float64 // of one replica, at any moment
	EndBytes  float64
	Written   float64 // bytes of keys and values that were put
	Snapshots float64
	Moments   []Space
}

// Space is what replicas take on disk at a moment.
type Space struct {
	AtS   float64
	Seat  int
	Bytes float64
}

const spaceEvery = 100 * time.Millisecond

// liveShare is how much of live data a data directory may take beside its journal.
const liveShare = 3

// Overwriting loads a filled cluster as fast as it goes, and looks at its data directories.
func Overwriting(ctx context.Context, set Setting, length time.Duration) (r Overwrite, err error) {
	b, err := open(ctx, set)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := b.fill(ctx); err != nil {
		return r, err
	}
	wait, err := b.offer(ctx, Load{Outstanding: 32768, Length: length})
	if err != nil {
		return r, err
	}
	watching, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- b.watchSpace(watching, &r) }()
	counted := make(chan int)
	go func() { counted <- b.countSnapshots(watching) }()
	l, err := wait()
	stop()
	wrong, snapshots := <-done, <-counted
	if err == nil {
		err = wrong
	}
	if err != nil {
		return r, err
	}
	s, err := b.Status(ctx, wire.ReplicaPeer(0))
	if err != nil {
		return r, err
	}
	each := float64(keyBytes + set.Value)
	r.LiveBytes, r.Written, r.Snapshots = float64(s.Keys)*each, float64(l.Ops)*each, float64(snapshots)
	bound := liveShare*r.LiveBytes + float64(b.Config.Storage.Journal)
	for _, m := range r.Moments {
		r.MostBytes = max(r.MostBytes, m.Bytes)
		r.EndBytes = m.Bytes
	}
	r.OverBound = r.MostBytes / bound
	return r, nil
}

func (b *bed) watchSpace(ctx context.Context, r *Overwrite) error {
	began := time.Now()
	for {
		for seat := range b.Config.Replicas {
			bytes, err := onDisk(b.data(wire.ReplicaPeer(seat)))
			if err != nil {
				return err
			}
			r.Moments = append(r.Moments, Space{time.Since(began).Seconds(), seat, float64(bytes)})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(spaceEvery):
		}
	}
}
