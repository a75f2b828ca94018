package replica

import (
	"testing"

	"metronome/system/node"
	"metronome/system/order"
	"metronome/system/wire"
)

// Two members offer their state, and repeat that. The transfer that began first comes to its end however
// long it takes; the other one is taken up when the first sends nothing any more, and neither is waited for
// when the log has brought as much.
func TestTwoSendersDoNotHoldEachOtherUp(t *testing.T) {
	r := ordered(t, 0, "raft")
	if err := r.Found([]int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	const size = 1000
	now := int64(1)
	offer := func(seat int, position uint64) {
		w := wire.NewWriter(nil, wire.KindOffer)
		w.U64(LifeID(seat, 1))
		w.U64(r.id)
		w.U64(position)
		w.U64(1)
		w.U32(size)
		w.U64(size)
		w.Bytes(nil)
		appendMembers(&w, &r.members)
		r.Message(now, wire.ReplicaPeer(seat), w.B)
	}
	offer(1, 70)
	for i := range uint64(size - 1) {
		now += offerTicks * r.cfg.Tick
		offer(2, 80+i) // it captures anew now and then
		offer(1, 70)
		w := wire.NewWriter(nil, wire.KindChunk)
		w.U64(70)
		w.U64(i)
		w.U8(0)
		r.Message(now, wire.ReplicaPeer(1), w.B)
	}
	if in := r.transfer.in; in == nil || in.from != 1 || in.have != size-1 {
		t.Fatalf("after %d bytes of %d: %+v", size-1, size, in)
	}
	now += 2*pullTicks*r.cfg.Tick + 1
	if offer(2, 2000); r.transfer.in.from != 2 {
		t.Error("a sender that is gone is waited for")
	}
	r.applied = 2000
	if r.tickTransfer(); r.transfer.in != nil {
		t.Error("what was applied meanwhile is still waited for")
	}
}

// until lets time pass until something holds.
func (r *Replica) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 10_000 {
		if holds() {
			return
		}
		r.Tick(r.now + r.cfg.Tick)
		r.Settle()
		r.Output(&node.Output{})
	}
	t.Fatal(what)
}

// A backup has everything that was agreed on when it was asked for, also if a snapshot was being captured
// then that has less.
func TestWhatIsExportedWasCapturedSince(t *testing.T) {
	r := single(t, nil)
	r.until(t, "limits are agreed on", func() bool { return len(r.state.limits) > 0 && r.applied > 0 })
	r.capture(false)
	if r.transfer.capturing == nil || r.transfer.ready {
		t.Fatal("nothing is being captured")
	}
	if err := r.orderer.Propose(order.AppendDecision(nil, &order.Decision{Time: r.state.time})); err != nil {
		t.Fatal(err)
	}
	for r.drain() {
		r.Settle()
	}
	if r.applied <= r.transfer.captured {
		t.Fatal("nothing was agreed on meanwhile")
	}
	if err := r.Export(); err != nil {
		t.Fatal(err)
	}
	agreed := r.applied
	r.until(t, "a snapshot is exported", func() bool { return r.Exported() != nil })
	if at := r.Exported().Position; at < agreed {
		t.Errorf("it ends at position %d; when it was asked for, %d was applied", at, agreed)
	}
}

// A snapshot that is wanted waits, because items are being applied, and meanwhile somebody asks for the one
// before: that is sent to its end, of one position, and only then another is captured.
func TestWhatIsBeingSentIsNotCapturedAnew(t *testing.T) {
	r := single(t, nil)
	x := &r.transfer
	until := func(what string, holds func() bool) { t.Helper(); r.until(t, what, holds) }
	until("limits are agreed on", func() bool { return len(r.state.limits) > 0 && r.applied > 0 })
	r.capture(true)
	until("a snapshot is captured", func() bool { return x.ready })
	first := x.capturing
	r.working = true
	if r.capture(false); !x.wanted {
		t.Fatal("no other is wanted")
	}
	meta := x.placed
	meta.To = r.id
	if r.offer(&meta); !x.sending() {
		t.Fatal("the first is not offered")
	}
	r.working = false
	if r.tickTransfer(); x.capturing != first || !x.ready {
		t.Fatal("another snapshot takes the place of the one that is being sent")
	}
	x.offers[0].live = false
	until("then another is captured", func() bool { return x.capturing != first && x.ready })
}

// A snapshot from a peer that could not be written is written anew after a while, from what has arrived: it
// is not sent again. However often this replica's own could not be written before, and how long the next
// attempt at those is put off: the peer's is written at once, and when that is done, so may its own be.
func TestAReceivedSnapshotIsWrittenAgain(t *testing.T) {
	r := single(t, func(c *Config) { c.Durable = true })
	j := &r.journal
	for range 9 {
		j.saving = &Save{Position: 60}
		r.Unsaved(r.now, 60)
	}
	if j.own.from != r.ticks+retryTicks<<ownMost {
		t.Fatalf("its own is tried again in %d ticks", j.own.from-r.ticks)
	}
	in := &received{meta: order.SnapshotMeta{Position: 70}, size: 10, headLen: 2}
	in.add([]byte("01234"))
	r.transfer.in = in
	for attempt, want := range []uint64{0, 64, 128, 256, 256} {
		began := r.ticks
		for r.saveReceived(); r.Save() == nil && r.ticks-began < 1000; r.saveReceived() {
			r.ticks++
		}
		if waited := r.ticks - began; waited != want {
			t.Errorf("attempt %d is made after %d ticks, want %d", attempt, waited, want)
		}
		if got := string(r.Save().Read(0, 5)); got != "01234" || r.Save().Ready() != 5 {
			t.Errorf("attempt %d reads %q of %d", attempt, got, r.Save().Ready())
		}
		r.Unsaved(r.now, 70)
	}
	if r.counts.Unsaved != 14 || r.transfer.in != in {
		t.Errorf("%d attempts failed; it is given up: %t", r.counts.Unsaved, r.transfer.in == nil)
	}
	r.ticks += 1000
	if r.saveReceived(); r.Save() == nil {
		t.Fatal("it is not tried again")
	}
	if r.Saved(r.now, 70); !in.saved || j.unsaved != 0 || j.own.from > r.ticks {
		t.Errorf("after a snapshot was saved: %+v", j.roomState)
	}
}
