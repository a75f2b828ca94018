package store

import (
	"encoding/binary"
	"slices"
	"sort"

	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

// Snapshot is a copy of the state at one index, made step by step while the store goes on.
//
// Nothing is copied when a key changes: a record that the snapshot still needs is left where it is, and
// noted, until its slot is captured (a multiversion store in miniature). So an Apply pays for a snapshot
// by a note of 16 bytes a changed key, and by the memory of old versions until Done; how long one Step
// takes, its budget decides. A session is copied when it changes, or by Step.
//
// The bytes are a function of the state and the replicated configuration: equal at every replica.
type Snapshot struct {
	s     *Store
	index uint64
	next  int      // the first slot not captured yet
	undo  []uint32 // by slot: 1 + place of the newest note in part.undo

	sessions []*session
	early    [][]byte // sessions that changed before Step came to them
	nextSess int

	sections [][]byte // finished ones
	ends     []int    // where each ends in the stream
	open     []byte   // the one being filled
	kind     uint32
	sorted   []hashed
	data     int // bytes of keys and values
	done     bool
}

// undo is a record that is no longer in its slot's table but in the snapshot.
type undo struct {
	r    ref
	next uint32
}

const (
	sectionBytes = 64 << 10 // a section is closed when its payload reaches this

	snapshotMagic   = 0x50414E534E4F544D // "MTONSNAP"
	snapshotVersion = 1
	recordFixed     = 14
)

// Capture begins a snapshot of the present state: of what the last Apply left. It returns nil while
// another is being captured; Done ones do not count. The caller then calls Step between Applys.
func (s *Store) Capture() *Snapshot {
	if s.snap != nil {
		return nil
	}
	sn := &Snapshot{s: s, index: s.index, undo: make([]uint32, s.cfg.Slots)}
	s.snap = sn
	s.table.begin(sn)
	for i := range s.parts {
		s.parts[i].snap = sn
	}
	sn.begin(SectionHeader)
	for _, v := range s.header() {
		sn.open = binary.LittleEndian.AppendUint64(sn.open, v)
	}
	sn.close()
	return sn
}

// header is the payload of the first section.
func (s *Store) header() []uint64 {
	return append(s.cfg.identity(), s.index, s.time, uint64(s.Len()), uint64(len(s.table.byID)), s.Hash())
}

// identity is what must be equal for a snapshot to be restored. The seed is shown by a hash only.
func (c *Config) identity() []uint64 {
	return []uint64{snapshotMagic, snapshotVersion, uint64(c.Slots), xxh3.HashSeed([]byte("seed"), c.Seed),
		uint64(c.MaxSessions), uint64(c.SessionWindow), uint64(c.MaxResultBytes), c.SessionTTL,
		uint64(c.MaxReplyBytes)}
}

// Index is the index of the last item the snapshot covers.
func (sn *Snapshot) Index() uint64 { return sn.index }

// Done reports whether everything is captured, so that Size and Read may be used.
func (sn *Snapshot) Done() bool { return sn.done }

// Step captures about budget bytes more; it overshoots by at most one slot. Call it between Applys.
func (sn *Snapshot) Step(budget int) {
	for spent := 0; !sn.done && spent < budget; {
		switch {
		case sn.nextSess < len(sn.sessions):
			spent += sn.stepSession()
		case sn.next < sn.s.cfg.Slots:
			spent += sn.stepSlot()
		default:
			sn.finish()
		}
	}
}

func (sn *Snapshot) finish() {
	sn.begin(SectionEnd)
	sn.close()
	sn.done = true
	sn.detach()
}

// detach lets the store forget the snapshot. All of its notes are settled.
func (sn *Snapshot) detach() {
	for i := range sn.s.parts {
		p := &sn.s.parts[i]
		p.snap, p.undo = nil, p.undo[:0]
	}
	sn.s.table.snap, sn.s.snap = nil, nil
	sn.sessions, sn.early, sn.undo, sn.sorted = nil, nil, nil, nil
}

// Release ends the snapshot, finished or not, and frees its memory.
func (sn *Snapshot) Release() {
	if !sn.done && sn.s.snap == sn {
		for ; sn.next < sn.s.cfg.Slots; sn.next++ {
			sn.settle(sn.next)
		}
		sn.detach()
	}
	sn.sections, sn.ends, sn.open, sn.done = nil, nil, nil, false
}

func (sn *Snapshot) stepSession() int {
	i := sn.nextSess
	before := len(sn.sections)*sectionBytes + len(sn.open)
	sn.begin(SectionSessions)
	if b := sn.early[i]; b != nil {
		sn.open = append(sn.open, b...)
		sn.early[i] = nil
	} else {
		s := sn.sessions[i]
		s.capture = sn.s.table.capture
		sn.open = s.encode(sn.open)
	}
	sn.sessions[i] = nil
	sn.nextSess++
	sn.fill()
	return max(1, len(sn.sections)*sectionBytes+len(sn.open)-before)
}

// stepSlot captures one slot and returns the bytes it took.
func (sn *Snapshot) stepSlot() (bytes int) {
	p := &sn.s.parts[sn.s.owner[sn.next]]
	sn.sorted = sn.sorted[:0]
	for _, e := range p.slots[sn.next-p.first].table {
		if e == 0 {
			continue
		}
		if rec := p.at(ref(e & refMask)); revisionOf(rec) <= sn.index {
			sn.sorted = append(sn.sorted, hashed{p.hashOf(keyOf(rec)), rec})
		}
	}
	for n := sn.undo[sn.next]; n > 0; n = p.undo[n-1].next {
		rec := p.at(p.undo[n-1].r)
		sn.sorted = append(sn.sorted, hashed{p.hashOf(keyOf(rec)), rec})
	}
	slices.SortFunc(sn.sorted, compareHashed)
	for _, h := range sn.sorted {
		bytes += sn.record(p, h.rec)
	}
	sn.settle(sn.next)
	sn.next++
	return bytes + 1
}

// settle releases the records that were kept for a slot.
func (sn *Snapshot) settle(slot int) {
	p := &sn.s.parts[sn.s.owner[slot]]
	for n := sn.undo[slot]; n > 0; n = p.undo[n-1].next {
		p.release(p.undo[n-1].r)
	}
	sn.undo[slot] = 0
}

// record appends one key: length of the value (4), of the key (2), revision (8), key, value.
func (sn *Snapshot) record(p *part, rec []byte) int {
	le := binary.LittleEndian
	sn.begin(SectionKeys)
	key, value := keyOf(rec), p.value(rec)
	sn.open = le.AppendUint32(sn.open, uint32(len(value)))
	sn.open = le.AppendUint16(sn.open, uint16(len(key)))
	sn.open = le.AppendUint64(sn.open, revisionOf(rec))
	sn.open = append(append(sn.open, key...), value...)
	sn.data += len(key) + len(value)
	sn.fill()
	return recordFixed + len(key) + len(value)
}

// begin opens a section, unless one of the kind is open.
func (sn *Snapshot) begin(kind uint32) {
	if sn.open != nil && sn.kind == kind {
		return
	}
	sn.close()
	sn.kind = kind
	sn.open = make([]byte, SectionHead, SectionHead+sectionBytes+2<<10)
}

// fill closes the open section if it is long enough.
func (sn *Snapshot) fill() {
	if len(sn.open) >= SectionHead+sectionBytes {
		sn.close()
	}
}

func (sn *Snapshot) close() {
	if sn.open == nil {
		return
	}
	AppendSectionHead(sn.open[:0], sn.open[SectionHead:], sn.kind, len(sn.sections))
	sn.sections = append(sn.sections, sn.open)
	sn.ends = append(sn.ends, sn.Size()+len(sn.open))
	sn.open = nil
}

// Size is the bytes of the stream, when Done.
func (sn *Snapshot) Size() int {
	if len(sn.ends) == 0 {
		return 0
	}
	return sn.ends[len(sn.ends)-1]
}

// Data is how many of these are keys and values.
func (sn *Snapshot) Data() int { return sn.data }

// Read returns some bytes of the stream from offset, at most limit; none at its end or before Done. They
// are valid until Release.
func (sn *Snapshot) Read(offset, limit int) []byte {
	if !sn.done || offset < 0 || offset >= sn.Size() {
		return nil
	}
	i := sort.SearchInts(sn.ends, offset+1)
	b := sn.sections[i]
	b = b[len(b)-(sn.ends[i]-offset):]
	n := max(0, min(limit, len(b)))
	return b[:n:n]
}

// begin lets a snapshot take note of all sessions, in the order of their last use.
func (t *sessions) begin(sn *Snapshot) {
	t.capture++
	t.snap = sn
	sn.sessions = make([]*session, 0, len(t.byID))
	for s := t.oldest; s != nil; s = s.newer {
		s.place = len(sn.sessions)
		sn.sessions = append(sn.sessions, s)
	}
	sn.early = make([][]byte, len(sn.sessions))
}

// preserve copies a session that is about to change, if the snapshot does not have it yet.
func (t *sessions) preserve(s *session) {
	if t.snap == nil || s.capture == t.capture {
		return
	}
	s.capture = t.capture
	t.snap.early[s.place] = s.encode(nil)
}

// encode appends a session: id, low, used, time, number of results (8 each), then for each: its
// number (8) and the result as in package wire, by number.
func (s *session) encode(b []byte) []byte {
	le := binary.LittleEndian
	for _, v := range [...]uint64{s.id, s.low, s.used, s.time} {
		b = le.AppendUint64(b, v)
	}
	count, at := uint64(0), len(b)
	b = le.AppendUint64(b, 0)
	for i := range uint64(len(s.results.items)) {
		if e := s.result(s.floor + i); e != nil {
			b = le.AppendUint64(b, e.number)
			b = wire.AppendResult(b, &e.result)
			count++
		}
	}
	le.PutUint64(b[at:], count)
	return b
}
