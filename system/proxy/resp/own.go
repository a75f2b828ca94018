package resp

import "metronome/system/wire"

// The commands that Redis does not have.

func (s *stage) mtGet(args [][]byte) {
	if s.keyOK(args[1]) {
		s.submit(replyGet, wire.Item{Op: wire.OpGet, Key: args[1]})
	}
}

// mtCAS is MT.CAS key revision value [GET].
func (s *stage) mtCAS(args [][]byte) {
	expect, ok := natural(args[2])
	switch {
	case !ok:
		s.fail("ERR revision is not an integer: 0 = absent, else what MT.GET or MT.CAS answered")
	case len(args) > 5 || len(args) == 5 && !is(args[4], "GET"):
		s.fail(textSyntax)
	case s.keyOK(args[1]):
		item := wire.Item{Op: wire.OpCAS, Key: args[1], Value: args[3], Expect: expect, Previous: len(args) == 5}
		s.submit(pick(item.Previous, replyCASGet, replyCAS), item)
	}
}

func (s *stage) mtSession(args [][]byte) {
	if !is(args[1], "OPEN") {
		s.fail("ERR MT.SESSION takes OPEN; a session ends by itself when it is not used")
		return
	}
	s.submit(replyNumber, wire.Item{Op: wire.OpSession})
}

// mtDo is MT.DO session number low command…: the command is executed at most once under that
// number, whichever proxy it reaches and however often (R24).
func (s *stage) mtDo(args [][]byte) {
	session, ok1 := natural(args[1])
	number, ok2 := natural(args[2])
	low, ok3 := natural(args[3])
	if !ok1 || !ok2 || !ok3 || session == 0 || number == 0 || low > number {
		s.fail("ERR MT.DO takes session, number and low mark: integers, 1 <= number, low <= number")
		return
	}
	before := len(s.ops)
	if s.inner(args[4:], write, "MT.DO wraps a write") && len(s.ops) > before {
		item := &s.ops[before].Item
		item.HasSession, item.Session, item.Number, item.Low = true, session, number, low
	}
}

// inner runs a command that another one wraps, if it is of that kind.
func (s *stage) inner(args [][]byte, kind commandFlags, want string) bool {
	c := s.index.find(args[0])
	switch {
	case c == nil || c.flags&kind == 0:
		s.fail("ERR " + want + ", not '" + clip(args[0], 128) + "'")
	case !c.takes(len(args)):
		s.wrongArity(c.name)
	default:
		c.run(s, args)
		return true
	}
	return false
}

// mtRead is MT.READ BARRIER|ITEM command….
func (s *stage) mtRead(args [][]byte) {
	byBarrier, ok := readsBy(args[1])
	if !ok {
		s.fail("ERR MT.READ takes BARRIER or ITEM")
		return
	}
	s.flags &^= barrier
	if byBarrier {
		s.flags |= barrier
	}
	s.inner(args[2:], read, "MT.READ wraps a read")
}

// mtReads is MT.READS BARRIER|ITEM: how this connection reads from now on.
func (s *stage) mtReads(args [][]byte) {
	byBarrier, ok := readsBy(args[1])
	if !ok {
		s.fail("ERR MT.READS takes BARRIER or ITEM")
		return
	}
	s.barrierReads = byBarrier
	s.simple("OK")
}

func readsBy(word []byte) (byBarrier, ok bool) {
	byBarrier = is(word, "BARRIER")
	return byBarrier, byBarrier || is(word, "ITEM")
}
