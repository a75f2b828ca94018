package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// kind is what a frame on the connection is; doc.go lists them.
type kind uint32

const (
	kindUrgent kind = iota
	kindPart
	kindLast
	kindPing
	kindPong
	kindBye
	kindHello
)

const (
	headerBytes = 4
	pingBytes   = 8
	partBytes   = 16<<10 - headerBytes // with its header, one TLS record
	maxReason   = 1 << 10
)

// errProtocol is the end of a connection whose other side does not speak this package's language.
var errProtocol = errors.New("protocol violated")

// appendHeader adds the four bytes before a frame's content.
func appendHeader(dst []byte, k kind, length int) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(k)<<lengthBits|uint32(length))
}

func parseHeader(b []byte) (k kind, length int) {
	v := binary.LittleEndian.Uint32(b)
	return kind(v >> lengthBits), int(v & maxMaxMessage)
}

// writeFrame sends one frame outside the queues, during the handshake.
func writeFrame(w io.Writer, k kind, content []byte) error {
	_, err := w.Write(append(appendHeader(nil, k, len(content)), content...))
	return err
}

// readFrame receives one frame outside the reader, during the handshake; nothing after it is
// consumed.
func readFrame(r io.Reader, most int) (k kind, content []byte, err error) {
	var head [headerBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	k, length := parseHeader(head[:])
	if length > most {
		return 0, nil, fmt.Errorf("%w: %d bytes during the handshake", errProtocol, length)
	}
	content = make([]byte, length)
	_, err = io.ReadFull(r, content)
	return k, content, err
}

// splitter cuts what a connection delivers into frames. It holds at most one frame of at most the
// largest length, and grows only as bytes arrive, whatever a header announces.
type splitter struct {
	buf        []byte
	head, tail int // buf[head:tail] is unread
	most       int // longest content allowed
}

const (
	readBytes = 64 << 10 // room that a read is offered
	keepBytes = 4 << 20  // an empty buffer larger than this is given back
)

// room is where the next read shall put its bytes: at least a TLS record's worth.
func (s *splitter) room() []byte {
	if s.head == s.tail {
		s.head, s.tail = 0, 0
		if len(s.buf) > keepBytes {
			s.buf = nil
		}
	}
	if len(s.buf)-s.tail < 16<<10 {
		s.makeRoom()
	}
	return s.buf[s.tail:]
}

func (s *splitter) makeRoom() {
	held := s.tail - s.head
	to := s.buf
	if held > len(s.buf)/2 || len(s.buf) == 0 {
		to = make([]byte, max(readBytes, 2*len(s.buf)))
	}
	copy(to, s.buf[s.head:s.tail])
	s.buf, s.head, s.tail = to, 0, held
}

// next is the next whole frame; ok is false if more must be read. The content is valid until room
// is called.
func (s *splitter) next() (k kind, content []byte, ok bool, err error) {
	b := s.buf[s.head:s.tail]
	if len(b) < headerBytes {
		return 0, nil, false, nil
	}
	k, length := parseHeader(b)
	if length > s.most {
		return 0, nil, false, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed", errProtocol,
			length, s.most)
	}
	if len(b) < headerBytes+length {
		return 0, nil, false, nil
	}
	s.head += headerBytes + length
	return k, b[headerBytes : headerBytes+length], true, nil
}
