package replica

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/node"
	"metronome/system/order"
	"metronome/system/wire"
)

// With durability, everything a replica must not forget goes into one journal, in the order in
// which it came about: the frames of each lane without gaps, and what the orderer wants written. So
// the frames that an acceptance rests on always lie before the acceptance itself, one fsync makes
// both durable, and the orderer's answer leaves only then: a cut is accepted by whoever holds its
// items durably (R8, R11). Frames alone are never waited for.
//
// A journal is read again from the newest durable snapshot on; what lies before it is trimmed.

// The records of a journal: kind, and what follows.
const (
	recordLife   = 1 // who this is: cluster, life, the founding seats or none
	recordFrames = 2 // of one lane: its id, then each frame after its length (2 bytes)
	recordOrder  = 3 // order.Persist.Fresh or 0, and what the orderer wants repeated after a restart
)

// framesBytes is when a record of frames is closed.
const framesBytes = 256 << 10

// journalState is what a replica knows of its journal.
type journalState struct {
	next  uint64 // number of the next record
	bytes uint64 // appended in this process
	buf   []byte // records on their way to the driver, one after another
	ends  []int  // where each ends
	taken bool   // the driver has them
	sync  bool   // something waits for them

	pending  []writing   // the orderer's, not durable yet
	fresh    []freshMark // ascending
	synced   uint64
	trim     uint64 // records below may go, once trimAt is durable
	trimAt   uint64
	saving   *Save
	saved    uint64 // position of the newest durable snapshot
	needed   uint64 // first record that a restart from it needs for its frames
	lowest   uint64 // the same of what is being saved
	captured uint64 // bytes when a snapshot was last captured

	keyed [wire.KeyPlaces]uint64 // the last record with frames under a key, by its place; 0: none

	refreshed bool // there are fresh marks that trimTo has not seen

	roomState
}

// writing is a write of the orderer and the last record of it.
type writing struct{ seq, record uint64 }

// freshMark is a record from which on the orderer's records are complete, given a snapshot at the
// position or later.
type freshMark struct{ position, record, bytes uint64 }

// note says in which record the frames of a lane from one on begin.
type note struct{ frame, record uint64 }

// A lane's notes: one every so many frames, at most so many; beyond, every other one is forgotten.
const (
	noteEvery = 256
	maxNotes  = 1024
)

// begin starts a record; end closes it and returns its number.
func (j *journalState) begin(kind uint8) wire.Writer {
	if j.taken {
		j.buf, j.ends, j.taken = j.buf[:0], j.ends[:0], false
	}
	w := wire.Writer{B: j.buf}
	w.U8(kind)
	return w
}

func (j *journalState) end(w *wire.Writer) uint64 {
	j.bytes += uint64(len(w.B) - len(j.buf))
	j.buf, j.ends = w.B, append(j.ends, len(w.B))
	j.next++
	return j.next - 1
}

// take hands out the records written since it was last called.
func (j *journalState) take(out *node.Output) {
	out.Sync, j.sync = out.Sync || j.sync, false
	if j.taken {
		return
	}
	at := 0
	for _, end := range j.ends {
		out.Records = append(out.Records, j.buf[at:end:end])
		at = end
	}
	j.taken = true
}

// journalLife writes down who this is. It comes before everything the orderer wants written.
func (r *Replica) journalLife(id uint64, founding *order.Members) {
	if !r.cfg.Durable {
		return
	}
	w := r.journal.begin(recordLife)
	w.U32(r.cfg.Cluster)
	w.U64(id)
	seats := uint16(0)
	if founding != nil {
		for _, v := range founding.Voters {
			seats |= 1 << SeatOf(v)
		}
	}
	w.U16(seats)
	r.journal.end(&w)
}

// journalFrames writes the frames of a lane that came since.
func (r *Replica) journalFrames(l *laneState) {
	if !r.cfg.Durable || r.journal.shut || !l.open && !l.early {
		return
	}
	most := framesBytes
	if r.cfg.EachFrame {
		most = 1
	}
	for mark := l.recv.Mark().Frames; l.journaled < mark; {
		r.journalSome(l, mark, most)
	}
}

// journalSome writes one record of a lane's frames.
func (r *Replica) journalSome(l *laneState, mark uint64, most int) (record uint64) {
	w := r.journal.begin(recordFrames)
	w.U32(uint32(l.id))
	l.note(r.journal.next)
	for start := len(w.B); l.journaled < mark && len(w.B)-start < most; {
		f := l.recv.Frame(l.journaled)
		w.U16(uint16(len(f)))
		w.B = append(w.B, f...)
		r.cfg.Digest.Reseal(w.B[len(w.B)-len(f):])
		r.journal.keyed[wire.KeyPlace(f)] = r.journal.next
		l.journaled++
	}
	return r.journal.end(&w)
}

func (l *laneState) note(record uint64) {
	if n := len(l.notes); n > 0 && l.journaled-l.notes[n-1].frame < noteEvery {
		return
	}
	if len(l.notes) == maxNotes {
		kept := l.notes[:0]
		for i := 0; i < maxNotes; i += 2 {
			kept = append(kept, l.notes[i])
		}
		l.notes = kept
	}
	l.notes = append(l.notes, note{l.journaled, record})
}

// firstRecord is a record at or before that of the given frame. Notes of what lies before are
// forgotten: no later snapshot asks for them.
func (l *laneState) firstRecord(frame uint64) (record uint64) {
	n := 0
	for n < len(l.notes) && l.notes[n].frame <= frame {
		record = l.notes[n].record
		n++
	}
	l.notes = slices.Delete(l.notes, 0, max(0, n-1))
	return record
}

// journalOrder writes what the orderer wants, after everything that it may rest on.
func (r *Replica) journalOrder(p *order.Persist) {
	if !r.cfg.Durable {
		r.orderer.Persisted(p.Seq) // memory: there is nothing to wait for
		return
	}
	if !mutate.On(mutate.FramesAfterOrder) {
		r.gather()
	}
	j := &r.journal
	if p.Fresh > 0 {
		j.refresh(p.Fresh)
	}
	for i, b := range p.Records {
		w := j.begin(recordOrder)
		if i == 0 {
			w.U64(p.Fresh)
		} else {
			w.U64(0)
		}
		w.B = append(w.B, b...)
		j.end(&w)
	}
	j.pending = append(j.pending, writing{p.Seq, j.next - 1})
	j.sync = j.sync || !p.Lazy
	if mutate.On(mutate.AcknowledgeBeforeSync) {
		r.orderer.Persisted(p.Seq)
	}
}

// maxFresh bounds the fresh marks that are remembered; at the bound every other one is forgotten.
const maxFresh = 1024

// refresh notes that the record to come repeats everything from a position on.
func (j *journalState) refresh(position uint64) {
	if len(j.fresh) == maxFresh {
		kept := j.fresh[:0]
		for i := 1; i < maxFresh; i += 2 {
			kept = append(kept, j.fresh[i])
		}
		j.fresh = kept
	}
	j.fresh = append(j.fresh, freshMark{position, j.next, j.bytes})
	j.refreshed = true
}

// Synced says that every record up to and including this number is durable.
func (r *Replica) Synced(now int64, record uint64) {
	r.now = now
	j := &r.journal
	j.synced = max(j.synced, record)
	n := 0
	for n < len(j.pending) && j.pending[n].record <= record {
		n++
	}
	if n == 0 || r.orderer == nil {
		return
	}
	r.orderer.Persisted(j.pending[n-1].seq)
	j.pending = append(j.pending[:0], j.pending[n:]...)
}

// Trimmable is the number below which records are of no use to a restart any more.
func (r *Replica) Trimmable() uint64 {
	if j := &r.journal; j.synced >= j.trimAt {
		return j.trim
	}
	return 0
}

// keyPlaces are the places of keys under which the journal holds frames that a restart may need, a bit each.
func (j *journalState) keyPlaces() (set uint16) {
	for place, last := range j.keyed {
		if last > 0 && last >= j.trim {
			set |= 1 << place
		}
	}
	return set
}

// Save is a snapshot on its way to stable storage: a file of Header and then Size bytes of state. It
// replaces the one before once it is durable, file name included; Saved then says so.
type Save struct {
	Position uint64
	Index    uint64 // the last item that is in it; 0 if it came from a peer
	Epoch    uint64
	Header   []byte
	Size     int
	head     []byte
	rest     func(offset, limit int) []byte
	in       *received // what is still on its way, or nil
}

// Ready is how many bytes of the state there are by now, Size at the end; -1 says that no more will come
// and the snapshot is to be forgotten. Unlike Read it is for the replica's own goroutine.
func (s *Save) Ready() int {
	if s.in == nil {
		return s.Size
	}
	return s.in.ready()
}

// Read returns some bytes of the state from offset, at most limit; none at its end. It is for what is
// Ready, for one goroutine, ascending, and safe beside everything else that the replica does.
func (s *Save) Read(offset, limit int) []byte {
	if n := len(s.head); offset < n {
		return s.head[offset:min(n, offset+limit)]
	}
	return s.rest(offset-len(s.head), limit)
}

// Save is the snapshot to be saved, or nil; the same one until Saved, or until it is given up.
func (r *Replica) Save() *Save { return r.journal.saving }

// Saved says that the snapshot is durable: a restart begins with it.
func (r *Replica) Saved(now int64, position uint64) {
	r.now = now
	j := &r.journal
	if j.saving == nil || j.saving.Position != position {
		return
	}
	j.saving, j.saved, j.needed, j.unsaved, j.own = nil, position, j.lowest, 0, attempts{}
	if in := r.transfer.in; in != nil && in.save != nil && in.meta.Position == position {
		in.saved = true
		r.tryInstall()
		return
	}
	j.came = j.bytes - j.captured
	r.trimTo(position)
}

// Unsaved says that the snapshot could not be written, for want of room for example, and is given up. A
// restart begins with the one before, so nothing is trimmed. Another is taken after a while, or the same if
// it came from a peer; at the journal's bound proxies are told to take no writes until then.
func (r *Replica) Unsaved(now int64, position uint64) {
	r.now = now
	j := &r.journal
	if j.saving == nil || j.saving.Position != position {
		return
	}
	if in := j.saving.in; in != nil {
		in.save = nil // what has arrived is here still
		in.tries.failed(r.ticks, receivedMost)
	} else {
		j.own.failed(r.ticks, ownMost)
	}
	j.saving = nil
	j.unsaved++
	r.counts.Unsaved++
}

// attempts are those at a snapshot that could not be written. This replica's own and each that a peer
// sends have theirs: whoever waits for a peer's does not wait for what became of others before.
type attempts struct {
	n    int
	from uint64 // the tick from which another is made
}

// Between attempts lie so many ticks, doubled so many times at most. A peer's snapshot is in memory until
// it is written, and its replica of no use, so it is tried more often.
const (
	retryTicks   = 64
	ownMost      = 5
	receivedMost = 2
)

func (a *attempts) failed(tick uint64, most int) {
	a.from = tick + retryTicks<<min(a.n, most)
	a.n++
}

// trimTo lets go of the records that a snapshot makes superfluous: frames that it has applied, and
// what the orderer wrote before it repeated everything (order.Persist.Fresh).
func (r *Replica) trimTo(position uint64) {
	j := &r.journal
	j.refreshed = false
	n := 0
	for n < len(j.fresh) && j.fresh[n].position <= position {
		n++
	}
	if n > 0 {
		j.fresh = append(j.fresh[:0], j.fresh[n-1:]...)
		if to := min(j.needed, j.fresh[0].record); to > j.trim {
			j.trim, j.trimAt = to, max(j.fresh[0].record, j.carried)
			j.sync = j.sync || j.synced < j.trimAt // or it may wait for ever, and frames for room
		}
	}
	// A log that is not compacted, because some member lacks much of it, holds the journal back: at a
	// quarter of the bound that member gets a snapshot instead (R17).
	if n == 0 || int64(j.captured-j.fresh[0].bytes) > r.journalBound()/4 {
		r.orderer.Compact(r.keepLog(position))
	}
}

// trimAgain trims below the newest durable snapshot when the orderer has repeated everything since.
func (r *Replica) trimAgain() {
	if j := &r.journal; j.refreshed && j.saved > 0 {
		r.trimTo(j.saved)
	}
}

// lowestRecord is the first record that a restart from the state applied now needs for its frames.
func (r *Replica) lowestRecord() uint64 {
	low := r.journal.next
	if mutate.On(mutate.TrimJournalUndecided) {
		return low
	}
	for _, l := range r.lanes {
		if (l.open || l.early) && l.journaled > l.applied.Frames {
			low = min(low, l.firstRecord(l.applied.Frames))
		}
	}
	return low
}

// saveCaptured hands out the snapshot that was captured.
func (r *Replica) saveCaptured() {
	t, j := &r.transfer, &r.journal
	if !r.cfg.Durable || !t.own || j.saving != nil || t.placed.Position <= j.saved {
		return
	}
	j.lowest = t.lowest
	if mutate.On(mutate.TrimBeforeSaved) {
		j.needed = t.lowest
		r.trimTo(t.captured)
	}
	j.saving = r.capturedFile()
	j.measured(t.capturing.Data(), len(j.saving.Header)+j.saving.Size)
}

// capturedFile is what was captured, as a file.
func (r *Replica) capturedFile() *Save {
	t := &r.transfer
	return &Save{Position: t.captured, Index: t.capturing.Index(), Epoch: r.state.epoch,
		Size: len(t.head) + t.capturing.Size(), head: t.head, rest: t.capturing.Read,
		Header: r.fileHeader(&t.placed, t.head, t.capturing.Size())}
}

// saveReceived hands out a snapshot that a peer sends, as soon as the state beside the store is there: it is
// durable before it is installed (R30), and written while it arrives.
func (r *Replica) saveReceived() {
	in, j := r.transfer.in, &r.journal
	if !r.cfg.Durable || in.save != nil || j.saving != nil || in.have < in.headLen || r.ticks < in.tries.from {
		return // of several, each has its turn
	}
	j.lowest = 0
	j.saving = &Save{Position: in.meta.Position, Size: int(in.size), rest: in.reader(), in: in,
		Header: r.fileHeader(&in.meta, in.head, int(in.size-in.headLen))}
	in.save = j.saving
}
