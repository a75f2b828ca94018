package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// Source is what a master's backup needs of an edge. [Store] is one.
//
// A backup is a checkpoint and the log's records from its revision on. To ship every second: Log from where
// the last call ended; on [edge.ErrTrimmed], or once in a while, Checkpoint, and Log from its revision on.
// What the master says is safe goes to MarkBackedUp.
type Source interface {
	// Status names the incarnation: when it changes, a new chain of backups begins.
	Status() edge.Status
	// Checkpoint makes a consistent copy in a directory that does not exist yet, on the same file system:
	// hard links for what never changes, copies of the small rest. Writes go on meanwhile.
	Checkpoint(dir string) (Summary, error)
	// Log returns encoded records, oldest first, from the one that holds a revision on, about so many bytes
	// of them and all durable, and the revision to go on with.
	Log(ctx context.Context, from uint64, most int) (records [][]byte, next uint64, err error)
	// MarkBackedUp notes that a verified backup holds everything up to a revision.
	MarkBackedUp(ctx context.Context, revision uint64) error
}

// Summary tells what a checkpoint, or a restored directory, holds.
type Summary struct {
	Incarnation string
	Epoch       uint16 // how often the data was restored
	Revision    uint64
	Keys, Bytes uint64
	Digest      uint64
	Sessions    int
}

// Checkpoint implements [Source].
func (s *Store) Checkpoint(dir string) (Summary, error) {
	leave, err := s.enter()
	if err != nil {
		return Summary{}, err
	}
	defer leave()
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return Summary{}, fmt.Errorf("edge/local: checkpoint into %s: %w", dir, damage(err))
	}
	cfg := s.cfg
	cfg.Dir = dir
	return Inspect(cfg)
}

// Log implements [Source].
func (s *Store) Log(ctx context.Context, from uint64, most int) (records [][]byte, next uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, from, err
	}
	next, err = s.scan(max(from, 1), most, func(encoded []byte) (bool, error) {
		_, err := DecodeRecord(encoded)
		records = append(records, clone(encoded))
		return true, err
	})
	return records, next, err
}

// MarkBackedUp implements [Source]. A lower revision than before changes nothing.
func (s *Store) MarkBackedUp(ctx context.Context, revision uint64) error {
	if at := s.durable.get(); revision > at {
		return fmt.Errorf("edge/local: a backup cannot hold revision %d, this edge is at %d", revision, at)
	}
	return s.submit(ctx, &request{work: func(w *writer) error {
		if revision <= s.backedUp.Load() {
			return nil
		}
		w.dirty = true
		s.backedUp.Store(revision)
		return w.commit.Set(backupKey, binary.BigEndian.AppendUint64(nil, revision), nil)
	}})
}

// Inspect tells what a directory holds, without changing it. No process may have it open.
func Inspect(cfg Config) (sum Summary, err error) {
	return examine(cfg, func(*pebble.DB, *Summary) error { return nil })
}

// Verify is Inspect, and reads every entry: the digest is worked out anew and must be the one stored.
func Verify(ctx context.Context, cfg Config) (Summary, error) {
	return examine(cfg, func(db *pebble.DB, sum *Summary) error {
		found, err := recount(ctx, db)
		if err != nil {
			return err
		}
		if found.keys != sum.Keys || found.bytes != sum.Bytes || found.digest != sum.Digest {
			return fmt.Errorf("%w: %d keys with digest %016x were found in %s, and %d with %016x expected",
				edge.ErrDamaged, found.keys, found.digest, cfg.Dir, sum.Keys, sum.Digest)
		}
		return nil
	})
}

func examine(cfg Config, more func(*pebble.DB, *Summary) error) (sum Summary, err error) {
	if err := cfg.setDefaults(); err != nil {
		return sum, err
	}
	db, err := openPebble(&cfg, true)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	id, totals, _, err := load(db)
	if err != nil {
		return sum, err
	}
	sum = Summary{Incarnation: id.String(), Epoch: id.epoch, Revision: totals.revision, Keys: totals.keys,
		Bytes: totals.bytes, Digest: totals.digest}
	err = eachSession(db, func([]byte, *session) bool { sum.Sessions++; return true })
	return sum, errors.Join(err, more(db, &sum))
}

// recount works the totals out from the entries.
func recount(ctx context.Context, db *pebble.DB) (t state, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{dataSpace}, UpperBound: []byte{dataSpace + 1}})
	if err != nil {
		return t, damage(err)
	}
	defer func() { err = errors.Join(err, damage(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()[1:]
		if _, _, err := parse(key, it.Value(), true); err != nil {
			return t, err
		}
		h, err := headOf(key, it.Value())
		if err != nil {
			return t, err
		}
		t.add(head{}, h)
		if t.keys%1024 == 0 && ctx.Err() != nil {
			return t, ctx.Err()
		}
	}
	return t, nil
}
