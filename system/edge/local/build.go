package local

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// Builder fills a new directory with a copy of what [Turn.Changes] have made elsewhere. Until Seal the
// directory does not open as a store. It is for one goroutine.
type Builder struct {
	db  *pebble.DB
	id  identity
	key []byte
}

// NewBuilder begins a copy in cfg.Dir, which must be empty or absent, of the data of that incarnation.
func NewBuilder(cfg Config, incarnation [16]byte) (*Builder, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	db, err := openPebble(&cfg, false)
	if err != nil {
		return nil, err
	}
	b := &Builder{db: db, id: identity{incarnation: incarnation}}
	if err := b.begin(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

func (b *Builder) begin() error {
	it, err := b.db.NewIter(nil)
	if err != nil {
		return damage(err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return damage(err)
	}
	if !empty {
		return errors.New("edge/local: a copy needs an empty directory, and this one holds data")
	}
	return b.db.Set(identityKey, beingRestored, pebble.Sync)
}

// Set writes a key of [Turn.Changes].
func (b *Builder) Set(key, value []byte) error {
	if len(key) == 0 || key[0] != dataSpace && key[0] != sessionSpace {
		return fmt.Errorf("%w: key %q is neither an entry's nor a session's", edge.ErrDamaged, key)
	}
	return b.db.Set(key, value, pebble.NoSync)
}

// Play takes in records of what has changed since, or of what Set has brought already.
func (b *Builder) Play(records []byte) error {
	all, err := split(records)
	if err != nil {
		return err
	}
	for i := range all {
		if err := b.play(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) play(r *Record) error {
	for i := range r.Ops {
		op := &r.Ops[i]
		b.key = appendDataKey(b.key[:0], op.Key)
		var err error
		if op.Kind == edge.Delete {
			err = b.db.Delete(b.key, pebble.NoSync)
		} else {
			entry := make([]byte, entrySize(op))
			putEntry(entry, op, r.First+uint64(i))
			err = b.db.Set(b.key, entry, pebble.NoSync)
		}
		if err != nil {
			return err
		}
	}
	if len(r.sessionKey) == 0 {
		return nil
	}
	return b.db.Set(r.sessionKey, r.sessionRow, pebble.NoSync)
}

// Seal ends the copy: it is of that spot in the order, with those totals; nil = nothing was ever written.
// It opens as a store then. The builder is closed, whatever Seal returns.
func (b *Builder) Seal(at Spot, totals []byte) error {
	var t state
	if len(totals) > 0 {
		if err := t.decode(totals); err != nil {
			return errors.Join(err, b.db.Close())
		}
	}
	t.logTail = 0
	c := b.db.NewBatch()
	err := errors.Join(
		c.Set(spotKey, at.encode(), nil),
		c.Set(stateKey, t.encode(nil), nil),
		c.Set(identityKey, b.id.encode(), nil),
	)
	if err == nil {
		err = c.Commit(pebble.Sync)
	}
	return errors.Join(err, c.Close(), b.db.Close())
}

// Abort ends a copy that is not to be.
func (b *Builder) Abort() error { return b.db.Close() }
