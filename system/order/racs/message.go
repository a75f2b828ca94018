package racs

import (
	"fmt"
	"strings"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// kind says what a message is.
type kind uint8

const (
	kindProbe     kind = iota + 1 // do you miss the leader, too?
	kindProbed                    // the answer
	kindPromise                   // the paper's timeout, to all: what was accepted, with the ballots
	kindPropose                   // the paper's propose-async: promises of a majority came
	kindVote                      // its vote-async
	kindComplete                  // its asynchronous-complete: a majority voted, and nothing is lacking
	kindAccept                    // phase 2a: slots that follow each other
	kindAccepted                  // phase 2b: the evidence of holding
	kindHeartbeat                 // the leader is there; what is decided
	kindAlive                     // the answer: what came, not what was accepted
	kindDecided                   // what is decided; no answer
	kindRefusal                   // a higher ballot was promised, or the asker is behind
	kindTakeOver                  // campaign now
	kindRead                      // a follower's read
	kindReadAt                    // its position
	kindEnd
)

var kindNames = [kindEnd]string{"none", "Probe", "Probed", "Promise", "ProposeAsync", "VoteAsync",
	"Complete", "Accept", "Accepted", "Heartbeat", "Alive", "Decided", "Refusal", "TakeOver", "Read", "ReadAt"}

// entry is the value of a slot, and slot what an acceptor knows of one.
type (
	entry = slots.Entry
	slot  = slots.Slot
)

// message is all kinds of message at once. What a kind does not use is 0 and is not carried.
type message struct {
	kind   kind
	ballot uint64
	commit uint64 // every slot up to here is decided, as far as the sender knows

	granted bool     // Probed
	match   uint64   // Accepted: every slot up to here; Heartbeat: as the leader knows it
	have    uint64   // Alive: everything up to here came; Promise: it tells what was accepted beyond
	end     uint64   // Heartbeat, Alive: what was sent before the heartbeat
	read    uint64   // Heartbeat, Alive: a confirmation; Read, ReadAt: the asker's number
	slots   []uint64 // Accepted: further slots, beyond match
	entries []entry  // Promise, Accept
}

// slotsAt bounds the slots that one Accepted names.
const slotsAt = maxAhead

// numbers are what a kind carries beside ballot and commit, in this order.
func (m *message) numbers() (all [3]*uint64) {
	switch m.kind {
	case kindAccepted:
		all[0] = &m.match
	case kindPromise:
		all[0] = &m.have
	case kindHeartbeat:
		all = [...]*uint64{&m.match, &m.end, &m.read}
	case kindAlive:
		all = [...]*uint64{&m.have, &m.end, &m.read}
	case kindRead, kindReadAt:
		all[0] = &m.read
	}
	return all
}

func (m *message) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 41+slots.Size(m.entries)+8*len(m.slots))}
	w.U8(uint8(m.kind))
	w.U64(m.ballot)
	w.U64(m.commit)
	for _, v := range m.numbers() {
		if v != nil {
			w.U64(*v)
		}
	}
	switch m.kind {
	case kindProbed:
		w.U8(0)
		if m.granted {
			w.B[len(w.B)-1] = 1
		}
	case kindPromise:
		slots.AppendEntries(&w, m.entries, true)
	case kindAccept:
		w.U64(m.entries[0].Slot)
		slots.AppendEntries(&w, m.entries, false)
	case kindAccepted:
		for _, s := range m.slots {
			w.U64(s)
		}
	}
	return w.B
}

// decode reads a message; what it returns shares no memory with b.
func decode(b []byte) (m message, err error) {
	r := wire.NewReader(b)
	m.kind, m.ballot, m.commit = kind(r.U8()), r.U64(), r.U64()
	for _, v := range m.numbers() {
		if v != nil {
			*v = r.U64()
		}
	}
	switch m.kind {
	case kindProbed:
		m.granted = r.U8() == 1
	case kindPromise:
		m.entries = slots.ReadEntries(&r, true, 0, 0)
	case kindAccept:
		first := r.U64()
		m.entries = slots.ReadEntries(&r, false, first, m.ballot)
	case kindAccepted:
		for r.Left() > 0 && r.OK() && len(m.slots) < slotsAt {
			m.slots = append(m.slots, r.U64())
		}
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
	if max(m.ballot, m.commit, m.match, m.have, m.end) > slots.MaxNumber {
		return bad("a number out of bounds")
	}
	if m.kind == kindAccept && len(m.entries) == 0 {
		return bad("no entries")
	}
	if m.kind == kindPromise && m.have > m.commit {
		return bad("it leaves out what is not decided")
	}
	if err := slots.CheckEntries(m.entries, m.have, m.ballot); err != nil {
		return bad(err.Error())
	}
	for i, s := range m.slots {
		if s > slots.MaxNumber || s <= m.match || i > 0 && s <= m.slots[i-1] {
			return bad("its slots are out of order")
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
	s := fmt.Sprintf("%s ballot %s commit %d", kindNames[m.kind], slots.Name(m.ballot), m.commit)
	switch m.kind {
	case kindProbed:
		s += fmt.Sprintf(" granted %v", m.granted)
	case kindPromise:
		s += fmt.Sprintf(" beyond %d", m.have)
		for i := range m.entries {
			s += m.entries[i].Describe()
		}
	case kindAccept:
		for i := range m.entries {
			s += m.entries[i].Describe()
		}
	case kindAccepted:
		s += fmt.Sprintf(" to %d%s", m.match, also(m.slots))
	case kindHeartbeat:
		s += fmt.Sprintf(" match %d end %d read %d", m.match, m.end, m.read)
	case kindAlive:
		s += fmt.Sprintf(" have %d end %d read %d", m.have, m.end, m.read)
	case kindRead, kindReadAt:
		s += fmt.Sprintf(" read %d", m.read)
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
func Said(b []byte) (s order.Said) {
	m, err := decode(b)
	if err != nil {
		return s
	}
	switch m.kind {
	case kindHeartbeat:
		s.Alive = true
	case kindPromise:
		s.Term = m.ballot
	case kindAccepted:
		s.Term, s.Position = m.ballot, m.match
		if n := len(m.slots); n > 0 {
			s.Position = m.slots[n-1]
		}
	}
	return s
}
