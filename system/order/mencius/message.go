package mencius

import (
	"fmt"
	"strings"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

type entry = slots.Entry

// kind says what a message is.
type kind uint8

const (
	kindAccept    kind = iota + 1 // phase 2a; nothing, from a slot's owner in ballot 0, is a skip
	kindAccepted                  // phase 2b: the evidence of holding
	kindDecided                   // what a quorum accepted in a ballot
	kindHeartbeat                 // how far all is decided here, and the highest slot that is used
	kindAsk                       // what follows?
	kindLearn                     // the answer: what is decided
	kindPrepare                   // phase 1a of a revocation
	kindPromise                   // phase 1b: what was accepted, with the ballots
	kindRefusal                   // a higher ballot was promised; the owner may go on behind end
	kindDurable                   // to oneself: what was written is durable
	kindEnd
)

var kindNames = [kindEnd]string{"none", "Accept", "Accepted", "Decided", "Heartbeat", "Ask", "Learn",
	"Prepare", "Promise", "Refusal", "Durable"}

// message is all kinds of message at once. What a kind does not use is 0.
type message struct {
	kind    kind
	ballot  uint64
	commit  uint64 // every slot up to here is decided; durably so, in a heartbeat
	end     uint64 // the highest slot known to be used; Prepare: the last; Refusal: the last refused
	owners  uint32 // Prepare: whose slots, by index
	slots   []uint64
	entries []entry // Accept, Learn, Promise
}

// Two ballots have a meaning of their own.
const (
	first   = 1               // of a slot's owner, who needs no promise
	decided = slots.MaxNumber // of a value that is known to be decided: higher than any
)

func (m *message) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 32+slots.Size(m.entries)+8*len(m.slots))}
	w.U8(uint8(m.kind))
	w.U64(m.ballot)
	w.U64(m.commit)
	w.U64(m.end)
	w.U32(m.owners)
	w.U32(uint32(len(m.slots)))
	for _, s := range m.slots {
		w.U64(s)
	}
	slots.AppendEntries(&w, m.entries, true)
	return w.B
}

// decode reads a message; what it returns shares no memory with b.
func decode(b []byte) (m message, err error) {
	r := wire.NewReader(b)
	m.kind, m.ballot, m.commit, m.end, m.owners = kind(r.U8()), r.U64(), r.U64(), r.U64(), r.U32()
	for n := r.U32(); n > 0 && r.OK(); n-- {
		m.slots = append(m.slots, r.U64())
	}
	m.entries = slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || m.kind == 0 || m.kind >= kindDurable {
		return m, fmt.Errorf("%w message of %d bytes", order.ErrMalformed, len(b))
	}
	return m, m.check()
}

func (m *message) check() error {
	bad := func(why string) error {
		return fmt.Errorf("%w message %s: %s", order.ErrMalformed, kindNames[m.kind], why)
	}
	if max(m.ballot, m.commit, m.end) > slots.MaxNumber {
		return bad("a number out of bounds")
	}
	last := uint64(0)
	for _, n := range m.slots {
		if n <= last || n > slots.MaxNumber {
			return bad("its slots are out of order")
		}
		last = n
	}
	for i := range m.entries {
		if m.kind == kindAccept && m.entries[i].Ballot != m.ballot {
			return bad("an entry of another ballot")
		}
	}
	if err := slots.CheckEntries(m.entries, 0, decided); err != nil {
		return bad(err.Error())
	}
	return nil
}

// manySlots is how many are named one by one.
const manySlots = 4

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string {
	m, err := decode(b)
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%s ballot %s", kindNames[m.kind], name(m.ballot))
	switch m.kind {
	case kindHeartbeat, kindAsk:
		s = fmt.Sprintf("%s decided to %d, used to %d", kindNames[m.kind], m.commit, m.end)
	case kindLearn:
		s = fmt.Sprintf("%s decided to %d", kindNames[m.kind], m.commit)
	case kindPrepare:
		s += fmt.Sprintf(" slots %d to %d of owners %b", m.commit+1, m.end, m.owners)
	case kindRefusal:
		s += fmt.Sprintf(" to %d", m.end)
	}
	if n := len(m.slots); n > manySlots {
		s += fmt.Sprintf(" %d slots from %d to %d", n, m.slots[0], m.slots[n-1])
	} else if n > 0 {
		s += " slots " + strings.Trim(fmt.Sprint(m.slots), "[]")
	}
	for i := range m.entries {
		if i == manySlots {
			return s + fmt.Sprintf(" and %d more, to %d", len(m.entries)-i, m.entries[len(m.entries)-1].Slot)
		}
		s += describeEntry(&m, &m.entries[i])
	}
	return s
}

func describeEntry(m *message, e *entry) string {
	what := fmt.Sprintf("%d bytes", len(e.Decision))
	if len(e.Decision) == 0 {
		what = "nothing"
	}
	if e.Ballot == m.ballot {
		return fmt.Sprintf(" [%d: %s]", e.Slot, what)
	}
	return fmt.Sprintf(" [%d of %s: %s]", e.Slot, name(e.Ballot), what)
}

// name is how people see a ballot: round and whose.
func name(ballot uint64) string {
	switch ballot {
	case first:
		return "0"
	case decided:
		return "decided"
	}
	return slots.Name(ballot)
}

// Said is what a message tells others of its sender's stable storage ([order.Said]): which slots it
// accepted. Ballots are of slots, and have no order among each other.
func Said(b []byte) (s order.Said) {
	m, err := decode(b)
	if err != nil {
		return s
	}
	switch m.kind {
	case kindHeartbeat:
		s.Alive = true
	case kindAccepted:
		if n := len(m.slots); n > 0 {
			s.Term, s.Position = resting, m.slots[n-1]
		}
	}
	return s
}
