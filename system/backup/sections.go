package backup

import (
	"errors"
	"fmt"
	"io"

	"metronome/system/store"
)

// maxSection bounds what a damaged head can claim: a store writes far less.
const maxSection = 64 << 20

// sectionReader takes the sections of a store's stream off a reader.
type sectionReader struct {
	store.Sections

	from    io.Reader
	payload []byte // of the latest section, valid until the next
	head    [store.SectionHead]byte
}

// next reads a section and checks its sum. The end is io.EOF, after a section that says so.
func (s *sectionReader) next() error {
	if s.Kind == store.SectionEnd {
		return s.end()
	}
	if _, err := io.ReadFull(s.from, s.head[:]); err != nil {
		return s.cut(err)
	}
	n, err := s.Begin(s.head[:], maxSection)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	if cap(s.payload) < n {
		s.payload = make([]byte, n)
	}
	s.payload = s.payload[:n]
	if _, err := io.ReadFull(s.from, s.payload); err != nil {
		return s.cut(err)
	}
	if err := s.Check(s.payload); err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
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
		return fmt.Errorf("it ends in section %d: %w", s.Number, io.ErrUnexpectedEOF)
	}
	return err
}
