package paxos

import (
	"errors"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
	"metronome/system/order/slots"
)

// all is a dialect in which a protocol's own kinds carry whatever they can.
var all = Dialect{Name: "all", Own: []Form{{"Bare", Nothing}, {"Answer", Grant}, {"Promise", Found},
	{"Beyond", FoundBeyond}}}

const (
	bare = Own + iota
	answered
	promise
	beyond
)

func in(slot, ballot uint64, decision []byte) slots.Entry {
	return slots.Entry{Slot: slot, Ballot: ballot, Decision: decision}
}

func codec() ordertest.Codec[Message] {
	d := ordertest.Decision(ordertest.At(1, 2))
	told := []slots.Entry{in(2, 256, d), in(5, 257, nil)}
	twice := []slots.Entry{in(2, 1, nil), in(2, 1, nil)}
	says := map[Kind]order.Said{promise: {Term: 512}, beyond: {Term: 512}, Accepted: {Term: 512, Position: 7},
		Heartbeat: {Alive: true}}
	return ordertest.Codec[Message]{
		Samples: []Message{
			{Kind: bare, Ballot: 256, Commit: 1}, {Kind: answered, Ballot: 256, Commit: 1, Granted: true},
			{Kind: promise, Ballot: 512, Commit: 1, Entries: told},
			{Kind: beyond, Ballot: 512, Commit: 3, Have: 1, Entries: told},
			{Kind: Accept, Ballot: 512, Commit: 4, Entries: []slots.Entry{in(2, 512, d), in(3, 512, nil)}},
			{Kind: Accepted, Ballot: 512, Commit: 1, Match: 4, Slots: []uint64{6, 7}},
			{Kind: Heartbeat, Ballot: 512, Commit: 4, Match: 3, End: 5, Read: 7},
			{Kind: Alive, Ballot: 512, Commit: 4, Have: 3, End: 5, Read: 7},
			{Kind: Decided, Ballot: 512, Commit: 4}, {Kind: Refusal, Ballot: 512, Commit: 4},
			{Kind: TakeOver, Ballot: 512}, {Kind: Read, Read: 1 << 63}, {Kind: ReadAt, Ballot: 1, Read: 3},
		},
		Numbers: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		Bad: map[string]Message{
			"a slot twice":             {Kind: promise, Ballot: 9, Entries: twice},
			"a ballot above its own":   {Kind: promise, Ballot: 9, Entries: []slots.Entry{in(2, 10, nil)}},
			"no decision":              {Kind: promise, Ballot: 9, Entries: []slots.Entry{in(2, 1, []byte{77})}},
			"what is decided, as news": {Kind: promise, Ballot: 9, Commit: 4, Entries: []slots.Entry{in(4, 1, nil)}},
			"what was not asked for": {Kind: beyond, Ballot: 9, Commit: 4, Have: 4,
				Entries: []slots.Entry{in(4, 1, nil)}},
			"a gap":                  {Kind: beyond, Ballot: 9, Commit: 4, Have: 5},
			"slots that descend":     {Kind: Accepted, Ballot: 9, Match: 1, Slots: []uint64{5, 4}},
			"a slot that is no news": {Kind: Accepted, Ballot: 9, Match: 5, Slots: []uint64{5}},
			"a ballot out of bounds": {Kind: bare, Ballot: 1 << 63},
			"slots that wrap around": {Kind: Accept, Ballot: 9, Entries: []slots.Entry{in(1<<64-1, 9, nil)}},
		},
		Encode: all.Encode, Decode: all.Decode, Describe: all.Describe, Said: all.Said,
		Says:  func(m Message) order.Said { return says[m.Kind] },
		Grows: func(m Message) bool { return m.Kind == Accepted },
	}
}

func TestMessages(t *testing.T) {
	codec().Run(t)
	b := all.Encode(&Message{Kind: ReadAt, Ballot: 1})
	for _, number := range []byte{0, b[0] + 1, 255} {
		if b[0] = number; !errors.Is(all.check(b), order.ErrMalformed) {
			t.Errorf("there is no kind %d", number)
		}
	}
	// An Accept of nothing: what it says first, and no entries behind that.
	empty := all.Encode(&Message{Kind: Accept, Ballot: 9, Entries: []slots.Entry{in(2, 9, nil)}})
	if !errors.Is(all.check(empty[:25]), order.ErrMalformed) {
		t.Error("an Accept of nothing")
	}
}

func (d *Dialect) check(b []byte) error {
	_, err := d.Decode(b)
	return err
}

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }
