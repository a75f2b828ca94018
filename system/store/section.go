package store

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// A snapshot's stream is a sequence of sections: length of the payload (4 bytes), kind (4), XXH3-64 of the
// payload, seeded with kind and number of the section (8), payload. All little-endian. Kinds do not
// descend; the first section is a header, and only that; the end comes last.
const (
	SectionHead = 16 // bytes before a section's payload

	SectionHeader   = 1 // what the store was made with, and the sums of what follows: see [ReadHeader]
	SectionSessions = 2
	SectionKeys     = 3
	SectionEnd      = 4
)

// AppendSectionHead appends the head of the section of this number, from 0.
func AppendSectionHead(dst, payload []byte, kind uint32, number int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, kind)
	return binary.LittleEndian.AppendUint64(dst, sectionSum(payload, kind, number))
}

func sectionSum(payload []byte, kind uint32, number int) uint64 {
	return xxh3.HashSeed(payload, uint64(kind)<<32|uint64(number))
}

// Sections checks the sections of a stream, wherever they are read from: Begin with the head of each, and
// Check with its payload. Errors wrap [ErrCorrupt].
type Sections struct {
	Number int    // sections that were checked
	Kind   uint32 // of the latest

	kind uint32 // of the one that has begun
	sum  uint64
}

// Begin takes a head of SectionHead bytes, and says how many bytes of payload follow: at most so many.
func (s *Sections) Begin(head []byte, most int) (payload int, err error) {
	le := binary.LittleEndian
	n := le.Uint32(head)
	s.kind, s.sum = le.Uint32(head[4:]), le.Uint64(head[8:])
	switch {
	case uint64(n) > uint64(most):
		return 0, damaged("section %d has %d bytes", s.Number, n)
	case (s.Number == 0) != (s.kind == SectionHeader) || s.kind < s.Kind || s.kind > SectionEnd,
		s.Kind == SectionEnd:
		return 0, damaged("section %d is of kind %d after kind %d", s.Number, s.kind, s.Kind)
	}
	return int(n), nil
}

// Check takes the payload of the section that has begun.
func (s *Sections) Check(payload []byte) error {
	if sectionSum(payload, s.kind, s.Number) != s.sum {
		return damaged("section %d does not match its sum", s.Number)
	}
	s.Number, s.Kind = s.Number+1, s.kind
	return nil
}

// Header is what the first section says of the rest.
type Header struct {
	Index, Time    uint64
	Keys, Sessions uint64 // how many
	Hash           uint64 // of the state
}

// ReadHeader reads the payload of the first section: numbers of 8 bytes that identify the configuration,
// which it passes over, then the Header's.
func ReadHeader(payload []byte) (h Header, err error) {
	to := [...]*uint64{&h.Index, &h.Time, &h.Keys, &h.Sessions, &h.Hash}
	at := len(payload) - 8*len(to)
	if at != 8*len(new(Config).identity()) {
		return h, damaged("its header has the wrong length: %d bytes", len(payload))
	}
	for i := range to {
		*to[i] = binary.LittleEndian.Uint64(payload[at+8*i:])
	}
	return h, nil
}
