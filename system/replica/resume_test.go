package replica

import (
	"testing"

	"metronome/system/order"
	"metronome/system/store"
)

// A lane was closed by a decision that waits to be applied when a snapshot is installed in which it is open
// still. What lies behind the snapshot is handed out again: first the cuts that were accepted for the lane's
// frames, whether they are in a journal or in memory alone, and then its end.
func TestALaneThatWasClosedBeyondASnapshotKeepsItsFrames(t *testing.T) {
	for _, durable := range []bool{false, true} {
		r := single(t, func(c *Config) { c.Durable = durable })
		take := func(position uint64, d order.Decision) {
			t.Helper()
			c := order.Committed{Position: position, Decision: order.AppendDecision(nil, &d)}
			if err := r.commit(c); err != nil {
				t.Fatalf("durable %t: %v", durable, err)
			}
		}
		take(2, order.Decision{Commands: []order.Command{{Kind: order.OpenLanes, Proxy: 1, Nonce: 9, Lanes: 1}}})
		r.Settle()
		at, err := decodeState(r.state.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.New(r.cfg.Store)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames(t, r, 12) {
			r.take(f)
		}
		r.gather()
		l := r.lanes[0]
		chain, _ := l.recv.Chain(9)
		again := func() {
			take(3, order.Decision{Cut: order.Cut{{Lane: l.id, Items: 10, Frames: 10, Chain: chain}}})
			take(4, order.Decision{Commands: []order.Command{{Kind: order.CloseProxy, Proxy: 1, Incarnation: 1}}})
		}
		again()
		if r.lanes[0].open || !r.Busy() {
			t.Fatal("the lane is open, or everything is applied: this shows nothing")
		}
		notes := len(l.notes)
		if err := r.adopt(2, at, st); err != nil {
			t.Fatal(err)
		}
		if durable && (len(r.lanes[0].notes) != notes || r.lowestRecord() >= r.journal.next) {
			t.Error("the records of frames that accepted cuts rest on could be trimmed")
		}
		again()
		if r.Settle(); r.Err() != nil || r.Index() != 10 || r.lanes[0].open {
			t.Errorf("durable %t: %d items applied, the lane is open: %t, %v", durable, r.Index(), r.lanes[0].open,
				r.Err())
		}
	}
}
