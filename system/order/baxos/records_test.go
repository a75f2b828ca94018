package baxos

import (
	"errors"
	"reflect"
	"strings"
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

func TestMessagesRoundTrip(t *testing.T) {
	said := map[kind]order.Said{kindPromise: {Term: 512}, kindAccepted: {Term: 512, Position: 7},
		kindBeat: {Alive: true}}
	for _, m := range samples() {
		b := m.encode()
		if got, err := decode(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", kindNames[m.kind], got, err)
		}
		if _, err := decode(append(b, 1)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s with a byte too many: %v", kindNames[m.kind], err)
		}
		if got := Said(b); got != said[m.kind] {
			t.Errorf("%s says %+v", kindNames[m.kind], got)
		}
	}
	for name, m := range map[string]message{
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
	} {
		if _, err := decode(m.encode()); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

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

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		f.Add(m.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		_, _ = Describe(b), Said(b)
		if again, err := decode(m.encode()); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%x: %+v and %+v, %v", b, m, again, err)
		}
	})
}

func TestRecordsThatDoNotFitAreRefused(t *testing.T) {
	c := heard(t, 3, nil)
	m := c.Members[1]
	c.Holds(7, 4, 1, 2, 3)
	for n := uint64(1); n <= 4; n++ {
		c.Propose(m, ordertest.At(7, n))
		c.Settle()
	}
	config := order.Config{ID: 1, Gate: m.Shelf, ElectionTicks: 10, HeartbeatTicks: 2}
	last := m.Records[len(m.Records)-1]
	for name, records := range map[string][][]byte{
		"of another algorithm":    {append([]byte{0xA1}, last[1:]...)},
		"that end early":          {last[:len(last)-1]},
		"that lack what they say": {last},
		"of nothing":              {{}},
	} {
		config.Restart = &order.Restart{Snapshot: m.Durable, Records: records}
		if _, err := New(config); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("records %s: %v", name, err)
		}
	}
	config.Restart = &order.Restart{Snapshot: m.Place, Records: [][]byte{last}}
	if b, err := New(config); err != nil || b.Status().Applied != m.Place.Position {
		t.Errorf("what the snapshot covers need not be there: %v", err)
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

// Members are fixed: a change, a joiner and a stranger are refused, with what to do instead.
func TestWhatCannotBeIsRefused(t *testing.T) {
	three := &order.Members{Voters: []uint64{1, 2, 3}}
	good := order.Config{ID: 1, Gate: &ordertest.Shelf{}, ElectionTicks: 10, HeartbeatTicks: 2, Bootstrap: three}
	for name, test := range map[string]struct {
		change func(*order.Config)
		want   string
	}{
		"less than a majority": {func(c *order.Config) { c.AcceptQuorum = 1 }, "use 2 to 3"},
		"a joiner":             {func(c *order.Config) { c.Bootstrap = nil }, "members are fixed"},
		"a stranger":           {func(c *order.Config) { c.ID = 9 }, "members are fixed"},
		"no gate":              {func(c *order.Config) { c.Gate = nil }, "no gate"},
	} {
		c := good
		test.change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	err = b.ProposeConf(order.ConfChange{Type: order.AddLearner, ID: 4})
	if !errors.Is(err, order.ErrMembership) || !errors.Is(err, order.ErrStatic) {
		t.Errorf("a change of members: %v", err)
	}
}
