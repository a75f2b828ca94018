package paxos

import (
	"fmt"
	"strings"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// Kind says what a message is.
type Kind uint8

// What every protocol says. Its own kinds are Own and what follows, in the order of [Dialect.Own].
const (
	Accept    Kind = iota + 1 // phase 2a: slots that follow each other
	Accepted                  // phase 2b: the evidence of holding
	Heartbeat                 // the leader is there; what is decided
	Alive                     // the answer: what came, not what was accepted
	Decided                   // what is decided; no answer
	Refusal                   // a higher ballot was promised, or the asker is behind
	TakeOver                  // campaign now
	Read                      // a follower's read
	ReadAt                    // its position
	Own
)

// Content is what a kind of message carries beside ballot and commit.
type Content uint8

// What a protocol's own kinds may carry.
const (
	Nothing     Content = iota
	Grant               // yes or no
	Found               // a promise: what was accepted beyond what is decided
	FoundBeyond         // a promise: what was accepted beyond a slot that it names

	values
	evidence
	beat
	coming
	readNumber
)

// Form is what a kind of message is called, and carries.
type Form struct {
	Name    string
	Carries Content
}

var forms = [Own - 1]Form{{"Accept", values}, {"Accepted", evidence}, {"Heartbeat", beat},
	{"Alive", coming}, {"Decided", Nothing}, {"Refusal", Nothing}, {"TakeOver", Nothing},
	{"Read", readNumber}, {"ReadAt", readNumber}}

// Dialect is an algorithm's messages and records. On the wire its own kinds are numbered first, from 1,
// and those that all have behind them.
type Dialect struct {
	Name   string
	Format byte   // first byte of a record; another one is another layout, or another algorithm
	Own    []Form // at most 200
}

func (d *Dialect) number(k Kind) uint8 {
	if k >= Own {
		return uint8(k-Own) + 1
	}
	return uint8(k) + uint8(len(d.Own))
}

// kind is 0 where there is none.
func (d *Dialect) kind(number uint8) Kind {
	own := uint8(len(d.Own))
	switch {
	case number == 0 || number >= own+uint8(Own):
		return 0
	case number <= own:
		return Own + Kind(number-1)
	}
	return Kind(number - own)
}

func (d *Dialect) form(k Kind) Form {
	switch {
	case k == 0:
		return Form{}
	case k >= Own:
		return d.Own[k-Own]
	}
	return forms[k-1]
}

// Message is all kinds of message at once. What a kind does not use is 0 and is not carried.
type Message struct {
	Kind   Kind
	Ballot uint64
	Commit uint64 // every slot up to here is decided, as far as the sender knows

	Granted bool          // Grant
	Match   uint64        // Accepted: every slot up to here; Heartbeat: as the leader knows it
	Have    uint64        // Alive: everything up to here came; FoundBeyond: it tells what was accepted beyond
	End     uint64        // Heartbeat, Alive: what was sent before the heartbeat
	Read    uint64        // Heartbeat, Alive: a confirmation; Read, ReadAt: the asker's number
	Slots   []uint64      // Accepted: further slots, beyond match
	Entries []slots.Entry // Accept, promises
}

// numbers are what a message carries beside ballot and commit, in this order.
func (m *Message) numbers(carries Content) (all [3]*uint64) {
	switch carries {
	case evidence:
		all[0] = &m.Match
	case FoundBeyond:
		all[0] = &m.Have
	case beat:
		all = [...]*uint64{&m.Match, &m.End, &m.Read}
	case coming:
		all = [...]*uint64{&m.Have, &m.End, &m.Read}
	case readNumber:
		all[0] = &m.Read
	}
	return all
}

// Encode is a message's bytes.
func (d *Dialect) Encode(m *Message) []byte {
	carries := d.form(m.Kind).Carries
	w := wire.Writer{B: make([]byte, 0, 41+slots.Size(m.Entries)+8*len(m.Slots))}
	w.U8(d.number(m.Kind))
	w.U64(m.Ballot)
	w.U64(m.Commit)
	for _, v := range m.numbers(carries) {
		if v != nil {
			w.U64(*v)
		}
	}
	switch carries {
	case Grant:
		w.U8(0)
		if m.Granted {
			w.B[len(w.B)-1] = 1
		}
	case Found, FoundBeyond:
		slots.AppendEntries(&w, m.Entries, true)
	case values:
		w.U64(m.Entries[0].Slot)
		slots.AppendEntries(&w, m.Entries, false)
	case evidence:
		for _, s := range m.Slots {
			w.U64(s)
		}
	}
	return w.B
}

// Decode reads a message; what it returns shares no memory with b.
func (d *Dialect) Decode(b []byte) (m Message, err error) {
	r := wire.NewReader(b)
	m.Kind, m.Ballot, m.Commit = d.kind(r.U8()), r.U64(), r.U64()
	form := d.form(m.Kind)
	for _, v := range m.numbers(form.Carries) {
		if v != nil {
			*v = r.U64()
		}
	}
	switch form.Carries {
	case Grant:
		m.Granted = r.U8() == 1
	case Found, FoundBeyond:
		m.Entries = slots.ReadEntries(&r, true, 0, 0)
	case values:
		first := r.U64()
		m.Entries = slots.ReadEntries(&r, false, first, m.Ballot)
	case evidence:
		for r.Left() > 0 && r.OK() && len(m.Slots) < MaxAhead {
			m.Slots = append(m.Slots, r.U64())
		}
	}
	if !r.Done() || m.Kind == 0 {
		return m, fmt.Errorf("%w message of %d bytes", order.ErrMalformed, len(b))
	}
	return m, m.check(form)
}

func (m *Message) check(form Form) error {
	bad := func(why string) error { return fmt.Errorf("%w message %s: %s", order.ErrMalformed, form.Name, why) }
	if max(m.Ballot, m.Commit, m.Match, m.Have, m.End) > slots.MaxNumber {
		return bad("a number out of bounds")
	}
	beyond := m.Have // 0 where values are offered: what is decided is no news, but may be caught up with
	switch {
	case form.Carries == values && len(m.Entries) == 0:
		return bad("no entries")
	case form.Carries == FoundBeyond && m.Have > m.Commit:
		return bad("it leaves out what is not decided")
	case form.Carries == Found:
		beyond = m.Commit
	}
	if err := slots.CheckEntries(m.Entries, beyond, m.Ballot); err != nil {
		return bad(err.Error())
	}
	for i, s := range m.Slots {
		if s > slots.MaxNumber || s <= m.Match || i > 0 && s <= m.Slots[i-1] {
			return bad("its slots are out of order")
		}
	}
	return nil
}

// Describe says in a few words what a message is, for people.
func (d *Dialect) Describe(b []byte) string {
	m, err := d.Decode(b)
	if err != nil {
		return err.Error()
	}
	form := d.form(m.Kind)
	s := fmt.Sprintf("%s ballot %s commit %d", form.Name, slots.Name(m.Ballot), m.Commit)
	switch form.Carries {
	case Grant:
		s += fmt.Sprintf(" granted %v", m.Granted)
	case FoundBeyond:
		s += fmt.Sprintf(" beyond %d", m.Have)
	case evidence:
		s += fmt.Sprintf(" to %d%s", m.Match, also(m.Slots))
	case beat:
		s += fmt.Sprintf(" match %d end %d read %d", m.Match, m.End, m.Read)
	case coming:
		s += fmt.Sprintf(" have %d end %d read %d", m.Have, m.End, m.Read)
	case readNumber:
		s += fmt.Sprintf(" read %d", m.Read)
	}
	for i := range m.Entries {
		s += m.Entries[i].Describe()
	}
	return s
}

func also(slots []uint64) string {
	if len(slots) == 0 {
		return ""
	}
	return " and " + strings.Trim(fmt.Sprint(slots), "[]")
}

// Said is what a message tells others of its sender's stable storage ([order.Said]).
func (d *Dialect) Said(b []byte) (s order.Said) {
	m, err := d.Decode(b)
	if err != nil {
		return s
	}
	switch d.form(m.Kind).Carries {
	case beat:
		s.Alive = true
	case Found, FoundBeyond:
		s.Term = m.Ballot
	case evidence:
		s.Term, s.Position = m.Ballot, m.Match
		if n := len(m.Slots); n > 0 {
			s.Position = m.Slots[n-1]
		}
	}
	return s
}
