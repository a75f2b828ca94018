package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"metronome/internal/version"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// checkpointed is how a checkpoint went.
type checkpointed struct {
	err    error
	taken  time.Time
	sum    local.Summary
	number uint64
	known  map[string][]vault.Chunk // chunks of tables, by file: those never change
}

// upload takes a checkpoint and sends it, beside Run.
func (s *Shipper) upload(ctx context.Context) {
	s.cfg.Log.Info("a checkpoint for the master", "why", s.why)
	s.uploading = make(chan checkpointed, 1)
	out, known := s.uploading, s.known
	go func() {
		var done checkpointed
		defer func() { out <- done }()
		defer catch(&done.err)
		done = s.checkpoint(ctx, known)
	}()
}

// uploaded takes up what an upload achieved.
func (s *Shipper) uploaded(ctx context.Context, done checkpointed) {
	s.uploading = nil
	err := done.err
	if err == nil {
		s.why, s.taken, s.logged, s.known = "", done.taken, 0, done.known
		s.next = done.sum.Revision + 1
		s.mu.Lock()
		s.state.Backup = done.number
		s.stats.Checkpoints++
		s.mu.Unlock()
		err = s.safe(ctx, done.sum.Revision)
		s.Poke() // what changed meanwhile goes at once
	}
	if s.uploadErr = err; err == nil {
		s.uploadWait = 0
	} else if ctx.Err() == nil {
		s.uploadWait = min(max(2*s.uploadWait, time.Second/2), s.cfg.Backoff)
		s.again = time.Now().Add(rand.N(s.uploadWait) + 1)
		s.note(err)
	}
}

func (s *Shipper) checkpoint(ctx context.Context, known map[string][]vault.Chunk) (done checkpointed) {
	dir := filepath.Join(s.cfg.Scratch, "checkpoint")
	if done.err = errors.Join(os.RemoveAll(dir), os.MkdirAll(s.cfg.Scratch, 0o700)); done.err != nil {
		return done
	}
	defer func() { done.err = errors.Join(done.err, os.RemoveAll(dir)) }()
	done.taken = s.cfg.Now()
	if done.sum, done.err = s.cfg.Source.Checkpoint(dir); done.err != nil {
		return done
	}
	m := s.manifest(&done)
	u := &uploader{s: s, dir: dir, at: map[string]place{}}
	if done.err = u.describe(ctx, m, known); done.err != nil {
		return done
	}
	done.known = tables(m)
	if done.number, done.err = u.send(ctx, m); done.err == nil {
		s.mu.Lock()
		s.stats.LastIncrement = u.sent
		s.mu.Unlock()
	}
	return done
}

func (s *Shipper) manifest(done *checkpointed) *vault.Manifest {
	return &vault.Manifest{Format: vault.ManifestFormat, Edge: s.cfg.Edge, Taken: done.taken.UTC(),
		Incarnation: done.sum.Incarnation, Epoch: done.sum.Epoch, Revision: done.sum.Revision, Keys: done.sum.Keys,
		Bytes: done.sum.Bytes, Digest: vault.DigestText(done.sum.Digest), Sessions: done.sum.Sessions,
		Software: version.String()}
}

// tables are the chunks of files that never change under their names.
func tables(m *vault.Manifest) map[string][]vault.Chunk {
	known := map[string][]vault.Chunk{}
	for i := range m.Files {
		if f := &m.Files[i]; strings.HasSuffix(f.Path, ".sst") {
			known[tableKey(f.Path, f.Size)] = f.Chunks
		}
	}
	return known
}

func tableKey(path string, size int64) string { return fmt.Sprint(path, " ", size) }

// place is where a chunk's content is in a checkpoint.
type place struct {
	path string
	off  int64
	size int
}

// uploader sends one checkpoint.
type uploader struct {
	s    *Shipper
	dir  string
	at   map[string]place // of each chunk
	sent uint64           // bytes
}

// describe lists the files, and names their chunks. Tables that the checkpoint before had are not
// read again.
func (u *uploader) describe(ctx context.Context, m *vault.Manifest, known map[string][]vault.Chunk) error {
	return filepath.WalkDir(u.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(u.dir, path)
		if err != nil {
			return err
		}
		f := vault.File{Path: filepath.ToSlash(rel), Size: info.Size(), Chunks: []vault.Chunk{}}
		if chunks, ok := known[tableKey(f.Path, f.Size)]; ok {
			f.Chunks = chunks
		} else if f.Chunks, err = u.s.cut(ctx, path, f.Size); err != nil {
			return err
		}
		off := int64(0)
		for _, c := range f.Chunks {
			u.at[c.Name] = place{path, off, c.Size}
			off += int64(c.Size)
		}
		m.Files = append(m.Files, f)
		return nil
	})
}

// cut reads a file and names its chunks.
func (s *Shipper) cut(ctx context.Context, path string, size int64) (chunks []vault.Chunk, err error) {
	chunks = []vault.Chunk{}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffer := make([]byte, min(size, vault.MaxChunk))
	for left := size; left > 0 && ctx.Err() == nil; left -= int64(len(buffer)) {
		buffer = buffer[:min(left, vault.MaxChunk)]
		if _, err := io.ReadFull(f, buffer); err != nil {
			return nil, fmt.Errorf("ship: %s: %w", path, err)
		}
		chunks = append(chunks, vault.Chunk{Name: s.seal.Name(buffer), Size: len(buffer)})
	}
	return chunks, ctx.Err()
}

// commitTries bounds how often a master may lose chunks between two requests.
const commitTries = 4

// send sends what is missing, then the manifest.
func (u *uploader) send(ctx context.Context, m *vault.Manifest) (number uint64, err error) {
	missing, err := u.missing(ctx)
	if err != nil {
		return 0, err
	}
	draft, err := u.s.seal.SealDraft(m)
	if err != nil {
		return 0, err
	}
	u.s.mu.Lock()
	u.s.stats.ChunksReused += uint64(len(u.at) - len(missing))
	u.s.mu.Unlock()
	for range commitTries {
		if err := u.chunks(ctx, missing); err != nil {
			return 0, err
		}
		var out api.Committed
		err = u.s.call(ctx, http.MethodPost, "backups", "", api.Raw(draft), &out)
		var p *api.Problem
		if !errors.As(err, &p) || p.Code() != "chunks-missing" {
			return out.Number, err
		}
		missing = p.Missing
	}
	return 0, err
}

// missing asks which chunks the master has not.
func (u *uploader) missing(ctx context.Context) (missing []string, err error) {
	names := make([]string, 0, len(u.at))
	for name := range u.at {
		names = append(names, name)
	}
	for len(names) > 0 {
		some := names[:min(len(names), api.MaxNames)]
		names = names[len(some):]
		var out api.Missing
		if err := u.s.call(ctx, http.MethodPost, "missing", "", api.Missing{Names: some}, &out); err != nil {
			return nil, err
		}
		missing = append(missing, out.Names...)
	}
	return missing, nil
}

// chunks sends some chunks, a few at a time.
func (u *uploader) chunks(ctx context.Context, names []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan string)
	var wg sync.WaitGroup
	for range u.s.cfg.Uploads {
		wg.Go(func() {
			for name := range todo {
				if err := u.one(ctx, name); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		todo <- name
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// chunkTries is how often one chunk is tried before the whole checkpoint is put off: a master that
// is busy says so.
const chunkTries = 5

func (u *uploader) one(ctx context.Context, name string) (err error) {
	defer catch(&err)
	p, ok := u.at[name]
	if !ok {
		return fmt.Errorf("ship: the master misses chunk %s, which is not of this checkpoint", name)
	}
	plain, err := p.read()
	if err != nil {
		return err
	}
	sealed, err := u.s.seal.Seal(vault.ChunkKind, name, plain)
	if err != nil {
		return err
	}
	for try := range chunkTries {
		err = u.s.call(ctx, http.MethodPut, "chunks", name, api.Raw(sealed), nil)
		var p *api.Problem
		if err == nil || !errors.As(err, &p) || p.Code() != "busy" {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		}
	}
	if err != nil {
		return err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.sent += uint64(len(sealed))
	u.s.stats.ChunksSent++
	u.s.stats.BytesSent += uint64(len(sealed))
	return nil
}

func (p place) read() (b []byte, err error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b = make([]byte, p.size)
	_, err = f.ReadAt(b, p.off)
	return b, err
}
