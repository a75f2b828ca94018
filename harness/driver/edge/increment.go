package edge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"metronome/harness/factorial"
)

// increment measures what is uploaded when a part of a store has changed: the log while it changes, and the
// checkpoint after it.
func (s *backupSession) increment(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	share, err := c.Float("changed")
	if err != nil {
		return o, err
	}
	if share < 0 || share > 1 {
		return o, errors.New("changed is a share: use 0 to 1")
	}
	// A store is always changed by the same share, so that compactions which it owes are of its own making.
	b, err := s.store(ctx, c, "changing_mib", fmt.Sprint(c.Arm, " ", share))
	if err != nil {
		return o, err
	}
	item, err1 := c.Int("item_bytes")
	which, err2 := choice(c, b.items)
	if err := errors.Join(err1, err2); err != nil {
		return o, err
	}
	n := int(share * float64(b.items))
	log, checkpoint, err := b.change(ctx, item, c.Seed, n, which)
	if err != nil {
		return o, errors.Join(err, b.stop())
	}
	size := float64(item + len(itemKey(0)))
	changed := float64(n) * size
	o.Values = map[string]float64{"changed_mb": changed / 1e6, "uploaded_mb": (log + checkpoint) / 1e6,
		"log_mb": log / 1e6, "checkpoint_mb": checkpoint / 1e6,
		"of_store": (log + checkpoint) / (float64(b.items) * size)}
	if n > 0 {
		o.Values["amplification"] = (log + checkpoint) / changed
	}
	return o, nil
}

// choice says which item is the i-th to change.
func choice(c factorial.Cell, items int) (func(i int) int, error) {
	how, err := c.Get("keys")
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0xbac))
	switch how {
	case "scattered":
		all := rng.Perm(items)
		return func(i int) int { return all[i] }, nil
	case "together":
		first := rng.IntN(items)
		return func(i int) int { return (first + i) % items }, nil
	}
	return nil, fmt.Errorf("keys %q: use scattered or together", how)
}

// change changes n items of a store, and returns how many bytes were sent meanwhile and how many for the
// checkpoint with which the edge's next process begins.
func (b *bed) change(ctx context.Context, item int, seed uint64, n int, which func(i int) int) (log,
	checkpoint float64, err error) {
	if err := b.start(ctx); err != nil {
		return 0, 0, err
	}
	before, err := b.safe(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := b.write(ctx, item, seed, n, which); err != nil {
		return 0, 0, err
	}
	after, err := b.safe(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := b.stop(); err != nil {
		return 0, 0, err
	}
	if err := b.start(ctx); err != nil {
		return 0, 0, err
	}
	if checkpoint, err = b.safe(ctx); err != nil {
		return 0, 0, err
	}
	return after - before, checkpoint, b.stop()
}
