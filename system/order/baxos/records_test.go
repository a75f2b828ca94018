package baxos

import (
	"errors"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

func samples() []message {
	d := ordertest.Decision(ordertest.At(1, 2))
	return []message{
		{kind: kindPrepare, slot: 3, ballot: 512, commit: 2, with: 256},
		{kind: kindPromise, slot: 3, ballot: 512, commit: 2, with: 256},
		{kind: kindPromise, slot: 3, ballot: 512, entries: []entry{in(3, 257, d)}},
		{kind: kindAccept, slot: 3, ballot: 512, entries: []entry{in(3, 512, nil)}},
		{kind: kindAccepted, slot: 7, ballot: 512, granted: true}, {kind: kindRefusal, slot: 3, ballot: 512},
		{kind: kindDecided, commit: 2, with: 256}, {kind: kindBeat, commit: 2, with: 256, match: 2},
		{kind: kindAsk, slot: 3, commit: 2, with: 256},
		{kind: kindLearn, commit: 9, with: 512, entries: []entry{in(2, 256, nil), in(3, 512, d)}},
	}
}

// said is what of samples a restart must not forget.
var said = map[kind]order.Said{kindPromise: {Term: 512}, kindAccepted: {Term: 512, Position: 7},
	kindBeat: {Alive: true}}

// hostile is what nobody sends.
func hostile() map[string]message {
	return map[string]message{
		"an unknown kind":        {kind: kindEnd},
		"what is to oneself":     {kind: kindMark, slot: 3},
		"no slot":                {kind: kindPrepare, ballot: 512},
		"no ballot":              {kind: kindPrepare, slot: 3, ballot: 1},
		"an offer of nothing":    {kind: kindAccept, slot: 3, ballot: 512},
		"another ballot":         {kind: kindAccept, slot: 3, ballot: 512, entries: []entry{in(3, 256, nil)}},
		"another slot":           {kind: kindPromise, slot: 3, ballot: 512, entries: []entry{in(4, 256, nil)}},
		"accepted in the future": {kind: kindPromise, slot: 3, ballot: 512, entries: []entry{in(3, 768, nil)}},
		"no decision":            {kind: kindLearn, entries: []entry{in(3, 512, []byte{77})}},
		"a gap":                  {kind: kindLearn, entries: []entry{in(2, 256, nil), in(4, 256, nil)}},
		"a ballot out of bounds": {kind: kindPrepare, slot: 3, ballot: 1 << 63},
		"the highest ballot":     {kind: kindLearn, entries: []entry{in(2, settled, nil)}},
	}
}

func codec() ordertest.Codec[message] {
	return ordertest.Codec[message]{Samples: samples(), Bad: hostile(),
		Encode: (*message).encode, Decode: decode, Describe: Describe, Said: Said,
		Says: func(m message) order.Said { return said[m.kind] }}
}

func TestMessages(t *testing.T) { codec().Run(t) }

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }

// Nobody uses another's ballots, or answers for them.
func TestForeignBallotsAreRefused(t *testing.T) {
	c := ordertest.New(t, backing, 3, 1, nil)
	for name, m := range map[string]message{
		"a ballot of 3":        {kind: kindPrepare, slot: 2, ballot: 258},
		"an offer of 3":        {kind: kindAccept, slot: 2, ballot: 258, entries: []entry{in(2, 258, nil)}},
		"a promise to another": {kind: kindPromise, slot: 2, ballot: 258},
		"a vote for another":   {kind: kindAccepted, slot: 2, ballot: 257},
	} {
		if err := c.Members[1].O.Step(2, m.encode()); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a compaction what remains is written down afresh, and a restart from that keeps promises.
func TestACompactedLogIsRestartedFrom(t *testing.T) {
	c := heard(t, 3, nil)
	m := c.Members[1]
	c.Holds(7, 3, 1, 2, 3)
	for n := uint64(1); n <= 3; n++ {
		c.Propose(m, ordertest.At(7, n))
		c.Settle()
	}
	before := m.O.(*Baxos).Log.At(5).Promised
	m.Durable = m.Place
	m.O.Compact(m.Place.Position)
	c.Ready(m)
	if len(m.Records) != 1 {
		t.Fatalf("%d records after a compaction", len(m.Records))
	}
	c.Restart(m)
	b := m.O.(*Baxos)
	if s := b.Log.At(5); b.Log.Base != 4 || s == nil || s.Promised != before || b.Status().Holes != 0 {
		t.Fatalf("%+v of %+v", s, b.Status())
	}
}
