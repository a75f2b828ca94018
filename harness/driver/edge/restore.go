package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/factorial"
)

const mib = 1 << 20

// store is a bed whose edge is filled, and does not run. Everything is in a checkpoint at its master. The
// factor that says how large it is keeps stores apart that are used in different ways, and so does apart.
func (s *backupSession) store(ctx context.Context, c factorial.Cell, sized, apart string) (*bed, error) {
	size, err1 := c.Int(sized)
	item, err2 := c.Int("item_bytes")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if size < 1 || item < 1 || item > mib {
		return nil, errors.New("use a store of 1 MiB and more, and item_bytes of 1 to 1048576")
	}
	name := fmt.Sprint(sized, " ", size, " ", item, " ", apart)
	if b := s.filled[name]; b != nil {
		return b, nil
	}
	b, err := s.bed(ctx, true)
	if err != nil {
		return nil, err
	}
	b.items = max(1, size*mib/item)
	if err := b.fill(ctx, item); err != nil {
		return nil, errors.Join(err, b.close())
	}
	s.filled[name] = b
	return b, nil
}

// fill writes all items, and waits until the store has put itself in order. The edge is started once more
// then: a process begins with a checkpoint.
func (b *bed) fill(ctx context.Context, item int) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.write(ctx, item, 1, b.items, func(i int) int { return i }); err != nil {
		return err
	}
	for range 2 {
		if err := b.stop(); err != nil {
			return err
		}
		if err := b.start(ctx); err != nil {
			return err
		}
		if err := b.settled(ctx); err != nil {
			return err
		}
	}
	return b.stop()
}

// How long a store's size does not change when it has put itself in order, and how long that may take.
const (
	settledFor  = 500 * time.Millisecond
	settleLimit = 30 * time.Second
)

// settled waits until compactions are over.
func (b *bed) settled(ctx context.Context) error {
	size, since := 0.0, time.Now()
	for begin := since; time.Since(since) < settledFor && time.Since(begin) < settleLimit; {
		m, err := b.edge.Metrics(ctx)
		if err != nil {
			return err
		}
		if now := m["metronome_edge_disk_used_bytes"]; now != size {
			size, since = now, time.Now()
		}
		time.Sleep(settledFor / 10)
	}
	return ctx.Err()
}

// write writes n items with contents that no compression makes smaller.
func (b *bed) write(ctx context.Context, item int, seed uint64, n int, which func(i int) int) error {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 1})
	ops := make([]edgeproc.Op, 0, 512)
	for i := range n {
		value := make([]byte, item)
		_, _ = rng.Read(value)
		ops = append(ops, edgeproc.Op{Key: itemKey(which(i)), Value: value})
		if len(ops) < cap(ops) && i < n-1 && len(ops)*item < mib {
			continue
		}
		if err := b.edge.Batch(ctx, ops); err != nil {
			return err
		}
		ops = ops[:0]
	}
	return nil
}

func itemKey(i int) string { return fmt.Sprintf("item/%010d", i) }

// restore measures a restore of the newest backup, and a plain copy of what came of it.
func (s *backupSession) restore(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	where, err := c.Get("at")
	if err != nil {
		return o, err
	}
	b, err := s.store(ctx, c, "store_mib", "")
	if err != nil {
		return o, err
	}
	member := ""
	if where == "edge" {
		member = b.member()
	}
	restored, twin := filepath.Join(b.dir, "restored"), filepath.Join(b.dir, "copy")
	defer func() { err = errors.Join(err, os.RemoveAll(restored), os.RemoveAll(twin)) }()
	begin := time.Now()
	r, err := b.master.Restore(ctx, member, restored)
	took := time.Since(begin)
	if err != nil {
		return o, err
	}
	begin = time.Now()
	bytes, err := copied(ctx, restored, twin)
	plain := time.Since(begin)
	if err != nil {
		return o, err
	}
	o.Values = map[string]float64{"restore_s": took.Seconds(), "copy_s": plain.Seconds(),
		"restore_mb_per_s": float64(bytes) / 1e6 / took.Seconds(), "over_copy": plain.Seconds() / took.Seconds(),
		"disk_mb": float64(bytes) / 1e6}
	if r.Keys != uint64(b.items) || len(r.Warnings) > 0 {
		o.Void = fmt.Sprintf("%d of %d items were restored: %v", r.Keys, b.items, r.Warnings)
	}
	return o, nil
}

// copied copies a directory file by file, and has each on stable storage: the least that anybody does who
// restores a backup.
func copied(ctx context.Context, from, to string) (bytes int64, err error) {
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(at, 0o700)
		}
		n, err := copyFile(path, at)
		bytes += n
		return err
	})
	return bytes, err
}

func copyFile(from, to string) (n int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	// A reader that is only that: files could be cloned by the file system, which copies nothing.
	if n, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, mib)); err != nil {
		return n, err
	}
	return n, out.Sync()
}
