package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"metronome/system/daemon"
	"metronome/system/wire"
)

// Transfer is what it took to give a replica its state back.
type Transfer struct {
	Bytes     float64 // of the snapshot
	PreparedS float64 // from the start of the process until the first piece is written
	ArrivedS  float64 // from then until all of it is durable under its name
	VotesS    float64 // from the start of the process until it votes
	CopyS     float64 // a plain copy of the same file, made durable
	OverCopy  float64 // rate of the transfer over that of the copy
}

// TransferIdle empties a follower of a filled cluster that does nothing else, and measures how it gets its
// state from the others.
func TransferIdle(ctx context.Context, set Setting) (r Transfer, err error) {
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
	began, err := b.empty(ctx, p)
	if err != nil {
		return r, err
	}
	if r, err = b.arrives(ctx, p, began); err != nil {
		return r, err
	}
	if err := b.votes(ctx, p); err != nil {
		return r, err
	}
	r.VotesS = time.Since(began).Seconds()
	if r.CopyS, err = copyFile(ctx, b.data(p)); err == nil {
		r.OverCopy = r.CopyS / r.ArrivedS
	}
	return r, err
}

// empty kills a replica, empties its data directory and starts it again.
func (b *bed) empty(ctx context.Context, p wire.Peer) (began time.Time, err error) {
	if err := b.kill(ctx, p); err != nil {
		return began, err
	}
	if err := os.RemoveAll(b.data(p)); err != nil {
		return began, fmt.Errorf("empty %v: %w", p, err)
	}
	return time.Now(), b.Run(p)
}

// arrives waits until an emptied replica has its state on disk.
func (b *bed) arrives(ctx context.Context, p wire.Peer, began time.Time) (r Transfer, err error) {
	from := time.Time{}
	for r.Bytes == 0 {
		if _, size := snapshot(b.data(p)); size > 0 {
			r.Bytes = float64(size)
		}
		_, err := os.Stat(filepath.Join(b.data(p), "snapshot.tmp"))
		if from.IsZero() && (err == nil || r.Bytes > 0) {
			from = time.Now()
			r.PreparedS = from.Sub(began).Seconds()
		}
		if err := sleep(ctx, pollEvery/2); err != nil {
			return r, fmt.Errorf("no snapshot arrived at %v: %w", p, err)
		}
	}
	r.ArrivedS = time.Since(from).Seconds()
	return r, nil
}

// votes waits until a replica votes.
func (b *bed) votes(ctx context.Context, p wire.Peer) error {
	return b.until(ctx, p, "to vote", func(s *daemon.ClusterStatus) bool {
		return s.Life != "" && slices.Contains(s.Voters, s.Life) && s.NotReady == ""
	})
}

// copyPiece is what cp reads at a time.
const copyPiece = 256 << 10

// copyFile copies the newest snapshot beside itself as cp does, and syncs it.
func copyFile(ctx context.Context, dir string) (seconds float64, err error) {
	path, _ := snapshot(dir)
	from, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("copy: %w", err)
	}
	defer from.Close()
	name := filepath.Join(dir, "copy.tmp")
	began := time.Now()
	to, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("copy: %w", err)
	}
	defer os.Remove(name)
	// Writer only: so that the kernel does not share the blocks instead of copying them.
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, copyPiece))
	err = errors.Join(err, to.Sync(), to.Close(), ctx.Err())
	return time.Since(began).Seconds(), err
}

// Beside is the throughput of clients before and during a transfer.
type Beside struct {
	Before, During float64 // puts a second
	Kept           float64 // During over Before
	Transfer
}

// TransferBeside empties a follower of a cluster under load, and compares what clients get done while the
// snapshot is on its way with what they did before.
func TransferBeside(ctx context.Context, set Setting, rate float64, calm time.Duration) (r Beside,
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
	leader, p, err := b.follower(ctx)
	if err != nil {
		return r, err
	}
	loading, cancel := context.WithCancel(ctx)
	wait, err := b.offer(loading, Load{Rate: rate, Outstanding: 32768, Length: time.Hour})
	if err != nil {
		cancel()
		return r, err
	}
	defer func() {
		cancel()
		_, _ = wait() // it was killed
	}()
	if err := sleep(ctx, calm/2); err != nil {
		return r, err
	}
	if r.Before, err = b.rate(ctx, leader, func() error { return sleep(ctx, calm) }); err != nil {
		return r, err
	}
	began, err := b.empty(ctx, p)
	if err != nil {
		return r, err
	}
	r.During, err = b.rate(ctx, leader, func() (err error) {
		r.Transfer, err = b.arrives(ctx, p, began)
		return err
	})
	if err != nil {
		return r, err
	}
	r.Kept = r.During / r.Before
	soon, stop := context.WithTimeout(ctx, catchUp)
	defer stop()
	if err := b.votes(soon, p); err == nil {
		r.VotesS = time.Since(began).Seconds()
		return r, nil
	}
	r.VotesS = math.NaN()
	return r, ctx.Err()
}

// catchUp is how long a replica may take to vote while the load goes on.
const catchUp = 30 * time.Second

// rate is how many items a second a replica applies while something is done.
func (b *bed) rate(ctx context.Context, p wire.Peer, do func() error) (float64, error) {
	from, err := b.Status(ctx, p)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return 0, err
	}
	to, err := b.Status(ctx, p)
	if err != nil {
		return 0, err
	}
	return float64(to.Index-from.Index) / time.Since(began).Seconds(), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
