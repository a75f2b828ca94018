package vault

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"metronome/system/backup"
	"metronome/system/edge"
	"metronome/system/edge/local"
)

// Restoration says what to restore, and to where.
type Restoration struct {
	Target
	Dir string // is made; must not exist, or be empty
	// Epoch gives the number of this restore of this edge, higher than any before and than above. It
	// is asked for when all that can be checked beforehand is good.
	Epoch func(ctx context.Context, above uint16) (uint16, error)

	Progress func(done, total int64) // bytes of the checkpoint; nil = none
	Log      *slog.Logger            // of the store that is made; nil = slog.Default
}

// Restored says what was restored. It was read back, and its digest is right.
type Restored struct {
	Backup      uint64        `json:"backup"` // whose checkpoint it began with
	Checkpoint  uint64        `json:"checkpoint_revision"`
	Revision    uint64        `json:"revision"` // of the data; the store goes on above all that was given out
	Epoch       uint16        `json:"epoch"`
	Incarnation string        `json:"incarnation"`
	Keys        uint64        `json:"keys"`
	Sessions    int           `json:"sessions"`
	Digest      string        `json:"digest"`
	Bytes       int64         `json:"bytes"` // of the checkpoint's files
	Took        time.Duration `json:"took_ns"`
	Warnings    []string      `json:"warnings,omitempty"` // backups that should have served and did not
}

// Restore makes an edge's data directory of a backup: of the best that leads to the target, or,
// when that one is damaged, of the next. It verifies what it made. On an error there is no
// directory.
func (v *Vault) Restore(ctx context.Context, r Restoration) (*Restored, error) {
	begin := time.Now()
	choices, err := v.choose(r.Target)
	if err != nil {
		return nil, err
	}
	if err := vacant(r.Dir); err != nil {
		return nil, err
	}
	var warnings []string
	for _, c := range choices {
		done, err := v.attempt(ctx, &r, c)
		if err == nil {
			done.Took, done.Warnings = time.Since(begin), warnings
			return done, nil
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, backup.ErrNotFound) && !errors.Is(err, edge.ErrDamaged) {
			return nil, err
		}
		warnings = append(warnings, fmt.Sprintf("backup %d cannot be restored: %v", c.m.Number, err))
	}
	return nil, fmt.Errorf("vault: %s: nothing that leads there can be restored: %w: %v", v, ErrDamaged,
		warnings)
}

// vacant refuses a directory that holds something.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("vault: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("vault: %s is not empty: name a directory that does not exist, or move this one away",
			dir)
	}
	return nil
}

// attempt restores one choice beside the directory, and moves it there when it is good.
func (v *Vault) attempt(ctx context.Context, r *Restoration, c choice) (done *Restored, err error) {
	part := filepath.Clean(r.Dir) + ".restoring"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o700)); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := v.extract(ctx, c.m, part, r.Progress); err != nil {
		return nil, err
	}
	cfg := local.Config{Dir: part, MinFree: 1, Log: r.Log}
	if err := same(cfg, c.m); err != nil {
		return nil, err
	}
	epoch, err := r.Epoch(ctx, c.m.Epoch)
	if err != nil {
		return nil, err
	}
	end := &ending{v: v, ctx: ctx, done: c.m.Revision, begin: c.m.Revision}
	_, err = local.Restore(ctx, cfg, local.Restoration{Epoch: epoch, Records: end.records(c.pieces),
		Revision: r.Revision, Time: r.Time})
	if err != nil {
		return nil, err
	}
	sum, err := local.Verify(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := moved(part, r.Dir); err != nil {
		return nil, err
	}
	return &Restored{Backup: c.m.Number, Checkpoint: c.m.Revision, Revision: end.revision(&r.Target),
		Epoch:       epoch,
		Incarnation: sum.Incarnation, Keys: sum.Keys, Sessions: sum.Sessions, Digest: DigestText(sum.Digest),
		Bytes: c.m.Size()}, nil
}

// DigestText is how a digest is written in manifests and reports.
func DigestText(d uint64) string { return fmt.Sprintf("%016x", d) }

// same compares a checkpoint with what its manifest says of it.
func same(cfg local.Config, m *Manifest) error {
	sum, err := local.Inspect(cfg)
	if err != nil {
		return fmt.Errorf("vault: backup %d: %w: %w", m.Number, ErrDamaged, err)
	}
	digest, err := strconv.ParseUint(m.Digest, 16, 64)
	if err != nil || sum.Digest != digest || sum.Revision != m.Revision || sum.Keys != m.Keys ||
		sum.Incarnation != m.Incarnation {
		return fmt.Errorf("vault: backup %d: %w: its files hold revision %d with digest %016x, its manifest "+
			"says %d with %s", m.Number, ErrDamaged, sum.Revision, sum.Digest, m.Revision, m.Digest)
	}
	return nil
}

// moved gives a finished directory its name.
func moved(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) { // it is empty
		return fmt.Errorf("vault: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return syncDir(filepath.Dir(to))
}

// ending reads the records behind a checkpoint, one piece in memory at a time.
type ending struct {
	v     *Vault
	ctx   context.Context //nolint:containedctx // of the one call that made it
	done  uint64          // revision up to which records were given out
	begin uint64          // the checkpoint's revision
	spans []recordSpan    // of what was given out last, to know where a restore stopped
}

type recordSpan struct {
	last uint64
	time time.Time
}

func (e *ending) records(pieces []piece) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, p := range pieces {
			if p.last <= e.done || p.first > e.done+1 {
				continue
			}
			records, err := e.v.readPiece(e.ctx, p)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, b := range records {
				r, err := local.DecodeRecord(b)
				if err != nil {
					yield(nil, fmt.Errorf("%w: %w", ErrDamaged, err))
					return
				}
				if r.Last <= e.done {
					continue
				}
				e.note(recordSpan{r.Last, r.Time})
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// note remembers the last two: when a restore stops, it took all but the last.
func (e *ending) note(s recordSpan) {
	if e.done = s.last; len(e.spans) == 2 {
		e.spans = e.spans[1:]
	}
	e.spans = append(e.spans, s)
}

// revision is the last that was restored.
func (e *ending) revision(t *Target) uint64 {
	if len(e.spans) == 0 {
		return e.done
	}
	newest := e.spans[len(e.spans)-1]
	if t.Revision > 0 && newest.last > t.Revision || !t.Time.IsZero() && newest.time.After(t.Time) {
		if len(e.spans) == 1 {
			return e.begin
		}
		return e.spans[0].last
	}
	return newest.last
}
