package rabia

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
	kindSay     kind = iota + 1 // everything that the sender said in a slot so far: proposal, states, votes
	kindRequest                 // a value that the sender wants to be decided
	kindBeat                    // how far all is decided here, and how far that is held and durable
	kindAsk                     // what was decided from a slot on?
	kindLearn                   // the answer
	kindRead                    // in which slot did you vote last?
	kindVoted                   // the answer
	kindDurable                 // to oneself: what was written is durable
	kindEnd
)

var kindNames = [kindEnd]string{"none", "Say", "Request", "Beat", "Ask", "Learn", "Read", "Voted", "Durable"}

// opinion is of one bit: a state is zero or one, a vote may be unsure as well.
type opinion uint8

const (
	none   opinion = iota // nothing said yet
	zero                  // nothing is decided
	one                   // the value that a majority proposed
	unsure                // the paper's "?"
)

var opinionNames = [4]string{"none", "0", "1", "?"}

// step is what a member said in one phase.
type step struct{ state, vote opinion }

// rank orders what one member said in one slot by time: each message repeats all before it.
func rank(steps []step) int {
	n := 2 * len(steps)
	if n > 0 && steps[len(steps)-1].vote == none {
		n--
	}
	return n
}

// message is all kinds of message at once. What a kind does not use is empty.
type message struct {
	kind   kind
	again  bool   // Say: a repetition, so that whoever knows more answers
	slot   uint64 // Ask: from; Beat: all up to here is decided; Voted: the answer
	number uint64 // Beat: all up to here is held and durable; Read, Voted: of the question

	proposal, value []byte // Say: own proposal; what a majority proposed, if it is known. Request: proposal
	steps           []step
	entries         []entry // Learn
}

// maxPhases bounds what comes in: no slot gets that far.
const maxPhases = 1 << 12

func packed(steps []step) []byte {
	b := make([]byte, len(steps))
	for i, s := range steps {
		b[i] = byte(s.state | s.vote<<2)
	}
	return b
}

func unpacked(b []byte) (steps []step) {
	for _, v := range b {
		steps = append(steps, step{opinion(v & 3), opinion(v >> 2)})
	}
	return steps
}

func (m *message) encode() []byte {
	size := 40 + len(m.proposal) + len(m.value) + len(m.steps) + slots.Size(m.entries)
	w := wire.Writer{B: make([]byte, 0, size)}
	w.U8(uint8(m.kind))
	flags := uint8(0)
	if m.again {
		flags |= 1
	}
	if same := len(m.value) > 0 && string(m.value) == string(m.proposal); same {
		flags |= 2
	}
	w.U8(flags)
	w.U64(m.slot)
	w.U64(m.number)
	w.Bytes(m.proposal)
	if flags&2 == 0 {
		w.Bytes(m.value)
	}
	w.Bytes(packed(m.steps))
	slots.AppendEntries(&w, m.entries, true)
	return w.B
}

// decode reads a message; what it returns shares no memory with b.
func decode(b []byte) (m message, err error) {
	r := wire.NewReader(b)
	m.kind = kind(r.U8())
	flags := r.U8()
	m.again, m.slot, m.number, m.proposal = flags&1 != 0, r.U64(), r.U64(), slots.Own(&r)
	if m.value = m.proposal; flags&2 == 0 {
		m.value = slots.Own(&r)
	}
	m.steps = unpacked(r.Bytes())
	m.entries = slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || m.kind == 0 || m.kind >= kindDurable || flags > 3 {
		return m, fmt.Errorf("%w message of %d bytes", order.ErrMalformed, len(b))
	}
	return m, m.check()
}

func (m *message) check() error {
	bad := func(why string) error {
		return fmt.Errorf("%w message %s: %s", order.ErrMalformed, kindNames[m.kind], why)
	}
	if m.slot > slots.MaxNumber || m.kind == kindBeat && m.number > m.slot {
		return bad("a number out of bounds")
	}
	if err := checkSteps(m.steps, len(m.value) > 0); err != nil {
		return bad(err.Error())
	}
	if m.kind == kindRequest && len(m.proposal) == 0 {
		return bad("nothing is asked for")
	}
	for _, v := range [2][]byte{m.proposal, m.value} {
		if _, err := order.CutOf(v); err != nil {
			return bad(err.Error())
		}
	}
	if err := slots.CheckEntries(m.entries, 0, term); err != nil {
		return bad(err.Error())
	}
	if !slots.Dense(m.entries) {
		return bad("slots are left out")
	}
	return nil
}

// checkSteps refuses what nobody says: a phase without a state, a vote left out, or 1 without the value.
func checkSteps(steps []step, known bool) error {
	if len(steps) > maxPhases {
		return fmt.Errorf("%w: %d phases", order.ErrMalformed, len(steps))
	}
	for i, s := range steps {
		if s.state == none || s.state == unsure || s.vote > unsure || s.vote == none && i < len(steps)-1 {
			return fmt.Errorf("%w: phase %d", order.ErrMalformed, i+1)
		}
		if (s.state == one || s.vote == one) && !known {
			return fmt.Errorf("%w: 1 of an unknown value", order.ErrMalformed)
		}
	}
	return nil
}

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string {
	m, err := decode(b)
	if err != nil {
		return err.Error()
	}
	switch m.kind {
	case kindSay:
		return describeSay(&m)
	case kindRequest:
		return fmt.Sprintf("Request while in slot %d: %d bytes", m.slot, len(m.proposal))
	case kindBeat:
		return fmt.Sprintf("Beat decided to %d, durable to %d", m.slot, m.number)
	case kindLearn:
		s := "Learn"
		for i := range m.entries {
			s += fmt.Sprintf(" [%d: %d bytes]", m.entries[i].Slot, len(m.entries[i].Decision))
		}
		return s
	case kindRead:
		return "Read"
	}
	return fmt.Sprintf("%s %d", kindNames[m.kind], m.slot)
}

func describeSay(m *message) string {
	s := fmt.Sprintf("Proposal %d: %d bytes", m.slot, len(m.proposal))
	if n := len(m.steps); n > 0 {
		last := m.steps[n-1]
		if s = fmt.Sprintf("State %d phase %d: %s", m.slot, n, opinionNames[last.state]); last.vote != none {
			s = fmt.Sprintf("Vote %d phase %d: %s", m.slot, n, opinionNames[last.vote])
		}
	}
	if m.again {
		return s + ", again"
	}
	return s
}

// Said is what a message tells others of its sender's stable storage ([order.Said]): in which slot it said
// something.
func Said(b []byte) (s order.Said) {
	m, err := decode(b)
	if err != nil {
		return s
	}
	switch m.kind {
	case kindBeat:
		s.Alive = true
	case kindSay:
		s.Term, s.Position = resting, m.slot
	}
	return s
}
