package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// The store's stream is a sequence of sections, each a head and a payload; system/store/snapshot.go
// defines it, and TestSectionsAreTheStores holds both together. The head is length (4 bytes), kind
// (4) and XXH3-64 of the payload seeded with kind and number (8).
const (
	sectionHead   = 16
	sectionHeader = 1 // first: what the store was made with, and the sums of what follows
	sectionKeys   = 3
	sectionEnd    = 4 // last

	maxSection = 64 << 20
)

// putHead is the head of a section.
func putHead(dst []byte, payload []byte, kind uint32, number int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, kind)
	return binary.LittleEndian.AppendUint64(dst, xxh3.HashSeed(payload, uint64(kind)<<32|uint64(number)))
}

// sectionReader takes sections off a stream.
type sectionReader struct {
	from    io.Reader
	number  int
	kind    uint32
	payload []byte // of the latest section, valid until the next
	head    [sectionHead]byte
}

// next reads a section and checks its sum. The end is io.EOF, after a section that says so.
func (s *sectionReader) next() error {
	if s.kind == sectionEnd {
		return s.end()
	}
	if _, err := io.ReadFull(s.from, s.head[:]); err != nil {
		return s.cut(err)
	}
	n, kind := binary.LittleEndian.Uint32(s.head[:]), binary.LittleEndian.Uint32(s.head[4:])
	if n > maxSection || kind < max(s.kind, 1) || kind > sectionEnd ||
		(kind == sectionHeader) != (s.number == 0) {
		return fmt.Errorf("section %d of kind %d claims %d bytes: %w", s.number, kind, n, ErrDamaged)
	}
	if cap(s.payload) < int(n) {
		s.payload = make([]byte, n)
	}
	s.payload = s.payload[:n]
	if _, err := io.ReadFull(s.from, s.payload); err != nil {
		return s.cut(err)
	}
	var want [sectionHead]byte
	if putHead(want[:0], s.payload, kind, s.number); want != s.head {
		return fmt.Errorf("section %d does not match its sum: %w", s.number, ErrDamaged)
	}
	s.number, s.kind = s.number+1, kind
	return nil
}

func (s *sectionReader) end() error {
	var b [1]byte
	switch _, err := io.ReadFull(s.from, b[:]); {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return err
	}
	return fmt.Errorf("it goes on after its end: %w", ErrDamaged)
}

func (s *sectionReader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends in section %d: %w", s.number, io.ErrUnexpectedEOF)
	}
	return err
}

// storeHeader is what of the first section a manifest repeats.
type storeHeader struct{ index, keys, sessions, hash uint64 }

// The words of the first section: nine of identity, then these.
const (
	wordIndex    = 9
	wordKeys     = 11
	wordSessions = 12
	wordHash     = 13
	headerWords  = 14
)

func readStoreHeader(payload []byte) (h storeHeader, err error) {
	if len(payload) != 8*headerWords {
		return h, fmt.Errorf("its header has %d bytes, not %d: %w", len(payload), 8*headerWords, ErrDamaged)
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(payload[8*i:]) }
	return storeHeader{word(wordIndex), word(wordKeys), word(wordSessions), word(wordHash)}, nil
}
