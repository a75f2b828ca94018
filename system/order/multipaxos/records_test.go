package multipaxos

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

func in(slot, ballot uint64, decision []byte) slots.Entry {
	return slots.Entry{Slot: slot, Ballot: ballot, Decision: decision}
}

// codec is of what is multipaxos' own, and of one that all have: numbers on the wire are fixed.
func codec() ordertest.Codec[paxos.Message] {
	d := ordertest.Decision(ordertest.At(1, 2))
	return ordertest.Codec[paxos.Message]{
		Samples: []paxos.Message{
			{Kind: kindProbe, Ballot: 256, Commit: 1}, {Kind: kindProbed, Ballot: 256, Commit: 1, Granted: true},
			{Kind: kindPrepare, Ballot: 256, Commit: 3},
			{Kind: kindPromise, Ballot: 512, Commit: 1, Entries: []slots.Entry{in(2, 256, d), in(5, 257, nil)}},
			{Kind: paxos.TakeOver, Ballot: 512},
		},
		Bad: map[string]paxos.Message{"what is decided, as news": {Kind: kindPromise, Ballot: 9, Commit: 4,
			Entries: []slots.Entry{in(4, 1, nil)}}},
		Numbers: []byte{1, 2, 3, 4, 11},
		Encode:  dialect.Encode, Decode: dialect.Decode, Describe: Describe, Said: Said,
		Says: func(m paxos.Message) (s order.Said) {
			if m.Kind == kindPromise {
				s.Term = m.Ballot
			}
			return s
		},
	}
}

func TestMessages(t *testing.T) { codec().Run(t) }

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }
