package racs

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

func in(slot, ballot uint64, decision []byte) entry {
	return entry{Slot: slot, Ballot: ballot, Decision: decision}
}

func samples() []message {
	d := ordertest.Decision(ordertest.At(1, 2))
	return []message{
		{kind: kindProbe, ballot: 256, commit: 1}, {kind: kindProbed, ballot: 256, commit: 1, granted: true},
		{kind: kindPropose, ballot: 256, commit: 3}, {kind: kindVote, ballot: 256, commit: 3},
		{kind: kindComplete, ballot: 256, commit: 3},
		{kind: kindPromise, ballot: 512, commit: 3, have: 1, entries: []entry{in(2, 256, d), in(5, 257, nil)}},
		{kind: kindAccept, ballot: 512, commit: 1, entries: []entry{in(2, 512, d), in(3, 512, nil)}},
		{kind: kindAccepted, ballot: 512, commit: 1, match: 4, slots: []uint64{6, 7}},
		{kind: kindHeartbeat, ballot: 512, commit: 4, match: 3, end: 5, read: 7},
		{kind: kindAlive, ballot: 512, commit: 4, have: 3, end: 5, read: 7},
		{kind: kindDecided, ballot: 512, commit: 4}, {kind: kindRefusal, ballot: 512, commit: 4},
		{kind: kindTakeOver, ballot: 512}, {kind: kindRead, read: 1 << 63}, {kind: kindReadAt, ballot: 1, read: 3},
	}
}

// said is what of samples a restart must not forget.
var said = map[kind]order.Said{kindPromise: {Term: 512}, kindAccepted: {Term: 512, Position: 7},
	kindHeartbeat: {Alive: true}}

// hostile is what nobody sends.
func hostile() map[string]message {
	return map[string]message{
		"an unknown kind":        {kind: kindEnd},
		"a slot twice":           {kind: kindPromise, ballot: 9, entries: []entry{in(2, 1, nil), in(2, 1, nil)}},
		"a ballot above its own": {kind: kindPromise, ballot: 9, entries: []entry{in(2, 10, nil)}},
		"no decision":            {kind: kindPromise, ballot: 9, entries: []entry{in(2, 1, []byte{77})}},
		"slots that descend":     {kind: kindAccepted, ballot: 9, match: 1, slots: []uint64{5, 4}},
		"a slot that is no news": {kind: kindAccepted, ballot: 9, match: 5, slots: []uint64{5}},
		"a ballot out of bounds": {kind: kindProbe, ballot: 1 << 63},
		"slots that wrap around": {kind: kindAccept, ballot: 9, entries: []entry{in(1<<64-1, 9, nil)}},
		"what was not asked for": {kind: kindPromise, ballot: 9, commit: 4, have: 4,
			entries: []entry{in(4, 1, nil)}},
		"a gap": {kind: kindPromise, ballot: 9, commit: 4, have: 5},
	}
}

func codec() ordertest.Codec[message] {
	return ordertest.Codec[message]{Samples: samples(), Bad: hostile(),
		Encode: (*message).encode, Decode: decode, Describe: Describe, Said: Said,
		Says:  func(m message) order.Said { return said[m.kind] },
		Grows: func(m message) bool { return m.kind == kindAccepted }}
}

func TestMessages(t *testing.T) { codec().Run(t) }

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }
