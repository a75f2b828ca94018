package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"metronome/system/replica"
	"metronome/system/store"
)

// joiner puts the heads of sections back: it is written what chunks hold, and writes the snapshot.
type joiner struct {
	to     io.Writer
	head   uint64 // bytes before the sections that are still to come
	parts  []part // still to come
	number int
	out    uint64 // bytes written
	buf    []byte // the present section's payload
	start  [store.SectionHead]byte
}

func newJoiner(m *Manifest, to io.Writer) (*joiner, error) {
	parts, err := decodeLayout(m.Sections)
	return &joiner{to: to, head: m.Head, parts: parts}, err
}

var errTooMuch = fmt.Errorf("backup: there is more than the manifest's sections hold: %w", ErrDamaged)

// Write takes bytes of chunks.
func (j *joiner) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(j.head, uint64(len(rest)))
		if n > 0 {
			if err := j.write(rest[:n]); err != nil {
				return len(b) - len(rest), err
			}
			j.head, rest = j.head-n, rest[n:]
			continue
		}
		if err := j.sections(); err != nil {
			return len(b) - len(rest), err
		}
		if len(j.parts) == 0 {
			return len(b) - len(rest), errTooMuch
		}
		n = min(uint64(j.parts[0].bytes)-uint64(len(j.buf)), uint64(len(rest)))
		j.buf, rest = append(j.buf, rest[:n]...), rest[n:]
	}
	return len(b), j.sections()
}

// sections writes the sections that are complete.
func (j *joiner) sections() error {
	for j.head == 0 && len(j.parts) > 0 && int(j.parts[0].bytes) == len(j.buf) {
		head := store.AppendSectionHead(j.start[:0], j.buf, j.parts[0].kind, j.number)
		if err := errors.Join(j.write(head), j.write(j.buf)); err != nil {
			return err
		}
		j.parts, j.buf = j.parts[1:], j.buf[:0]
		j.number++
	}
	return nil
}

func (j *joiner) write(b []byte) error {
	n, err := j.to.Write(b)
	j.out += uint64(n)
	return err
}

// Close writes what is left and checks that it is all.
func (j *joiner) Close() error {
	if err := j.sections(); err != nil {
		return err
	}
	if j.head > 0 || len(j.parts) > 0 {
		return fmt.Errorf("backup: the chunks end before the manifest's sections: %w", ErrDamaged)
	}
	return nil
}

// WriteTo writes a backup's snapshot. No byte of a damaged chunk is written, but only when WriteTo
// returns nil was all of it right.
func (a *Archive) WriteTo(ctx context.Context, m *Manifest, to io.Writer, progress func(Progress)) error {
	return a.read(ctx, m, to, progress, strict)
}

// strict passes over no bad chunk.
func strict(_ Chunk, err error) error { return err }

// read is WriteTo that lets the caller pass over bad chunks: what follows one is not written any more.
func (a *Archive) read(ctx context.Context, m *Manifest, to io.Writer, progress func(Progress),
	bad func(Chunk, error) error,
) error {
	sum := sha256.New()
	j, err := newJoiner(m, io.MultiWriter(sum, to))
	if err != nil {
		return err
	}
	done, passed := Progress{Total: m.Bytes}, error(nil)
	for b, err := range a.fetchAll(ctx, m.Chunks) {
		if err != nil {
			if passed = err; ctx.Err() != nil {
				return err
			}
			if err := bad(m.Chunks[done.Chunks], err); err != nil {
				return err
			}
		}
		if passed == nil {
			if _, err := j.Write(b); err != nil {
				return err
			}
		}
		done.Chunks, done.Done = done.Chunks+1, j.out
		if progress != nil {
			progress(done)
		}
	}
	if passed != nil {
		return passed
	}
	if err := j.Close(); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != m.SHA256 {
		return fmt.Errorf("backup: %s does not match the sum of its snapshot: %w", m.ID, ErrDamaged)
	}
	return nil
}

// Verified says what was found when a backup was read back.
type Verified struct {
	ID      string   `json:"id"`
	Chunks  int      `json:"chunks"`
	Bytes   uint64   `json:"bytes"`
	Decoded bool     `json:"decoded"` // the state was decoded, not only summed
	Bad     []string `json:"bad,omitempty"`
}

// Verify reads a backup back: every chunk, the sum of the whole, and with decode what a restart of a
// replica would check, which needs memory for the whole store. Bad names every chunk that is damaged
// or missing.
func (a *Archive) Verify(ctx context.Context, m *Manifest, decode bool, progress func(Progress),
) (Verified, error) {
	v := Verified{ID: m.ID, Chunks: len(m.Chunks), Bytes: m.Bytes, Decoded: decode}
	note := func(c Chunk, err error) error {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) {
			return err
		}
		v.Bad = append(v.Bad, c.Name)
		return nil
	}
	if !decode {
		return v, a.read(ctx, m, io.Discard, progress, note)
	}
	err := a.through(ctx, m, progress, note, func(snapshot io.Reader) error {
		info, err := replica.Inspect(snapshot)
		if err != nil {
			return err
		}
		return m.matches(info)
	})
	return v, err
}

// through lets use read a backup's snapshot. It succeeds if use does, and everything was right.
func (a *Archive) through(ctx context.Context, m *Manifest, progress func(Progress),
	bad func(Chunk, error) error, use func(io.Reader) error,
) error {
	r, w := io.Pipe()
	used := make(chan error, 1)
	go func() {
		err := use(r)
		_ = r.CloseWithError(err) // a write then fails with err, if there is still one
		used <- err
	}()
	err := a.read(ctx, m, w, progress, bad)
	_ = w.CloseWithError(err) // nil is the end of the file
	if use := <-used; use != nil && (err == nil || errors.Is(err, use)) {
		err = use
	}
	return err
}

// matches compares what a manifest says with what the snapshot is.
func (m *Manifest) matches(i replica.FileInfo) error {
	if i.Cluster != m.Tag || i.ID != m.Life || i.At.Position != m.Position || i.At.Term != m.Term ||
		i.Epoch != m.Epoch || i.Index != m.Index || i.Bytes != m.Bytes || fmt.Sprintf("%016x", i.Hash) != m.Hash ||
		uint64(i.Keys) != m.Keys || uint64(i.Sessions) != m.Sessions {
		return fmt.Errorf("backup: the manifest of %s tells of another snapshot: %w", m.ID, ErrDamaged)
	}
	return nil
}
