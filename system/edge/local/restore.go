package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// Restoration says what to make of a checkpoint.
type Restoration struct {
	// Epoch numbers restores of this edge: higher each time, whatever backup it was. Whoever keeps the
	// backups keeps count. It becomes the top of all revisions to come.
	Epoch uint16

	Records  iter.Seq2[[]byte, error] // of the log, from the checkpoint's revision on; nil = none
	Revision uint64                   // the last to restore; 0 = all there is
	Time     time.Time                // likewise; zero = all there is
}

// Restore turns a checkpoint in cfg.Dir, which must be a copy of its own, into a store that [Open] takes,
// with a new incarnation, at the revision asked for. Devices are then told lower marks than they remember,
// and send again from there. Nothing is left half done: a directory whose Restore failed does not open.
func Restore(ctx context.Context, cfg Config, r Restoration) (sum Summary, err error) {
	if err := cfg.setDefaults(); err != nil {
		return sum, err
	}
	db, err := openPebble(&cfg, false)
	if err != nil {
		return sum, err
	}
	err = restore(ctx, db, cfg, r)
	if err = errors.Join(err, db.Close()); err != nil {
		return sum, fmt.Errorf("edge/local: restore %s: %w", cfg.Dir, err)
	}
	return Inspect(cfg)
}

func restore(ctx context.Context, db *pebble.DB, cfg Config, r Restoration) error {
	id, totals, _, err := load(db)
	if err != nil {
		return err
	}
	if r.Epoch <= id.epoch {
		return fmt.Errorf("epoch %d was used before: give one above %d", r.Epoch, id.epoch)
	}
	if r.Revision > 0 && r.Revision < totals.revision {
		return fmt.Errorf("the checkpoint is of revision %d: choose one at or before %d", totals.revision,
			r.Revision)
	}
	if err := db.Set(identityKey, beingRestored, pebble.Sync); err != nil {
		return err
	}
	p := &player{db: db, cfg: &cfg, state: totals}
	if r.Records != nil {
		if err := p.play(ctx, r); err != nil {
			return err
		}
	}
	if r.Revision > p.state.revision && !p.stopped {
		return fmt.Errorf("the records end at revision %d, before %d", p.state.revision, r.Revision)
	}
	return p.seal(newIdentity(r.Epoch))
}

// player applies records to a store that nobody else uses.
type player struct {
	db    *pebble.DB
	cfg   *Config
	state state
	key   []byte

	stopped bool // before what was not asked for
}

func (p *player) play(ctx context.Context, r Restoration) error {
	for encoded, err := range r.Records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		record, err := DecodeRecord(encoded)
		switch {
		case err != nil:
			return err
		case record.Last <= p.state.revision:
			continue
		case record.First != p.state.revision+1:
			return fmt.Errorf("records are missing: after revision %d comes %d", p.state.revision, record.First)
		case r.Revision > 0 && record.Last > r.Revision, !r.Time.IsZero() && record.Time.After(r.Time):
			p.stopped = true // a batch is restored whole or not at all
			return nil
		}
		if err := p.apply(&record); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) apply(r *Record) error {
	b := p.db.NewIndexedBatch()
	for i := range r.Ops {
		if err := p.operate(b, &r.Ops[i], r.First+uint64(i)); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	p.state.revision = r.Last
	var err error
	if len(r.sessionKey) > 0 {
		err = b.Set(r.sessionKey, r.sessionRow, nil)
	}
	err = errors.Join(err, b.Set(stateKey, p.state.encode(nil), nil))
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	return errors.Join(err, b.Close())
}

func (p *player) operate(b *pebble.Batch, op *edge.Op, revision uint64) error {
	p.key = appendDataKey(p.key[:0], op.Key)
	old, err := get(b, p.key)
	var was head
	if err == nil && old != nil {
		was, err = headOf(op.Key, old)
	}
	if err != nil {
		return err
	}
	if op.Kind == edge.Delete {
		p.state.add(was, head{})
		return b.Delete(p.key, nil)
	}
	entry := make([]byte, entrySize(op))
	sum := putEntry(entry, op, revision)
	p.state.add(was, head{revision: revision, sum: sum, size: uint64(len(op.Key) + len(op.Value))})
	return b.Set(p.key, entry, nil)
}

// seal begins a new life: its log is empty, and what it gives out next is above all that was.
func (p *player) seal(id identity) error {
	safe := binary.BigEndian.AppendUint64(nil, p.state.revision) // the backup that this came from
	p.state.revision = max(p.state.revision, id.base())
	p.state.logTail = 0
	b := p.db.NewBatch()
	err := errors.Join(
		b.DeleteRange([]byte{logSpace}, []byte{logSpace + 1}, nil),
		b.Set(backupKey, safe, nil),
		b.Set(stateKey, p.state.encode(nil), nil),
		b.Set(identityKey, id.encode(), nil),
	)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}
