package replica

import (
	"testing"

	"metronome/system/order"
	"metronome/system/wire"
)

// A leader may answer what a process asked that has ended since: to whoever goes on with its life, that says
// how far everything was agreed before, not now. Both processes ask for as many barriers.
func TestAnEarlierProcessesBarrierIsNobodys(t *testing.T) {
	asks := func(nonce uint64) *Replica {
		r := ordered(t, 0, "raft")
		r.cfg.Nonce = nonce
		again, err := New(r.cfg)
		if err == nil {
			err = again.Found([]int{0, 1, 2})
		}
		if err != nil {
			t.Fatal(err)
		}
		item, err := wire.AppendItem(wire.BeginRead(nil, 1), &wire.Item{Op: wire.OpGet, Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		again.Message(1, wire.ProxyPeer(1), item)
		if len(again.reads.asked.list) != 1 {
			t.Fatal("no barrier is asked for")
		}
		return again
	}
	before, now := asks(17), asks(99)
	if now.reads.arrived(order.Read{Ctx: before.reads.ctx, Position: 1}); now.reads.at != 0 {
		t.Error("an earlier process's barrier lets reads pass")
	}
	if now.reads.arrived(order.Read{Ctx: now.reads.ctx, Position: 1}); now.reads.at != 1 {
		t.Error("its own barrier does not")
	}
}
