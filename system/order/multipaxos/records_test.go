package multipaxos

import (
	"errors"
	"reflect"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
	"metronome/system/order/slots"
)

func in(slot, ballot uint64, decision []byte) entry {
	return entry{Slot: slot, Ballot: ballot, Decision: decision}
}

func samples() []message {
	d := ordertest.Decision(ordertest.At(1, 2))
	return []message{
		{kind: kindProbe, ballot: 256, commit: 1}, {kind: kindProbed, ballot: 256, commit: 1, granted: true},
		{kind: kindPrepare, ballot: 256, commit: 3},
		{kind: kindPromise, ballot: 512, commit: 1, entries: []entry{in(2, 256, d), in(5, 257, nil)}},
		{kind: kindAccept, ballot: 512, commit: 1, entries: []entry{in(2, 512, d), in(3, 512, nil)}},
		{kind: kindAccepted, ballot: 512, commit: 1, match: 4, slots: []uint64{6, 7}},
		{kind: kindHeartbeat, ballot: 512, commit: 4, match: 3, end: 5, read: 7},
		{kind: kindAlive, ballot: 512, commit: 4, have: 3, end: 5, read: 7},
		{kind: kindDecided, ballot: 512, commit: 4}, {kind: kindRefusal, ballot: 512, commit: 4},
		{kind: kindTakeOver, ballot: 512}, {kind: kindRead, read: 1 << 63}, {kind: kindReadAt, ballot: 1, read: 3},
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	for _, m := range samples() {
		b := m.encode()
		got, err := decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", kindNames[m.kind], got, err)
		}
		if _, err := decode(append(b, 1)); m.kind != kindAccepted && !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s with a byte too many: %v", kindNames[m.kind], err)
		}
	}
	for name, m := range map[string]message{
		"an unknown kind":          {kind: kindEnd},
		"a slot twice":             {kind: kindPromise, ballot: 9, entries: []entry{in(2, 1, nil), in(2, 1, nil)}},
		"a ballot above its own":   {kind: kindPromise, ballot: 9, entries: []entry{in(2, 10, nil)}},
		"no decision":              {kind: kindPromise, ballot: 9, entries: []entry{in(2, 1, []byte{77})}},
		"slots that descend":       {kind: kindAccepted, ballot: 9, match: 1, slots: []uint64{5, 4}},
		"a slot that is no news":   {kind: kindAccepted, ballot: 9, match: 5, slots: []uint64{5}},
		"a ballot out of bounds":   {kind: kindProbe, ballot: 1 << 63},
		"slots that wrap around":   {kind: kindAccept, ballot: 9, entries: []entry{in(1<<64-1, 9, nil)}},
		"what is decided, as news": {kind: kindPromise, ballot: 9, commit: 4, entries: []entry{in(4, 1, nil)}},
	} {
		if _, err := decode(m.encode()); !errors.Is(err, order.ErrMalformed) {
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
	c := ordertest.New(t, paxos, 3, 1, nil)
	m := c.Elect(1)
	for n := uint64(1); n <= 4; n++ {
		c.Holds(7, n, 2, 3)
		c.Propose(m, ordertest.At(7, n))
		c.Settle()
	}
	config := order.Config{ID: 1, Gate: m.Shelf, ElectionTicks: 10, HeartbeatTicks: 2}
	last := m.Records[len(m.Records)-1]
	lost := (&Paxos{Replica: slots.Replica{Commit: 9}, promised: 256}).encode(nil)
	for name, records := range map[string][][]byte{
		"the middle is missing": {m.Records[0], last},
		"cut short":             {last[:len(last)-1]},
		"another format":        {append([]byte{9}, last[1:]...)},
		"the tail is missing":   {m.Records[0], lost},
	} {
		config.Restart = &order.Restart{Snapshot: m.Durable, Records: records}
		if _, err := New(config); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	config.Restart = &order.Restart{Snapshot: m.Place, Records: [][]byte{last}}
	if p, err := New(config); err != nil || p.Status().Applied != m.Place.Position {
		t.Errorf("what the snapshot covers need not be there: %v", err)
	}
}

// Said speaks of what a restart must not forget, and of nothing else.
func TestSaid(t *testing.T) {
	want := map[kind]order.Said{kindPromise: {Term: 512}, kindAccepted: {Term: 512, Position: 7},
		kindHeartbeat: {Alive: true}}
	for _, m := range samples() {
		if got := Said(m.encode()); got != want[m.kind] {
			t.Errorf("%s: %+v", kindNames[m.kind], got)
		}
	}
}
