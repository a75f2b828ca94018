package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"metronome/system/replica"
	"metronome/system/store"
)

// Origin is what a backup says of where it comes from, beside what the snapshot says.
type Origin struct {
	Cluster  string // name
	Replica  string // that was asked
	Software string // the build that makes the backup
}

// SaveOptions are those of one backup.
type SaveOptions struct {
	Origin
	// Full writes every chunk anew, whatever is there: after damage was found.
	Full     bool
	Progress func(Progress) // called by Save's goroutine, or nil
}

// Save makes a backup of a saved snapshot's bytes. On an error there is none; chunks that were
// written are used by the next try.
func (a *Archive) Save(ctx context.Context, from io.Reader, o SaveOptions) (*Manifest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &saving{a: a, o: o, ctx: ctx, cancel: cancel, sum: sha256.New(), slots: make(chan struct{}, a.parallel)}
	defer s.running.Wait()
	defer cancel(nil) // first: what is on its way is of no use any more
	begin := a.now()
	s.m = Manifest{ID: newID(begin), Time: begin.UTC().Truncate(time.Second), Cluster: o.Cluster,
		Replica: o.Replica, Software: o.Software}
	var err error
	if s.have, err = a.usable(ctx, o.Full); err != nil {
		return nil, err
	}
	if err := s.read(from); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // what went wrong first
		}
		return nil, err
	}
	s.running.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := a.finish(ctx, &s.m); err != nil {
		return nil, err
	}
	return &s.m, nil
}

// saving is a backup being made.
type saving struct {
	a       *Archive
	o       SaveOptions
	m       Manifest
	have    map[[32]byte]Object
	sum     hash.Hash
	layout  []byte
	done    Progress
	ctx     context.Context //nolint:containedctx // of the one call that made it
	cancel  context.CancelCauseFunc
	slots   chan struct{}
	running sync.WaitGroup
}

// Write sees every byte of the snapshot.
func (s *saving) Write(b []byte) (int, error) {
	s.done.Done += uint64(len(b))
	return s.sum.Write(b)
}

// usable are the chunks that may be used again, by sum: not those that may be on their way out.
func (a *Archive) usable(ctx context.Context, none bool) (map[[32]byte]Object, error) {
	have := map[[32]byte]Object{}
	if none {
		return have, nil
	}
	doomed, err := a.doomed(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := a.list(ctx, chunkFolder)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if sum, ok := chunkSum(o.Name); ok && !doomed[o.Name] {
			have[sum] = o
		}
	}
	return have, nil
}

// read takes the snapshot apart.
func (s *saving) read(from io.Reader) error {
	from = io.TeeReader(from, s)
	info, raw, err := replica.ReadFileHead(from)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	m := &s.m
	m.Tag, m.Life, m.Position, m.Term, m.Epoch = info.Cluster, info.ID, info.At.Position, info.At.Term,
		info.Epoch
	m.Bytes, m.Head, s.done.Total = info.Bytes, uint64(len(raw)), info.Bytes
	c := &cutter{emit: s.chunk}
	if err := c.plain(raw); err != nil {
		return err
	}
	if err := s.readSections(from, c); err != nil {
		return err
	}
	m.Sections, m.SHA256 = encodeLayout(s.layout), hex.EncodeToString(s.sum.Sum(nil))
	return m.check()
}

func (s *saving) readSections(from io.Reader, c *cutter) error {
	in := sectionReader{from: from}
	for kind := uint32(store.SectionHeader); ; {
		if err := in.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("backup: the snapshot at position %d: %w", s.m.Position, err)
		}
		if in.Kind == store.SectionHeader {
			h, err := store.ReadHeader(in.payload)
			if err != nil {
				return fmt.Errorf("backup: the snapshot at position %d: %w: %w", s.m.Position, err, ErrDamaged)
			}
			s.m.Index, s.m.Keys, s.m.Sessions, s.m.Hash = h.Index, h.Keys, h.Sessions, fmt.Sprintf("%016x", h.Hash)
		}
		if in.Kind != kind { // what changes always does not share a chunk with what may not
			if err := c.flush(); err != nil {
				return err
			}
			kind = in.Kind
		}
		s.layout = appendLayout(s.layout, part{in.Kind, uint32(len(in.payload))})
		add := c.plain
		if in.Kind == store.SectionKeys {
			add = c.records
		}
		if err := add(in.payload); err != nil {
			return err
		}
	}
	return c.flush()
}

// chunk takes note of a chunk, and writes it if it is not there.
func (s *saving) chunk(b []byte) error {
	sum := sha256.Sum256(b)
	o, ok := s.have[sum]
	if ok = ok && o.Size == int64(len(b)); !ok {
		o = Object{chunkName(sum, s.m.ID), int64(len(b))}
		s.have[sum] = o
		if err := s.put(o.Name, bytes.Clone(b)); err != nil {
			return err
		}
		s.done.Stored += uint64(len(b))
	} else {
		s.done.Reused++
	}
	s.m.Chunks = append(s.m.Chunks, Chunk{o.Name, len(b)})
	s.done.Chunks++
	if s.o.Progress != nil {
		s.o.Progress(s.done)
	}
	return context.Cause(s.ctx)
}

// put writes a chunk beside others. The first failure ends the backup.
func (s *saving) put(name string, b []byte) error {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		if err := s.a.put(s.ctx, chunkFolder+"/"+name, b); err != nil {
			s.cancel(err)
		}
	})
	return nil
}

// settleLimit is how long may pass between looking for doomed chunks and the manifest.
const settleLimit = 10 * time.Minute

// finish makes it a backup.
func (a *Archive) finish(ctx context.Context, m *Manifest) error {
	asked := a.now()
	if err := a.settle(ctx, m); err != nil {
		return err
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	if err := a.put(ctx, manifestName(m.ID), b); err != nil {
		return err
	}
	missing, err := a.missing(ctx, m)
	if err == nil && missing != "" {
		err = fmt.Errorf("backup: chunk %s is gone: somebody removes chunks otherwise than by prune. Next: run "+
			"it again", missing)
	}
	if took := a.now().Sub(asked); err == nil && took > settleLimit {
		err = fmt.Errorf("backup: writing the manifest took %v: chunks may have been removed meanwhile. Next: "+
			"run it again", took)
	}
	if err != nil {
		return errors.Join(err, a.remove(context.WithoutCancel(ctx), manifestName(m.ID)))
	}
	return nil
}

// settle writes chunks anew that were doomed since this backup began.
func (a *Archive) settle(ctx context.Context, m *Manifest) error {
	doomed, err := a.doomed(ctx)
	if err != nil {
		return err
	}
	renamed := map[string]string{}
	for i := range m.Chunks {
		c := &m.Chunks[i]
		if !doomed[c.Name] {
			continue
		}
		if renamed[c.Name] == "" {
			b, err := a.fetch(ctx, *c)
			if err != nil {
				return err
			}
			renamed[c.Name] = chunkName(sha256.Sum256(b), newID(a.now()))
			if err := a.put(ctx, chunkFolder+"/"+renamed[c.Name], b); err != nil {
				return err
			}
		}
		c.Name = renamed[c.Name]
	}
	return nil
}

// missing is the name of a chunk that a manifest mentions and that is not there, or "".
func (a *Archive) missing(ctx context.Context, m *Manifest) (string, error) {
	objects, err := a.list(ctx, chunkFolder)
	if err != nil {
		return "", err
	}
	there := make(map[Object]bool, len(objects))
	for _, o := range objects {
		there[o] = true
	}
	for _, c := range m.Chunks {
		if !there[Object{c.Name, int64(c.Bytes)}] {
			return c.Name, nil
		}
	}
	return "", nil
}
