package store

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// maxRead bounds the items of one payload that Read looks at.
const maxRead = 4096

// Read answers payloads of encoded items that only read, at the present state, for barrier and labelled
// reads (R26): an answer an item, in their order. Span is the payload's place, Number the item's in it,
// Index the present index; an item that writes, or says nothing the store knows, is answered
// StatusMalformed. What cannot be decoded ends its payload, and so do 4096 items: there are no answers
// to the rest. Sessions are not consulted. Answers are valid until the next Read, Prepare or Apply; the
// values may lie in the store itself. Call it between Applys.
//
// All payloads are read together, so that the misses of their keys overlap, as those of a batch do.
func (s *Store) Read(payloads [][]byte) []Answer {
	s.reset()
	for i, b := range payloads {
		s.payloads = append(s.payloads, b)
		for at, n := 0, 0; at < len(b) && n < maxRead; n++ {
			size := s.readItem(b, at, i, n)
			if size == 0 {
				break
			}
			at += size
		}
	}
	for i := range s.parts {
		s.parts[i].perform(s) // and no cleaning, which would move values
	}
	s.assemble()
	return s.answers
}

// readItem deals out the item at the given place, and returns its bytes; 0 if there is none.
func (s *Store) readItem(b []byte, at, payload, number int) int {
	if plain(b, at) && wire.Op(b[at]) == wire.OpGet {
		key := int(binary.LittleEndian.Uint16(b[at+2:]))
		at += wire.ItemHeader
		t := task{hash: xxh3.HashSeed(b[at:at+key], s.cfg.Seed), offset: uint32(at), payload: uint32(payload),
			aux: uint32(len(s.answers)), key: uint16(key), kind: taskRead}
		s.answers = append(s.answers, Answer{Span: payload, Number: uint64(number), Index: s.index})
		p := s.partOf(t.hash)
		p.tasks = append(p.tasks, t)
		return wire.ItemHeader + key
	}
	var it wire.Item
	n, ok := wire.DecodeItem(b[at:], &it)
	if !ok {
		return 0
	}
	s.answers = append(s.answers, Answer{Span: payload, Number: uint64(number), Index: s.index})
	answer := len(s.answers) - 1
	if reads, ok := classify(&it); reads && ok && !it.Fragment {
		s.deal(&it, answer)
	} else {
		s.answers[answer].Result.Status = wire.StatusMalformed
	}
	return n
}
