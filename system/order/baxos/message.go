package baxos

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

type entry = slots.Entry

// kind says what a message is.
type kind uint8

const (
	kindPrepare  kind = iota + 1 // phase 1a, for one slot
	kindPromise                  // phase 1b: what was accepted there, with the ballot
	kindAccept                   // phase 2a; it prepares the next slot in the same ballot, too
	kindAccepted                 // phase 2b: the evidence of holding
	kindRefusal                  // a higher ballot was promised
	kindDecided                  // what every message says: how far all is decided
	kindBeat                     // the same, now and then, and how far that is durable
	kindAsk                      // what was decided from a slot on?
	kindLearn                    // decided slots
	kindEnd

	// What waits for stable storage and goes to nobody.
	kindReserved // rounds up to slot are this member's
	kindMark     // everything up to slot is durable
)

var kindNames = [...]string{"none", "Prepare", "Promise", "Accept", "Accepted", "Refusal", "Decided", "Beat",
	"Ask", "Learn"}

// message is all kinds of message at once. What a kind does not use is 0.
type message struct {
	kind         kind
	ballot, slot uint64
	// Every slot up to commit is decided, as far as the sender knows, and commit itself with the value
	// that was accepted there in the ballot with.
	commit, with uint64

	granted bool    // Accepted: the next slot is promised to the same ballot, and nothing was accepted in it
	match   uint64  // Beat: every slot up to here is decided, held and durable
	entries []entry // Promise: one or none; Accept: one; Learn
}

// headerBytes is the size of a message without entries, at most.
const headerBytes = 42

func (m *message) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, headerBytes+slots.Size(m.entries))}
	w.U8(uint8(m.kind))
	for _, v := range [...]uint64{m.ballot, m.slot, m.commit, m.with} {
		w.U64(v)
	}
	switch m.kind {
	case kindAccepted:
		w.U8(0)
		if m.granted {
			w.B[len(w.B)-1] = 1
		}
	case kindBeat:
		w.U64(m.match)
	case kindPromise, kindAccept, kindLearn:
		slots.AppendEntries(&w, m.entries, true)
	}
	return w.B
}

// decode reads a message; what it returns shares no memory with b.
func decode(b []byte) (m message, err error) {
	r := wire.NewReader(b)
	m = message{kind: kind(r.U8()), ballot: r.U64(), slot: r.U64(), commit: r.U64(), with: r.U64()}
	switch m.kind {
	case kindAccepted:
		granted := r.U8()
		if m.granted = granted == 1; granted > 1 {
			return m, fmt.Errorf("%w message of %d bytes", order.ErrMalformed, len(b))
		}
	case kindBeat:
		m.match = r.U64()
	case kindPromise, kindAccept, kindLearn:
		m.entries = slots.ReadEntries(&r, true, 0, 0)
	}
	if !r.Done() || m.kind == 0 || m.kind >= kindEnd {
		return m, fmt.Errorf("%w message of %d bytes", order.ErrMalformed, len(b))
	}
	return m, m.check()
}

func (m *message) check() error {
	bad := func(why string) error {
		return fmt.Errorf("%w message %s: %s", order.ErrMalformed, kindNames[m.kind], why)
	}
	if max(m.ballot, m.slot, m.commit, m.with, m.match) > slots.MaxNumber {
		return bad("a number out of bounds")
	}
	about := m.kind <= kindRefusal
	if about && (m.slot == 0 || slots.Round(m.ballot) == 0) {
		return bad("no slot, or no ballot")
	}
	if m.kind == kindAccept && (len(m.entries) != 1 || m.entries[0].Ballot != m.ballot) ||
		m.kind == kindPromise && len(m.entries) > 1 {
		return bad("it has not the entries of its kind")
	}
	for i := range m.entries {
		e := &m.entries[i]
		if slots.Round(e.Ballot) == 0 || about && (e.Slot != m.slot || e.Ballot > m.ballot) {
			return bad("its entry is of another slot or ballot")
		}
	}
	if err := slots.CheckEntries(m.entries, 0, slots.MaxNumber-1); err != nil {
		return bad(err.Error())
	}
	if !slots.Dense(m.entries) {
		return bad("slots are left out")
	}
	return nil
}

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string {
	m, err := decode(b)
	if err != nil {
		return err.Error()
	}
	s := kindNames[m.kind]
	if m.kind <= kindRefusal {
		s += fmt.Sprintf(" %d in %s", m.slot, slots.Name(m.ballot))
	}
	switch m.kind {
	case kindAccepted:
		if m.granted {
			s += ", and promised the next"
		}
	case kindAsk:
		s += fmt.Sprintf(" from %d", m.slot)
	case kindBeat:
		s += fmt.Sprintf(" durable %d", m.match)
	case kindPromise, kindAccept, kindLearn:
		for i := range m.entries {
			s += m.entries[i].Describe()
		}
	}
	return s + fmt.Sprintf("; decided %d", m.commit)
}

// Said is what a message tells others of its sender's stable storage ([order.Said]). Ballots are of
// single slots: the term that it speaks of is the round, which Status.Term is never below.
func Said(b []byte) (s order.Said) {
	m, err := decode(b)
	if err != nil {
		return s
	}
	switch m.kind {
	case kindBeat:
		s.Alive = true
	case kindPromise:
		s.Term = m.ballot &^ 0xff
	case kindAccepted:
		s.Term, s.Position = m.ballot&^0xff, m.slot
	}
	return s
}
