package replica

import (
	"bytes"
	"slices"
	"testing"

	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

func frames(t *testing.T, r *Replica, n int) (all [][]byte) {
	t.Helper()
	item, err := wire.AppendItem(nil, &wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, 40)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := append(make([]byte, wire.HeaderSize), item...)
		h := wire.Header{Type: wire.TypeData, Cluster: r.cfg.Cluster, Proxy: 1, Incarnation: 1, Frame: uint64(i),
			First: uint64(i), Count: 1}
		b = append(b, make([]byte, r.cfg.Digest.Mode().Overhead())...)
		if err := wire.Seal(b, &h, r.cfg.Digest); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// Who does not vote yet puts aside what has no place, within its bound, and takes it up when there is one.
func TestFramesArePutAside(t *testing.T) {
	r := single(t, func(c *Config) { c.RetainBytes = 1 << 18 })
	all := frames(t, r, 300)
	r.take(all[0])
	if r.shelves.bytes != 0 {
		t.Fatal("a voter puts frames of an unknown lane aside")
	}
	r.members = order.Members{Learners: []uint64{r.id}}
	for _, f := range all[100:] {
		r.take(f)
	}
	if want := 200 * len(all[0]); r.shelves.bytes != want {
		t.Fatalf("%d bytes are put aside, not %d", r.shelves.bytes, want)
	}
	r.transfer.in = &received{size: 1}
	r.unshelve()
	r.transfer.in = nil
	if len(r.shelves.lanes[0].frames) != 200 {
		t.Fatal("something was taken up before the snapshot")
	}
	recv, err := r.ingest.Reopen(lane.Name{Proxy: 1, Incarnation: 1, ID: 5}, lane.Mark{Items: 100, Frames: 100})
	if err != nil {
		t.Fatal(err)
	}
	for recv.Mark().Frames < 300 {
		before := recv.Mark().Frames
		r.unshelve()
		if recv.Mark().Frames == before {
			t.Fatalf("it stands still at frame %d", before)
		}
		recv.Trim(recv.Mark().Frames)
	}
	if r.shelves.bytes != 0 || len(r.shelves.lanes) != 0 {
		t.Errorf("%d bytes are left", r.shelves.bytes)
	}
}

func TestShelvesAreBounded(t *testing.T) {
	r := single(t, nil)
	var s shelves
	for _, f := range frames(t, r, 50) {
		s.put(f, 20*len(f))
		if s.bytes > 20*len(f) {
			t.Fatalf("%d bytes", s.bytes)
		}
	}
	var h wire.Header
	if h.Get(s.lanes[0].frames[0]); h.Frame != 30 {
		t.Errorf("the oldest is frame %d, not 30", h.Frame)
	}
}

// Frames that came opened from another core are put aside as they were sent, heartbeats too.
func TestVerifiedFramesArePutAside(t *testing.T) {
	d, err := wire.NewDigester(wire.ModeAEAD, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	r := single(t, func(c *Config) { c.Digest = d })
	r.members = order.Members{Learners: []uint64{r.id}}
	all := frames(t, r, 3)
	beat := make([]byte, wire.HeaderSize)
	h := wire.Header{Type: wire.TypeHeartbeat, Cluster: r.cfg.Cluster, Proxy: 1, Incarnation: 1, Frame: 3,
		First: 3}
	if err := wire.Seal(beat, &h, d); err != nil {
		t.Fatal(err)
	}
	all = append(all, beat)
	other, err := wire.NewDigester(wire.ModeAEAD, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	v := lane.NewVerifier(r.cfg.Cluster, other)
	for i, f := range all {
		opened := v.Frame(f)
		if opened == nil || i < 3 && bytes.Equal(opened, f) {
			t.Fatalf("frame %d was not opened", i)
		}
		r.Verified(1, opened)
	}
	aside := r.shelves.lanes[0].frames
	if !slices.EqualFunc(aside, all, bytes.Equal) {
		t.Errorf("%d frames are put aside, of %d, or they are others", len(aside), len(all))
	}
}

// The log is kept for a member that was sent a snapshot for as long as it takes to install that, longer the
// larger it is; then for as long as it goes forward.
func TestTheLogIsKeptUntilASnapshotIsInstalled(t *testing.T) {
	r := ordered(t, 0, "raft")
	if err := r.Found([]int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	const position, sending = 70, 5 * keepTicks
	to, at := LifeID(1, 1), func(tick int64) { r.now = tick * r.cfg.Tick }
	at(1000)
	r.status.Match = map[uint64]uint64{to: 3}
	r.transfer.offers[1] = offerState{live: true, began: r.now,
		meta: order.SnapshotMeta{To: to, Position: position}}
	kept := func(tick int64, want uint64) {
		t.Helper()
		if at(tick); r.keepLog(500) != want {
			t.Errorf("at tick %d the log is kept from %d on, not %d", tick, r.keepLog(500), want)
		}
	}
	kept(1000+sending, position)
	w := wire.NewWriter(nil, wire.KindPull)
	for _, v := range []uint64{to, position, 10, 10} {
		w.U64(v)
	}
	r.Message(r.now, wire.ReplicaPeer(1), w.B)
	if r.transfer.sending() {
		t.Fatal("it is still being sent")
	}
	kept(1000+2*sending, position) // it installs
	r.status.Match[to] = position + 10
	kept(1000+2*sending+keepTicks, position+10) // it goes on
	kept(1000+2*sending+2*keepTicks, position+10)
	kept(1000+2*sending+2*keepTicks+1, 500) // and does not any more
}
