package store

import (
	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// Read answers items that only read, at the present state, for barrier and labelled reads (R26). It
// appends an answer an item to dst: Number is the item's place in items, Index the present index; an
// item that writes, or is malformed, is answered StatusMalformed. Sessions are not consulted. Values are
// valid until the next Read or Prepare. Call it between Applys.
func (s *Store) Read(items []wire.Item, dst []Answer) []Answer {
	s.reset()
	for i := range items {
		it := &items[i]
		s.answers = append(s.answers, Answer{Number: uint64(i), Index: s.index})
		reads, ok := classify(it)
		switch {
		case !reads || !ok || it.Fragment:
			s.answers[i].Result.Status = wire.StatusMalformed
		case it.Op == wire.OpGet:
			hash := xxh3.HashSeed(it.Key, s.cfg.Seed)
			s.partOf(hash).execute(it, hash, 0, &s.answers[i].Result)
		default:
			s.deal(it, i)
		}
	}
	for i := range s.parts {
		s.parts[i].run(s)
	}
	s.assemble()
	return append(dst, s.answers...)
}
