package store

import "metronome/system/wire"

// A multi is atomic by position: its operations share one index and are dealt out to the parts like
// any others; each part executes what it has of them between what came before and what comes after
// (R27). None depends on another's outcome, so no part waits for another.

// classifyMulti says whether a multi only reads and whether it is well-formed: 1 to MaxMulti whole
// puts, gets and deletes without sessions.
func classifyMulti(b []byte) (reads, ok bool) {
	var it wire.Item
	reads = true
	for count := 1; len(b) > 0; count++ {
		n, ok := wire.DecodeItem(b, &it)
		if !ok || it.HasSession || it.Fragment || count > wire.MaxMulti {
			return false, false
		}
		switch it.Op {
		case wire.OpGet:
		case wire.OpPut, wire.OpDelete:
			reads = false
		default:
			return false, false
		}
		b = b[n:]
	}
	return reads, true
}

func (s *Store) dealMulti(b []byte, answer int) {
	m := multi{answer: answer, from: len(s.subs)}
	var it wire.Item
	for len(b) > 0 {
		n, _ := wire.DecodeItem(b, &it)
		s.subs = append(s.subs, wire.Result{})
		s.dealOp(&it, -1, len(s.subs)-1)
		b = b[n:]
	}
	m.to = len(s.subs)
	s.multis = append(s.multis, m)
}

// assemble completes the answers that several parts contributed to.
func (s *Store) assemble() {
	for _, m := range s.multis {
		s.assembleMulti(&m)
	}
	for i := range s.gathers {
		s.assembleGather(i)
	}
}

// assembleMulti concatenates results. One whose value would exceed the bound of a reply loses it and
// says StatusTooLong, though a write was executed: it can only be one that asked for a value.
func (s *Store) assembleMulti(m *multi) {
	from, fine := len(s.whole), int64(0)
	for i := m.from; i < m.to; i++ {
		r := &s.subs[i]
		if len(r.Value) > 0 && len(s.whole)-from+len(r.Value) > s.cfg.MaxReplyBytes {
			*r = wire.Result{Status: wire.StatusTooLong, Existed: r.Existed, Revision: r.Revision}
		}
		if r.Status == wire.StatusOK {
			fine++
		}
		s.whole = wire.AppendResult(s.whole, r)
	}
	s.answers[m.answer].Result = wire.Result{Number: fine, Value: s.whole[from:len(s.whole):len(s.whole)]}
}
