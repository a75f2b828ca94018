package vault

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/backup"
	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/edge"
	"metronome/system/edge/local"
)

// life is a real store's life, as an edge would ship it: checkpoints, and the log between.
type life struct {
	checkpoints []checkpoint
	log         [][]byte // of all of it, one record a batch
	states      map[uint64]state
}

type checkpoint struct {
	m      Manifest
	chunks map[string][]byte
}

// state is what the store held at a revision.
type state struct {
	digest string
	at     time.Time
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newLife writes batches, and takes a checkpoint before the first and after each of some.
func newLife(t testing.TB, s *Sealer, batches int, checkpoints ...int) *life {
	t.Helper()
	dir := t.TempDir()
	var clock atomic.Int64 // seconds
	now := func() time.Time { return time.Unix(1_700_000_000+clock.Load(), 0) }
	store, err := local.Open(local.Config{Dir: filepath.Join(dir, "store"), MinFree: 1, Log: quiet(),
		Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	l := &life{states: map[uint64]state{}}
	next := uint64(1)
	for i := range batches + 1 {
		if i == 0 || len(checkpoints) > 0 && checkpoints[0] == i {
			l.take(t, s, store, filepath.Join(dir, fmt.Sprint("checkpoint", i)), now())
			if i > 0 {
				checkpoints = checkpoints[1:]
			}
		}
		if i == batches {
			break
		}
		clock.Add(1)
		b := &edge.Batch{}
		for k := range 3 {
			b.Ops = append(b.Ops, edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "k%d", (i*3+k)%20),
				Value: fmt.Appendf(nil, "%d.%d", i, k)})
		}
		out, err := store.Apply(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		records, after, err := store.Log(context.Background(), next, 1<<20)
		if err != nil || len(records) != 1 {
			t.Fatal(len(records), err)
		}
		l.log, next = append(l.log, records...), after
		r, err := local.DecodeRecord(records[0])
		if err != nil {
			t.Fatal(err)
		}
		l.states[out.Revision] = state{DigestText(store.Status().Digest), r.Time}
	}
	return l
}

func (l *life) take(t testing.TB, s *Sealer, store *local.Store, dir string, now time.Time) {
	t.Helper()
	sum, err := store.Checkpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoint{chunks: map[string][]byte{}}
	c.m = Manifest{Format: ManifestFormat, Edge: "e", Taken: now.UTC(), Incarnation: sum.Incarnation,
		Epoch:    sum.Epoch,
		Revision: sum.Revision, Keys: sum.Keys, Bytes: sum.Bytes, Digest: DigestText(sum.Digest)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		f := File{Path: e.Name(), Size: int64(len(b))}
		for len(b) > 0 {
			part := b[:min(len(b), 64<<10)]
			b = b[len(part):]
			f.Chunks = append(f.Chunks, Chunk{s.Name(part), len(part)})
			c.chunks[s.Name(part)] = part
		}
		c.m.Files = append(c.m.Files, f)
	}
	l.checkpoints = append(l.checkpoints, c)
}

// between are the records from one revision on, up to another.
func (l *life) between(t testing.TB, after, upTo uint64) (records [][]byte) {
	t.Helper()
	for _, b := range l.log {
		if r, err := local.DecodeRecord(b); err != nil {
			t.Fatal(err)
		} else if r.First > after && r.Last <= upTo {
			records = append(records, b)
		}
	}
	return records
}

func (l *life) newest() (revision uint64) {
	for r := range l.states {
		revision = max(revision, r)
	}
	return revision
}

// ship sends a checkpoint, as an edge does.
func (c *checkpoint) ship(ctx context.Context, v *Vault) (*Summary, error) {
	names := make([]string, 0, len(c.chunks))
	for n := range c.chunks {
		names = append(names, n)
	}
	for _, n := range v.Missing(names) {
		sealed, err := v.seal.Seal(ChunkKind, n, c.chunks[n])
		if err == nil {
			err = v.PutChunk(ctx, n, sealed)
		}
		if err != nil {
			return nil, err
		}
	}
	draft, err := v.seal.SealDraft(&c.m)
	if err != nil {
		return nil, err
	}
	s, missing, err := v.Commit(ctx, 1, draft)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%d chunks are missing", len(missing))
	}
	return s, err
}

func appendLog(ctx context.Context, v *Vault, number uint64, records ...[]byte) (uint64, error) {
	sealed, err := v.seal.SealLog(number, records)
	if err != nil {
		return 0, err
	}
	return v.AppendLog(ctx, number, sealed)
}

func onDisk(t testing.TB) backup.Destination {
	t.Helper()
	d, err := backup.NewDirectory(disk.OS(), filepath.Join(t.TempDir(), "vault"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inMemory(fs *fault.FS) (backup.Destination, error) { return backup.NewDirectory(fs, "vault") }

func open(t testing.TB, d backup.Destination) *Vault {
	t.Helper()
	v, err := Open(t.Context(), d, testKey(t), Options{Now: func() time.Time {
		return time.Unix(1_700_000_000,
			0)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// restored restores and returns what there is to say, and the digest of the data.
func restored(t testing.TB, v *Vault, target Target) (*Restored, error) {
	t.Helper()
	return v.Restore(t.Context(), Restoration{Target: target, Dir: filepath.Join(t.TempDir(), "to"),
		Log:   quiet(),
		Epoch: func(_ context.Context, above uint16) (uint16, error) { return above + 1, nil }})
}
