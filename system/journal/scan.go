package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"

	"metronome/internal/mutate"
	"metronome/system/disk"
)

// scan walks segments in order and finds what can be read: Open's recovery, and Records. It expects
// positions, batch and record numbers, to follow on; where they jump, something is lost. Memory is
// one window, whatever the journal's size.
type scan struct {
	fs     disk.FS
	dir    string
	visit  func(number uint64, record []byte) bool // false ends the walk
	report *Report                                 // nil: what is lost is known
	win    window

	from          uint64 // records below are not wanted
	batch, record uint64 // where the next batch should be
	off           int64  // of the block to be read next
	sure          int64  // up to here somebody testifies to a sync
	segment       uint64 // what was last good: this segment
	offset        int64  // up to here
	why           string // what follows it may be bad for
}

var errStop = errors.New("journal: no more records are wanted")

// tail is how the last segment ends.
type tail struct {
	end   int64   // what is good ends here
	sure  int64   // what is surely durable ends here
	wipe  []int64 // blocks behind that could be taken for good ones
	torn  int64   // bytes dropped
	loose bool    // records are lost here, and how many is not known
}

// with opens a segment's file for the window while do runs.
func (s *scan) with(seg *segment, limit int64, do func() error) error {
	file, err := s.fs.Open(path.Join(s.dir, segmentName(seg.number, segmentSuffix)))
	if err != nil {
		return fmt.Errorf("journal: open segment %d: %w", seg.number, err)
	}
	s.win.reset(file, limit)
	return errors.Join(do(), file.Close())
}

// heads reads both heads of a segment into seg; first is a good one, or one without a kind. Without
// a good head the salt is that of the first block that claims to be of this segment.
func (s *scan) heads(seg *segment, identity string) (first header, err error) {
	seg.bad = 0
	for off := int64(0); off < headsSize; off += blockSize {
		b, err := s.win.bytes(off, headerSize+recordSize+MaxIdentity+8)
		if err != nil {
			return first, err
		}
		h, v, ok := decode(b)
		if !ok || h.segment != seg.number {
			seg.bad++
			continue
		}
		if v != version {
			return first, fmt.Errorf("%w: segment %d has %d, this program knows %d: use the program "+
				"that wrote it", ErrVersion, seg.number, v, version)
		}
		owner, size, ok := headRecord(b, &h)
		if !ok {
			seg.bad++
			continue
		}
		if owner != identity {
			return first, fmt.Errorf("%w: %q, not %q: give each its own directory", ErrForeign, owner, identity)
		}
		first, seg.head, seg.salt, seg.flags, seg.made = h, true, h.salt, h.flags, size
	}
	if !seg.head {
		err = s.adopt(seg)
	}
	return first, err
}

// headRecord is what a head holds: the identity, and the size that the segment was made with.
func headRecord(b []byte, h *header) (owner string, size int64, ok bool) {
	if h.kind != kindHead || !h.plausible() || int64(h.length) > int64(len(b)-headerSize) {
		return "", 0, false
	}
	record, _, ok := next(b[headerSize:headerSize+h.length], h.life, h.first)
	n := len(record) - 8
	if !ok || n < 0 {
		return "", 0, false
	}
	return string(record[:n]), int64(binary.LittleEndian.Uint64(record[n:])), true
}

func (s *scan) adopt(seg *segment) error {
	for off := int64(headsSize); off < s.win.size; off += blockSize {
		b, err := s.win.bytes(off, headerSize)
		if err != nil {
			return err
		}
		if h, v, ok := decode(b); ok && v == version && h.segment == seg.number && h.plausible() {
			seg.salt = h.salt
			return nil
		}
	}
	return nil
}

// ours reads the header at off, if there is one of this segment.
func (s *scan) ours(seg *segment, off int64) (h header, ok bool, err error) {
	b, err := s.win.bytes(off, headerSize)
	if err != nil {
		return h, false, err
	}
	h, v, ok := decode(b)
	ok = ok && v == version && h.kind != kindHead && h.segment == seg.number && h.salt == seg.salt &&
		h.plausible()
	return h, ok, nil
}

// at is ours, if it can follow what came before.
func (s *scan) at(seg *segment, off int64) (h header, ok bool, err error) {
	h, ok, err = s.ours(seg, off)
	return h, ok && h.batch >= s.batch && h.first >= s.record, err
}

// seek finds the next block at or after off that can follow; off -1 if there is none.
func (s *scan) seek(seg *segment, off int64) (header, int64, error) {
	for ; off < s.win.size; off += blockSize {
		h, ok, err := s.at(seg, off)
		if err != nil || ok {
			return h, off, err
		}
	}
	return header{}, -1, nil
}

// testimony is what the blocks of a segment say.
type testimony struct {
	synced, keep, keepRecord uint64
	blocks                   int
}

func (t *testimony) hear(h *header) {
	t.blocks++
	t.synced = max(t.synced, h.synced)
	if h.keep > t.keep {
		t.keep, t.keepRecord = h.keep, h.keepRecord
	}
}

// hear gathers what all good blocks of a segment testify to, wherever they are.
func (s *scan) hear(seg *segment, t *testimony) error {
	for off := int64(headsSize); off < s.win.size; {
		h, ok, err := s.ours(seg, off)
		if err != nil {
			return err
		}
		if !ok {
			off += blockSize
			continue
		}
		t.hear(&h)
		off += h.size()
	}
	return nil
}

// arrive says that a good block stands at off, and notes what is missing before it.
func (s *scan) arrive(h *header, seg *segment, off int64) {
	if h.first > s.record {
		length := int64(0)
		if s.segment == seg.number {
			length = off - s.offset
		}
		s.report.lose(Damage{s.segment, s.offset, length, s.record, h.first, s.why})
	}
	s.batch, s.record = h.batch, h.first
	s.good(seg, off)
}

// good says up to where this segment is.
func (s *scan) good(seg *segment, off int64) {
	s.segment, s.offset, s.why = seg.number, off, "checksum failed"
}

// walk reads one segment. synced is up to which batch somebody testifies to a sync; for the last
// segment a bad batch beyond is a torn tail. Of all others everything was synced.
func (s *scan) walk(seg *segment, head *header, last bool, synced uint64) (t tail, err error) {
	if mutate.On(mutate.DamageAsTornTail) {
		synced = 0
	} else if mutate.On(mutate.TornTailAsDamage) {
		synced = 1 << 63
	}
	s.report.harmless(seg.bad)
	if seg.head && head.batch >= s.batch && head.first >= s.record { // else it lies: numbers only grow
		s.arrive(head, seg, 0)
		s.good(seg, headsSize)
	} else {
		s.good(seg, 0)
	}
	seg.first, seg.end = s.record, false
	s.off, s.sure = headsSize, headsSize
	if err := s.blocks(seg, last && seg.size >= seg.made, synced); err != nil {
		return t, err
	}
	t.end, t.sure = s.off, s.sure
	if last {
		err = s.findTail(seg, &t)
	}
	return t, err
}

// blocks reads a segment's blocks from s.off, and leaves s.off where they end.
func (s *scan) blocks(seg *segment, last bool, synced uint64) error {
	for s.off < s.win.size && !seg.end {
		h, ok, err := s.at(seg, s.off)
		if err != nil {
			return err
		}
		if !ok {
			to, err := s.resume(seg, s.off, last, synced)
			if err != nil || to < 0 {
				return err
			}
			s.off = to
			continue
		}
		whole, err := s.block(seg, &h, !last || h.batch < synced)
		if err != nil || !whole {
			return err
		}
		s.off += h.size()
		s.good(seg, s.off)
		if h.kind == kindBatch && h.batch < synced {
			s.sure = s.off // and so is what was written before it
		}
	}
	return nil
}

// block takes in the block at s.off; false if it is a torn batch.
func (s *scan) block(seg *segment, h *header, synced bool) (whole bool, err error) {
	switch {
	case h.kind != kindBatch:
		s.arrive(h, seg, s.off)
		seg.end = h.kind == kindEnd
	case h.first+uint64(h.count) <= s.from:
		s.batch, s.record = h.batch+1, h.first+uint64(h.count)
	default:
		return s.records(seg, h, s.off, synced)
	}
	return true, nil
}

// resume finds where to go on after a bad block; -1 says that the segment ends before it.
func (s *scan) resume(seg *segment, off int64, last bool, synced uint64) (to int64, err error) {
	h, to, err := s.seek(seg, off+blockSize)
	spoilt := s.win.spoilt(off, blockSize)
	if to >= 0 && last && h.batch > s.batch && synced <= s.batch && !spoilt {
		return -1, err // what is bad was never synced, nor was what follows
	}
	if to >= 0 && h.first == s.record {
		s.report.harmless((to - off) / blockSize)
	}
	return to, err
}

// records hands out the records of the batch at off. If the batch was synced, those that are bad are
// damage; otherwise one bad record makes it torn, and none is handed out.
func (s *scan) records(seg *segment, h *header, off int64, synced bool) (whole bool, err error) {
	block, err := s.win.bytes(off, headerSize+int64(h.length))
	if err != nil {
		return false, err
	}
	body := block[min(headerSize, len(block)):]
	good := intact(body, h)
	if !good && !synced && !s.win.spoilt(off, h.size()) {
		return false, nil
	}
	s.arrive(h, seg, off)
	for number := h.first; number < h.first+uint64(h.count); number++ {
		record, rest, ok := record(body, h, number, good)
		if ok {
			if err := s.yield(number, record); err != nil {
				return true, err
			}
		} else {
			s.report.lose(Damage{seg.number, off, h.size(), number, number + 1, "checksum failed"})
		}
		body = rest
	}
	s.batch, s.record = h.batch+1, h.first+uint64(h.count)
	return true, nil
}

// intact reports whether body is exactly the records that the header announces.
func intact(body []byte, h *header) bool {
	if len(body) != int(h.length) {
		return false
	}
	for number := h.first; number < h.first+uint64(h.count); number++ {
		_, rest, ok := next(body, h.life, number)
		if !ok {
			return false
		}
		body = rest
	}
	return len(body) == 0
}

// record is next, for a body that may be known to be good.
func record(body []byte, h *header, number uint64, good bool) (r, rest []byte, ok bool) {
	if good {
		return split(body)
	}
	return next(body, h.life, number)
}

func (s *scan) yield(number uint64, record []byte) error {
	if s.report != nil {
		s.report.Records++
		s.report.Bytes += int64(len(record))
	}
	if s.visit != nil && !s.visit(number, record) {
		return errStop
	}
	return nil
}

// findTail looks at what lies behind the end of the last segment.
func (s *scan) findTail(seg *segment, t *tail) error {
	for off := t.end; off < s.win.size; off += blockSize {
		_, ok, err := s.ours(seg, off)
		if err != nil {
			return err
		}
		if ok {
			t.wipe = append(t.wipe, off)
		}
		t.loose = t.loose || off == t.end && s.win.spoilt(off, blockSize)
		b, err := s.win.bytes(off, blockSize)
		if err != nil {
			return err
		}
		if ok || seg.flags&flagRecycle == 0 && !blank(b) {
			t.torn += blockSize
		}
	}
	return nil
}

func blank(b []byte) bool { return string(b) == string(zeros[:len(b)]) }
