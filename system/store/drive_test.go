package store

import (
	"encoding/binary"
	"testing"

	"metronome/system/wire"
)

// driver applies one item at a time to a store.
type driver struct {
	testing.TB
	s    *Store
	time uint64
}

func drive(t testing.TB, cfg Config) *driver { return &driver{TB: t, s: newStore(t, cfg), time: 1} }

// do applies an item on its own and returns its answer; a blind put has none.
func (d *driver) do(it wire.Item) wire.Result {
	d.Helper()
	answers := d.together(it)
	if it.Blind() != (len(answers) == 0) || len(answers) > 1 {
		d.Fatalf("%d answers to %+v", len(answers), it)
	}
	if it.Blind() {
		return wire.Result{}
	}
	return answers[0].Result
}

// together applies items in one batch.
func (d *driver) together(items ...wire.Item) []Answer {
	d.Helper()
	return d.s.Apply(&Batch{Index: d.s.Index() + 1, Time: d.time,
		Spans: []Span{{Payloads: pack(d.TB, items, 1300), Answer: true}}})
}

func (d *driver) open() uint64 {
	d.Helper()
	r := d.do(wire.Item{Op: wire.OpSession})
	if uint64(r.Number) != d.s.Index() {
		d.Fatalf("session %d opened by item %d", r.Number, d.s.Index())
	}
	return uint64(r.Number)
}

func put(key, value string) wire.Item {
	return wire.Item{Op: wire.OpPut, Key: []byte(key), Value: []byte(value)}
}

func get(key string) wire.Item { return wire.Item{Op: wire.OpGet, Key: []byte(key)} }

func incr(key string, by int64) wire.Item {
	return wire.Item{Op: wire.OpIncr, Key: []byte(key), Value: binary.LittleEndian.AppendUint64(nil, uint64(by))}
}

func within(it wire.Item, session, number, low uint64) wire.Item {
	it.HasSession, it.Session, it.Number, it.Low = true, session, number, low
	return it
}

func (d *driver) expect(what string, r wire.Result, st wire.Status, number int64, value string) {
	d.Helper()
	if r.Status != st || r.Number != number || string(r.Value) != value {
		d.Errorf("%s: %+v, want status %d, number %d, value %.40q", what, r, st, number, value)
	}
}
