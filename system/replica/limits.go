package replica

import (
	"errors"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

// Limits decide answers, so they are replicated state: the first leader proposes its own, and from
// then on nobody's configuration counts (R23). A replica configured otherwise behaves like all
// others.

func encodeLimits(c *store.Config) []byte {
	var w wire.Writer
	for _, v := range [...]uint64{uint64(c.Slots), c.Seed, uint64(c.MaxSessions), uint64(c.SessionWindow),
		uint64(c.MaxResultBytes), c.SessionTTL, uint64(c.MaxReplyBytes)} {
		w.U64(v)
	}
	return w.B
}

func decodeLimits(b []byte, parts int) (store.Config, error) {
	r := wire.NewReader(b)
	c := store.Config{Slots: int(r.U64()), Seed: r.U64(), MaxSessions: int(r.U64()),
		SessionWindow: int(r.U64()), MaxResultBytes: int(r.U64()), SessionTTL: r.U64(),
		MaxReplyBytes: int(r.U64()), Parts: parts}
	if !r.Done() {
		return c, errors.New("replica: the limits that were agreed cannot be read")
	}
	return c, nil
}

// setLimits takes the agreed limits. The store is made under them, so that they are fixed before
// the first item.
func (r *Replica) setLimits(b []byte) error {
	if len(r.state.limits) > 0 || r.store.Index() > 0 {
		return nil // the first ones stay: two leaders may have proposed theirs
	}
	c, err := decodeLimits(b, r.cfg.Store.Parts)
	if err != nil {
		return err
	}
	if mutate.On(mutate.LocalLimits) {
		c = r.cfg.Store
	}
	if r.store, err = store.New(c); err != nil {
		return err
	}
	r.state.limits = append([]byte(nil), b...)
	return nil
}

// wantLimits lets a leader propose the limits of a new cluster. No lane opens before.
func (r *Replica) wantLimits() {
	if len(r.state.limits) == 0 {
		r.round.want(order.Command{Kind: order.SetLimits, Limits: encodeLimits(&r.cfg.Store)})
	}
}
