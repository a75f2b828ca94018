package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// ErrCorrupt is returned for a snapshot whose bytes are not what a store wrote: fetch it again, from
// another replica if it happens twice.
var ErrCorrupt = errors.New("store: snapshot is damaged")

// ErrConfig is returned for a snapshot made under other replicated settings: all replicas of a cluster
// must have the same [Config], but for Parts.
var ErrConfig = errors.New("store: snapshot was made under another configuration")

// Restore makes a store from a snapshot's bytes, divided in any way. It checks everything: sums, order,
// bounds, and at the end that the state hash is the one the snapshot was taken at.
func Restore(cfg Config, stream [][]byte) (*Store, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	r := restorer{s: s, in: reader{parts: stream}}
	for !r.ended {
		if err := r.section(); err != nil {
			return nil, err
		}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return s, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

type restorer struct {
	s       *Store
	in      reader
	is      Sections
	ended   bool
	says    Header
	last    uint64 // hash of the last key
	lastKey []byte
	payload []byte // of the present section, as yet unread
}

// reader yields the stream in pieces of any length.
type reader struct {
	parts [][]byte
	join  []byte
}

// take returns the next n bytes, or nil if there are not so many. They are valid until the next call.
func (r *reader) take(n int) []byte {
	r.join = r.join[:0]
	for len(r.parts) > 0 {
		b := r.parts[0]
		m := min(n-len(r.join), len(b))
		if len(r.join) == 0 && m == n {
			r.parts[0] = b[m:]
			return b[:m:m]
		}
		r.join = append(r.join, b[:m]...)
		if r.parts[0] = b[m:]; len(r.join) == n {
			return r.join
		}
		r.parts = r.parts[1:]
	}
	if n == 0 {
		return r.join
	}
	return nil
}

// maxSection is the longest payload a store writes: full but for a byte, then the largest thing.
func (c *Config) maxSection() int {
	session := 40 + c.SessionWindow*(8+32) + c.MaxResultBytes
	return sectionBytes + max(recordFixed+wire.MaxKey+wire.MaxValue, session)
}

func (r *restorer) section() error {
	head := r.in.take(SectionHead)
	if head == nil {
		return damaged("it ends after %d sections, before its end", r.is.Number)
	}
	n, err := r.is.Begin(head, r.s.cfg.maxSection())
	if err != nil {
		return err
	}
	if r.payload = r.in.take(n); r.payload == nil {
		return damaged("section %d is cut off", r.is.Number)
	}
	if err := r.is.Check(r.payload); err != nil {
		return err
	}
	return r.read()
}

func (r *restorer) read() error {
	switch r.is.Kind {
	case SectionHeader:
		return r.header()
	case SectionSessions:
		return r.each(r.session)
	case SectionKeys:
		return r.each(r.record)
	case SectionEnd:
		r.ended = true
		if len(r.payload) > 0 {
			return damaged("its end has %d bytes", len(r.payload))
		}
		return nil
	}
	return damaged("section %d is of unknown kind %d", r.is.Number-1, r.is.Kind)
}

func (r *restorer) each(read func() error) error {
	for len(r.payload) > 0 {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// bytes takes n bytes of the section, or none if there are not so many.
func (r *restorer) bytes(n uint64) []byte {
	if n > uint64(len(r.payload)) {
		return nil
	}
	b := r.payload[:n:n]
	r.payload = r.payload[n:]
	return b
}

// words takes numbers of 8 bytes; ok is false if there are not so many.
func (r *restorer) words(to ...*uint64) (ok bool) {
	b := r.bytes(uint64(len(to) * 8))
	if b == nil {
		return false
	}
	for i := range to {
		*to[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return true
}

func (r *restorer) header() (err error) {
	s, payload := r.s, r.payload
	for i, want := range s.cfg.identity() {
		var got uint64
		switch ok := r.words(&got); {
		case !ok || i == 0 && got != want:
			return damaged("it does not begin as a snapshot does")
		case i == 1 && got != want:
			return fmt.Errorf("store: snapshot of version %d, this build reads %d: use a build that reads it",
				got, want)
		case got != want:
			return fmt.Errorf("%w: setting %d is %d here and %d there", ErrConfig, i, want, got)
		}
	}
	r.says, err = ReadHeader(payload)
	s.index, s.time = r.says.Index, r.says.Time
	return err
}

func (r *restorer) record() error {
	le := binary.LittleEndian
	head := r.bytes(recordFixed)
	if head == nil {
		return damaged("a key is cut off")
	}
	value, key, revision := le.Uint32(head), le.Uint16(head[4:]), le.Uint64(head[6:])
	if key < 1 || key > wire.MaxKey || value > wire.MaxValue || revision < 1 || revision > r.s.index {
		return damaged("a key of %d bytes, value of %d, at revision %d of %d", key, value, revision, r.s.index)
	}
	k, v := r.bytes(uint64(key)), r.bytes(uint64(value))
	if k == nil || v == nil {
		return damaged("a key is cut off")
	}
	hash := xxh3.HashSeed(k, r.s.cfg.Seed)
	if r.lastKey != nil && (hash < r.last || hash == r.last && bytes.Compare(k, r.lastKey) <= 0) {
		return damaged("keys are out of order")
	}
	r.last, r.lastKey = hash, append(r.lastKey[:0], k...)
	p := r.s.partOf(hash)
	p.insert(p.slot(hash), hash, k, v, revision, false)
	return nil
}

func (r *restorer) session() error {
	t := &r.s.table
	var id, low, used, time, count uint64
	if !r.words(&id, &low, &used, &time, &count) {
		return damaged("a session is cut off")
	}
	newer := t.newest == nil || time >= t.newest.time &&
		(used > t.newest.used || used == t.newest.used && id > t.newest.id)
	if id < 1 || id > used || used > r.s.index || low < 1 || time > r.s.time || t.byID[id] != nil ||
		len(t.byID) == t.cfg.MaxSessions || !newer {
		return damaged("session %d last used at index %d", id, used)
	}
	t.open(id, time)
	s := t.byID[id]
	t.mark(s, used, time, low)
	s.floor = low
	for ; count > 0; count-- {
		if err := r.result(s); err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) result(s *session) error {
	t := &r.s.table
	var e executed
	if !r.words(&e.number) {
		return damaged("session %d is cut off", s.id)
	}
	n, ok := wire.DecodeResult(r.payload, &e.result)
	if !ok || e.number < s.low || e.number-s.low >= uint64(t.cfg.SessionWindow) || s.has(e.number) ||
		s.bytes+len(e.result.Value) > t.cfg.MaxResultBytes {
		return damaged("number %d of session %d", e.number, s.id)
	}
	r.bytes(uint64(n))
	e.result.Value = slices.Clone(e.result.Value)
	s.executed.reach(s.low, e.number, itself)
	*s.executed.at(e.number) = e.number
	s.results.reach(s.floor, e.number, numberOf)
	*s.results.at(e.number) = e
	s.bytes += len(e.result.Value)
	t.count(s, e.term(s.id))
	return nil
}

func (r *restorer) check() error {
	s := r.s
	for _, rest := range r.in.parts {
		if len(rest) > 0 {
			return damaged("it goes on after its end")
		}
	}
	if uint64(s.Len()) != r.says.Keys || uint64(len(s.table.byID)) != r.says.Sessions {
		return damaged("%d keys and %d sessions of %d and %d", s.Len(), len(s.table.byID), r.says.Keys,
			r.says.Sessions)
	}
	if h := s.Hash(); h != r.says.Hash {
		return damaged("state hash %016x, its header says %016x", h, r.says.Hash)
	}
	return nil
}
