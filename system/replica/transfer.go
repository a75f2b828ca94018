package replica

import (
	"errors"
	"fmt"
	"slices"

	"metronome/internal/mutate"
	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

var errDiverged = errors.New("replica: a majority has another state hash: this replica's state is wrong. " +
	"Next: restart it, it rejoins empty")

// State transfer (R30): the leader captures its state at an applied position without stopping,
// offers it to the follower that the orderer names, and the follower pulls it piece by piece, which
// bounds the rate and survives lost messages. A snapshot is keys and sessions (package store) after
// the rest of the state.

const (
	chunkBytes   = 256 << 10
	captureBytes = 1 << 20 // copied a step, so that no step takes long
	pullTicks    = 20      // without a chunk for so long, ask again
	offerTicks   = 20      // between offers that nobody took up
	patience     = 400     // ticks without a pull after which a transfer has failed
)

type transferState struct {
	// sending
	capturing *store.Snapshot
	captured  uint64 // position
	placed    order.SnapshotMeta
	lowest    uint64 // first record of the journal that a restart from it needs for its frames
	head      []byte // the state beside the store, at captured
	ready     bool
	offers    [wire.MaxSeats]offerState
	budget    lane.Bucket // of bytes sent while there is other work
	// receiving
	from    int
	meta    order.SnapshotMeta
	size    uint64
	got     []byte
	stateAt int // bytes of head
	pulled  int64
	active  bool
	saved   bool // what was received is durable
}

type offerState struct {
	meta  order.SnapshotMeta
	live  bool
	next  int64
	heard int64
	// wanted is a piece that was asked for and has to wait for the budget.
	wanted bool
	offset uint64
}

// capture begins a snapshot at the position applied now, unless one is being made.
func (r *Replica) capture() {
	t := &r.transfer
	if t.capturing != nil && !t.ready {
		return
	}
	for i := range t.offers {
		if t.offers[i].live {
			return
		}
	}
	r.wantCapture = true
	r.tryCapture()
}

// tryCapture captures when the store has applied everything that was agreed up to the position.
func (r *Replica) tryCapture() {
	if !r.wantCapture || r.working || len(r.queue) > 0 || r.applied == 0 || r.journal.saving != nil ||
		r.export.out != nil {
		return
	}
	t := &r.transfer
	placed, ok := r.orderer.Place(r.applied)
	if !ok {
		return
	}
	if t.capturing != nil {
		t.capturing.Release()
	}
	t.capturing = r.store.Capture()
	if t.capturing == nil {
		return // the one before is still being copied
	}
	r.wantCapture = false
	t.captured, t.placed, t.ready = r.applied, placed, false
	t.head = r.state.append(nil)
	t.lowest, r.journal.captured = r.lowestRecord(), r.journal.bytes
}

// tickTransfer copies a little more, and repeats what was lost.
func (r *Replica) tickTransfer() {
	r.tryCapture()
	r.tryInstall()
	t := &r.transfer
	r.stepCapture()
	for seat := range t.offers {
		o := &t.offers[seat]
		if !o.live {
			continue
		}
		if r.now-o.heard > patience*r.cfg.Tick {
			o.live = false
			r.orderer.SnapshotSent(o.meta.To, false)
			continue
		}
		if r.now >= o.next {
			r.sendOffer(seat)
		}
	}
	if t.active && r.now-t.pulled > pullTicks*r.cfg.Tick {
		r.pull()
	}
}

// stepCapture copies a little more of what is being captured.
func (r *Replica) stepCapture() {
	t := &r.transfer
	if t.capturing == nil || t.ready || r.working {
		return
	}
	if t.capturing.Step(captureBytes); t.capturing.Done() {
		t.ready = true
		r.orderer.Snapshot(t.captured)
		r.saveCaptured()
		r.exportCaptured()
	}
}

// serveTransfers goes on with what is under way: as fast as it goes while nothing else is to be done,
// else within the budget, so that clients hardly feel it.
func (r *Replica) serveTransfers() {
	t := &r.transfer
	if r.quiet && t.capturing != nil && !t.ready {
		r.stepCapture()
		r.later(r.now)
	}
	for seat := range t.offers {
		if o := &t.offers[seat]; o.live && o.wanted {
			r.sendChunk(seat)
		}
	}
}

// offer begins a transfer that the orderer asks for.
func (r *Replica) offer(meta *order.SnapshotMeta) {
	t := &r.transfer
	if !t.ready || meta.Position != t.captured {
		r.orderer.SnapshotSent(meta.To, false)
		return
	}
	if !slices.Contains(meta.Members.Voters, meta.To) && !slices.Contains(meta.Members.Learners, meta.To) {
		// Captured before this life was a member: it would refuse it, and ask for ever.
		r.orderer.SnapshotSent(meta.To, false)
		r.capture()
		return
	}
	seat := SeatOf(meta.To)
	t.offers[seat] = offerState{meta: *meta, live: true, heard: r.now}
	t.offers[seat].meta.Message = append([]byte(nil), meta.Message...)
	r.sendOffer(seat)
}

func (r *Replica) sendOffer(seat int) {
	t := &r.transfer
	o := &t.offers[seat]
	o.next = r.now + offerTicks*r.cfg.Tick
	w := wire.NewWriter(nil, wire.KindOffer)
	w.U64(r.id)
	w.U64(o.meta.To)
	w.U64(o.meta.Position)
	w.U64(o.meta.Term)
	w.U32(uint32(len(t.head)))
	w.U64(uint64(len(t.head)) + uint64(t.capturing.Size()))
	w.Bytes(o.meta.Message)
	appendMembers(&w, &o.meta.Members)
	r.out.message(wire.ReplicaPeer(seat), w.B)
}

// maxAhead bounds the memory that is set aside on a peer's word.
const maxAhead = 1 << 28

// maxSnapshot bounds what a peer can make this replica store.
const maxSnapshot = 1 << 40

// onOffer takes up an offer that is newer than what is applied here and than any under way.
func (r *Replica) onOffer(seat int, b []byte) bool {
	in := wire.NewReader(b)
	from := in.U64()
	meta := order.SnapshotMeta{To: in.U64(), Position: in.U64(), Term: in.U64()}
	head, size := in.U32(), in.U64()
	meta.Message = append([]byte(nil), in.Bytes()...)
	meta.Members = readMembers(&in)
	if !in.Done() || SeatOf(from) != seat || uint64(head) > size || size > maxSnapshot {
		return false
	}
	t := &r.transfer
	if meta.To != r.id || r.orderer == nil || meta.Position <= r.applied {
		if meta.To == r.id && r.orderer != nil {
			r.sendPull(seat, meta.Position, size, size) // it came another way: done
		}
		return true
	}
	if t.active && t.meta.Position >= meta.Position && t.from == seat {
		return true
	}
	t.active, t.from, t.meta, t.size, t.stateAt, t.saved = true, seat, meta, size, int(head), false
	t.got = make([]byte, 0, min(size, maxAhead)) // a new one: the old may be on its way to stable storage
	r.pull()
	return true
}

func (r *Replica) pull() {
	t := &r.transfer
	t.pulled = r.now
	r.sendPull(t.from, t.meta.Position, uint64(len(t.got)), t.size)
}

func (r *Replica) sendPull(seat int, position, offset, size uint64) {
	w := wire.NewWriter(nil, wire.KindPull)
	w.U64(r.id)
	w.U64(position)
	w.U64(offset)
	w.U64(size)
	r.out.message(wire.ReplicaPeer(seat), w.B)
}

// onPull sends the piece a follower asks for; asking for the end says that it has everything.
func (r *Replica) onPull(seat int, b []byte) bool {
	in := wire.NewReader(b)
	id, position, offset, size := in.U64(), in.U64(), in.U64(), in.U64()
	if !in.Done() || SeatOf(id) != seat {
		return false
	}
	t := &r.transfer
	o := &t.offers[seat]
	if !o.live || o.meta.To != id || o.meta.Position != position {
		return true
	}
	o.heard, o.next = r.now, r.now+offerTicks*r.cfg.Tick
	if offset >= size {
		o.live = false
		r.counts.SnapshotsSent++
		r.orderer.SnapshotSent(id, true)
		return true
	}
	o.wanted, o.offset = true, offset
	r.sendChunk(seat)
	return true
}

// sendChunk sends the piece that was asked for, if the budget allows, or puts it off.
func (r *Replica) sendChunk(seat int) {
	t := &r.transfer
	o := &t.offers[seat]
	if r.cfg.TransferRate > 0 && !r.quiet && !t.budget.Take(r.now, chunkBytes) {
		r.later(t.budget.Ready(r.now, chunkBytes))
		return
	}
	o.wanted = false
	offset := o.offset
	w := wire.NewWriter(make([]byte, 0, chunkBytes+32), wire.KindChunk)
	w.U64(o.meta.Position)
	w.U64(offset)
	if n := uint64(len(t.head)); offset < n {
		w.B = append(w.B, t.head[offset:]...)
	} else {
		w.B = append(w.B, t.capturing.Read(int(offset-n), chunkBytes)...)
	}
	r.out.message(wire.ReplicaPeer(seat), w.B)
}

func (r *Replica) onChunk(seat int, b []byte) bool {
	in := wire.NewReader(b)
	position, offset := in.U64(), in.U64()
	data := in.Rest()
	t := &r.transfer
	if !in.OK() {
		return false
	}
	if !t.active || seat != t.from || position != t.meta.Position || offset != uint64(len(t.got)) {
		return true // a repetition
	}
	if len(data) == 0 || uint64(len(data)) > t.size-offset {
		return false
	}
	t.got = append(t.got, data...)
	r.pull()
	r.tryInstall()
	return true
}

// tryInstall installs a snapshot that is complete, once no batch is out.
func (r *Replica) tryInstall() {
	t := &r.transfer
	if !t.active || uint64(len(t.got)) != t.size || r.working {
		return
	}
	if r.cfg.Durable && !t.saved {
		r.saveReceived()
		return
	}
	t.active = false
	if err := r.install(); err != nil {
		r.fail(err)
	}
}

// install replaces everything this replica has by the snapshot that was received.
func (r *Replica) install() error {
	t := &r.transfer
	s, st, err := r.decodeSnapshot(t.got[:t.stateAt], t.got[t.stateAt:])
	if err != nil {
		return fmt.Errorf("replica: snapshot at position %d: %w", t.meta.Position, err)
	}
	if err := r.orderer.Restore(t.meta); err != nil {
		// It is older than what is here, or than this life's membership: a later one will come.
		t.got = nil
		return nil //nolint:nilerr // refused, not failed
	}
	r.counts.SnapshotsTaken++
	t.got = nil
	if err := r.adopt(t.meta.Position, s, st); err != nil {
		return err
	}
	r.status = r.orderer.Status()
	r.setMembers(r.status.Members)
	return nil
}

// decodeSnapshot makes state and store of what a snapshot holds.
func (r *Replica) decodeSnapshot(head, stream []byte) (s state, st *store.Store, err error) {
	if s, err = decodeState(head); err != nil {
		return s, nil, err
	}
	limits, err := decodeLimits(s.limits, r.cfg.Store.Parts)
	if err != nil {
		return s, nil, err
	}
	if st, err = store.Restore(limits, [][]byte{stream}); err != nil {
		return s, nil, err
	}
	if mutate.On(mutate.RestoreSameEpoch) {
		st.Apply(&store.Batch{Time: st.Time(), ExpireBefore: 1<<64 - 1})
	}
	return s, st, nil
}

// adopt goes on from another state.
func (r *Replica) adopt(position uint64, s state, st *store.Store) error {
	old := r.lanes
	r.lanes, r.queue, r.checkpoints, r.hashes = nil, nil, nil, nil
	r.state, r.store, r.applied = s, st, position
	for _, l := range old {
		if (l.open || l.early) && r.state.lane(l.id) == nil {
			r.ingest.CloseLife(l.proxy, l.incarnation)
		}
	}
	for _, row := range r.state.lanes {
		if err := r.resume(row, old); err != nil {
			return err
		}
	}
	return nil
}

// resume takes a lane on where a snapshot leaves it. What is held beyond stays: the log may hold
// cuts that were accepted on the strength of it.
func (r *Replica) resume(row *laneRow, old []*laneState) error {
	i, ok := slices.BinarySearchFunc(old, row.id, byID)
	if !ok || !old[i].open && !old[i].early || old[i].recv.Mark().Frames < row.cut.Frames {
		return r.admit(row)
	}
	l := &laneState{laneRow: row, open: true, recv: old[i].recv, applied: row.cut, heard: r.now,
		journaled: max(old[i].journaled, row.cut.Frames), notes: old[i].notes}
	r.insert(l)
	return nil
}
