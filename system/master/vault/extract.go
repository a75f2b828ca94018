package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// extraction writes a checkpoint's files.
type extraction struct {
	v        *Vault
	dir      string
	progress func(done, total int64)

	cancel context.CancelCauseFunc
	mu     sync.Mutex
	done   int64
	total  int64
}

// workers is how many chunks are on their way at once: opening is work for the processor, reading
// for the disk.
const workers = 4

// part is a chunk and its place.
type part struct {
	f     *file
	at    int64
	chunk Chunk
}

// file is a file whose chunks arrive in any order. Whoever brings the last makes it durable.
type file struct {
	*os.File
	left atomic.Int64
}

func (f *file) done() error {
	if f.left.Add(-1) > 0 {
		return nil
	}
	return errors.Join(f.Sync(), f.Close())
}

// extract writes the files of a checkpoint into a directory, durably.
func (v *Vault) extract(ctx context.Context, m *Manifest, dir string,
	progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e := &extraction{v: v, dir: dir, progress: progress, cancel: cancel, total: m.Size()}
	parts := make(chan part)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p := range parts {
				e.one(ctx, p)
				if err := p.f.done(); err != nil {
					e.cancel(err)
				}
			}
		})
	}
	var err error
	for i := range m.Files {
		if err = e.file(&m.Files[i], parts); err != nil || context.Cause(ctx) != nil {
			break
		}
	}
	close(parts)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(err, syncTree(dir))
}

func (e *extraction) file(f *File, parts chan<- part) error {
	path := filepath.Join(e.dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	opened, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	out := &file{File: opened}
	out.left.Store(int64(len(f.Chunks)) + 1)
	at := int64(0)
	for _, c := range f.Chunks {
		parts <- part{f: out, at: at, chunk: c}
		at += int64(c.Size)
	}
	return out.done()
}

func (e *extraction) one(ctx context.Context, p part) {
	if ctx.Err() != nil {
		return
	}
	plain, err := e.v.chunk(ctx, p.chunk)
	if err == nil {
		_, err = p.f.WriteAt(plain, p.at)
	}
	if err != nil {
		e.cancel(err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done += int64(len(plain))
	if e.progress != nil {
		e.progress(e.done, e.total)
	}
}

// chunk reads one chunk. Its seal covers its name, so it is not hashed again.
func (v *Vault) chunk(ctx context.Context, c Chunk) ([]byte, error) {
	b, err := v.dest.Get(ctx, chunkFolder+"/"+c.Name, ChunkKind.MaxSealed())
	if err != nil {
		return nil, damage(err)
	}
	plain, err := v.seal.Open(ChunkKind, c.Name, b)
	if err == nil && len(plain) != c.Size {
		err = fmt.Errorf("vault: chunk %s: %w: %d bytes, and the manifest says %d", c.Name, ErrDamaged, len(plain),
			c.Size)
	}
	return plain, err
}

// syncTree makes the names in a directory and below durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
