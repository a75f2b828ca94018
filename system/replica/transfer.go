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
	"Next: empty its data directory if it has one, for that would bring the state back, and start it again: " +
	"it joins as a new life")

// State transfer (R30): the leader captures its state at an applied position without stopping,
// offers it to the follower that the orderer names, and the follower pulls it piece by piece, which
// bounds the rate and survives lost messages. A snapshot is keys and sessions (package store) after
// the rest of the state.

const (
	chunkBytes = 256 << 10
	pullTicks  = 20  // without a chunk for so long, ask again
	offerTicks = 20  // between offers that nobody took up
	patience   = 400 // ticks without a pull after which a transfer has failed
)

// sentAhead is what is sent and not asked for yet.
func (c *Config) sentAhead() uint64 { return 8 * uint64(c.ChunkBytes) }

// captureMost and captureLeast are what is copied a step: no step takes long.
func (c *Config) captureMost() int { return 4 * c.ChunkBytes }

func (c *Config) captureLeast() int { return c.ChunkBytes / 4 }

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
	wanted    bool        // something is to be captured
	own       bool        // it is for this replica's own restart
	urgent    bool        // somebody else waits for it
	used      int64       // when it was last of use
	stepped   uint64      // bytes of the journal when some of it was last captured
	in        *received   // nil: nothing is being received
}

type offerState struct {
	meta  order.SnapshotMeta
	live  bool
	next  int64
	heard int64
	// More was asked for, up to which everything has arrived; sent is how far this side is.
	wanted      bool
	acked, sent uint64
	// How far its log was when it last went forward, and when; and by when it will have installed what it
	// was sent: see keepLog.
	match    uint64
	forward  int64
	began    int64
	installs int64
}

// sending reports whether what was captured goes to somebody, who must get all of it of one position.
func (t *transferState) sending() bool {
	return slices.ContainsFunc(t.offers[:], func(o offerState) bool { return o.live })
}

// capture begins a snapshot at the position applied now, unless one is being made. An urgent one is captured
// as fast as it goes, and not saved here: it is somebody else's.
func (r *Replica) capture(urgent bool) {
	t := &r.transfer
	if t.capturing != nil && !t.ready {
		t.urgent = t.urgent || urgent
		return
	}
	if t.sending() {
		return
	}
	if !t.wanted {
		t.wanted, t.own, t.urgent = true, false, false
	}
	t.own, t.urgent = t.own || !urgent, t.urgent || urgent
	r.tryCapture()
}

// tryCapture captures when the store has applied everything that was agreed up to the position. By then the
// snapshot before may have been asked for.
func (r *Replica) tryCapture() {
	t := &r.transfer
	if !t.wanted || t.sending() || r.journal.saving != nil || r.export.out != nil || r.working ||
		len(r.queue) > 0 || r.applied == 0 ||
		len(r.state.limits) == 0 { // agreed on first: without, a snapshot means nothing
		return
	}
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
	t.wanted, t.stepped = false, r.journal.bytes
	t.captured, t.placed, t.ready = r.applied, placed, false
	t.head = r.state.append(nil)
	if t.own {
		r.carry()
		t.lowest, r.journal.captured = r.lowestRecord(), r.journal.bytes
	}
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
	r.release()
	switch in := t.in; {
	case in == nil || in.whole():
	case in.meta.Position <= r.applied: // it came another way
		r.sendPull(in.from, in.meta.Position, in.size, in.size)
		r.giveUp()
	case r.now-in.heard > patience*r.cfg.Tick:
		r.giveUp() // whoever sent it is gone; the orderer asks again
	case r.now-in.pulled > pullTicks*r.cfg.Tick:
		r.pull()
	}
}

// release gives the memory of a captured state back when nobody has asked for it for a while.
func (r *Replica) release() {
	t := &r.transfer
	if r.export.out != nil || r.journal.saving != nil || t.sending() {
		t.used = r.now
	}
	if t.ready && r.now-t.used > patience*r.cfg.Tick {
		t.capturing.Release()
		t.capturing, t.ready = nil, false
	}
}

// stepCapture copies a little more of what is being captured.
func (r *Replica) stepCapture() {
	t := &r.transfer
	if t.capturing == nil || t.ready || r.working {
		return
	}
	if t.capturing.Step(r.captureStep()); t.capturing.Done() {
		t.ready, t.used = true, r.now
		r.orderer.Snapshot(t.captured)
		r.saveCaptured()
		r.exportCaptured()
	}
}

// captureStep is how much is captured now: all that a step may, if somebody waits for it or nothing else is
// to be done; else in proportion to what is journaled, so that it is done when a sixth of what the journal
// may hold has come, and clients hardly feel it. What is more than a step may is owed.
func (r *Replica) captureStep() int {
	t, j := &r.transfer, &r.journal
	if t.urgent || r.quiet || j.shut || !r.cfg.Durable {
		return r.cfg.captureMost()
	}
	owed := r.captureOwed()
	n := min(max(owed, r.cfg.captureLeast()), r.cfg.captureMost())
	if owed > n {
		t.stepped += uint64(float64(j.bytes-t.stepped) * float64(n) / float64(owed))
	} else {
		t.stepped = j.bytes
	}
	return n
}

// captureOwed is how much is to be captured for what was journaled since the last step.
func (r *Replica) captureOwed() int {
	t, j := &r.transfer, &r.journal
	size := j.size
	if size == 0 {
		size = r.seen.StoreBytes
	}
	return int(float64(j.bytes-t.stepped) / float64(r.journalBound()/6+1) * float64(size))
}

// keepPace captures between two ticks, a little at a time, what is owed.
func (r *Replica) keepPace() {
	t := &r.transfer
	if t.capturing != nil && !t.ready && r.cfg.Durable && r.captureOwed() >= r.cfg.captureLeast() {
		r.stepCapture()
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
			r.sendChunks(seat)
		}
	}
}

// offer begins a transfer that the orderer asks for.
func (r *Replica) offer(meta *order.SnapshotMeta) {
	t := &r.transfer
	if !t.ready || meta.Position != t.captured {
		r.orderer.SnapshotSent(meta.To, false)
		r.capture(true)
		return
	}
	if !slices.Contains(meta.Members.Voters, meta.To) && !slices.Contains(meta.Members.Learners, meta.To) {
		// Captured before this life was a member: it would refuse it, and ask for ever.
		r.orderer.SnapshotSent(meta.To, false)
		r.capture(true)
		return
	}
	seat := SeatOf(meta.To)
	t.offers[seat] = offerState{meta: *meta, live: true, heard: r.now, began: r.now}
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

// maxSnapshot bounds what a peer can make this replica store.
const maxSnapshot = 1 << 40

// onOffer takes up an offer that is newer than what is applied here, unless a transfer is under way and
// goes on.
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
	if in := t.in; in != nil && (in.from == seat && in.meta.Position >= meta.Position || r.goesOn(in, seat)) {
		return true
	}
	r.giveUp()
	t.in = &received{from: seat, meta: meta, size: size, headLen: uint64(head), heard: r.now}
	r.pull()
	return true
}

// goesOn reports whether a transfer is to come to its end although a seat offers another: all of it is here,
// or more of it comes, from somebody else. Several members offer their state at the same time where no one
// leads, and after a change of leaders, and repeat that: each would begin anew when another had sent much,
// and none would end.
func (r *Replica) goesOn(in *received, seat int) bool {
	return in.whole() || in.from != seat && r.now-in.heard <= 2*pullTicks*r.cfg.Tick
}

// giveUp ends the transfer that is under way, if there is one.
func (r *Replica) giveUp() {
	in := r.transfer.in
	if in == nil {
		return
	}
	in.gone, r.transfer.in = true, nil
	if in.save != nil && r.journal.saving == in.save {
		r.journal.saving = nil
	}
}

// pull says up to where everything has arrived.
func (r *Replica) pull() {
	in := r.transfer.in
	in.pulled = r.now
	r.sendPull(in.from, in.meta.Position, in.have, in.size)
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
		o.live, o.installs = false, r.now+(r.now-o.began)
		r.counts.SnapshotsSent++
		r.orderer.SnapshotSent(id, true)
		return true
	}
	if offset <= o.acked {
		o.sent = offset // asked for again: what was sent got lost
	}
	o.acked, o.sent, o.wanted = offset, max(o.sent, offset), true
	r.sendChunks(seat)
	return true
}

// sendChunks sends what follows, so far ahead of what has arrived that the way is never empty, as the
// budget allows; the rest is put off.
func (r *Replica) sendChunks(seat int) {
	t := &r.transfer
	o := &t.offers[seat]
	size, chunk := uint64(len(t.head)+t.capturing.Size()), r.cfg.ChunkBytes
	for o.sent < min(size, o.acked+r.cfg.sentAhead()) {
		if r.cfg.TransferRate > 0 && !r.quiet && !t.budget.Take(r.now, int64(chunk)) {
			r.later(t.budget.Ready(r.now, int64(chunk)))
			return
		}
		w := wire.NewWriter(make([]byte, 0, chunk+32), wire.KindChunk)
		w.U64(o.meta.Position)
		w.U64(o.sent)
		before := len(w.B)
		if n := uint64(len(t.head)); o.sent < n {
			w.B = append(w.B, t.head[o.sent:min(n, o.sent+uint64(chunk))]...)
		} else {
			for part := t.capturing.Read(int(o.sent-n), chunk); len(part) > 0; {
				w.B = append(w.B, part...)
				at := int(o.sent-n) + len(w.B) - before
				part = t.capturing.Read(at, chunk-(len(w.B)-before))
			}
		}
		o.sent += uint64(len(w.B) - before)
		r.out.message(wire.ReplicaPeer(seat), w.B)
	}
	o.wanted = false
}

func (r *Replica) onChunk(seat int, b []byte) bool {
	in := wire.NewReader(b)
	position, offset := in.U64(), in.U64()
	data := in.Rest()
	if !in.OK() {
		return false
	}
	t := r.transfer.in
	if t == nil || seat != t.from || position != t.meta.Position || offset != t.have {
		return true // a repetition, or something before it got lost
	}
	if len(data) == 0 || uint64(len(data)) > t.size-offset {
		return false
	}
	if !r.given {
		data = slices.Clone(data)
	}
	t.add(data)
	t.heard = r.now
	r.saveReceived()
	r.pull()
	r.tryInstall()
	return true
}

// tryInstall installs a snapshot that is complete, once no batch is out.
func (r *Replica) tryInstall() {
	in := r.transfer.in
	if in == nil || !in.whole() || r.working {
		return
	}
	if r.cfg.Durable && !in.saved {
		r.saveReceived()
		return
	}
	r.transfer.in = nil
	if err := r.install(in); err != nil {
		r.fail(err)
	}
}

// install replaces everything this replica has by the snapshot that was received.
func (r *Replica) install(in *received) error {
	s, st, err := r.decodeSnapshot(in.head, in.stream())
	if err != nil {
		return fmt.Errorf("replica: snapshot at position %d: %w", in.meta.Position, err)
	}
	if err := r.orderer.Restore(in.meta); err != nil {
		// It is older than what is here, or than this life's membership: a later one will come.
		return nil //nolint:nilerr // refused, not failed
	}
	r.counts.SnapshotsTaken++
	if err := r.adopt(in.meta.Position, s, st); err != nil {
		return err
	}
	r.status = r.orderer.Status()
	r.setMembers(r.status.Members)
	if r.cfg.Durable { // what it replaces is needed no more
		r.journal.needed = r.lowestRecord()
		r.trimTo(r.journal.saved)
	}
	return nil
}

// decodeSnapshot makes state and store of what a snapshot holds.
func (r *Replica) decodeSnapshot(head []byte, stream [][]byte) (s state, st *store.Store, err error) {
	if s, err = decodeState(head); err != nil {
		return s, nil, err
	}
	limits, err := decodeLimits(s.limits, r.cfg.Store.Parts)
	if err != nil {
		return s, nil, err
	}
	if st, err = store.Restore(limits, stream); err != nil {
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
		switch {
		case l.id >= r.state.nextLane:
			r.insert(l.unopened())
		case (l.open || l.early) && r.state.lane(l.id) == nil:
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

// unopened is a lane that was opened beyond a snapshot, and is again when what lies there is handed out anew.
// Accepted cuts rest on its frames.
func (l *laneState) unopened() *laneState {
	row := &laneRow{id: l.id, proxy: l.proxy, incarnation: l.incarnation, index: l.index,
		cut: order.Mark{Lane: l.id}}
	return &laneState{laneRow: row, early: true, recv: l.recv, applied: row.cut,
		journaled: l.journaled, notes: l.notes}
}

// resume takes a lane on where a snapshot leaves it. What is held beyond stays: the log may hold
// cuts that were accepted on the strength of it. So it is with a lane that was closed by a decision behind
// the snapshot: this and what it takes before are handed out again. Nothing comes into it any more, and
// nothing has to: all of it was held when that was handed out first.
func (r *Replica) resume(row *laneRow, old []*laneState) error {
	i, ok := slices.BinarySearchFunc(old, row.id, byID)
	if !ok || old[i].recv.Mark().Frames < row.cut.Frames || old[i].recv.Trimmed() > row.cut.Frames {
		return r.admit(row)
	}
	l := &laneState{laneRow: row, open: true, recv: old[i].recv, applied: row.cut, heard: r.now,
		journaled: max(old[i].journaled, row.cut.Frames), notes: old[i].notes}
	r.insert(l)
	r.journalFrames(l) // of a closed lane, those that came last may not have been
	return nil
}
