package journal

import (
	"errors"
	"iter"

	"metronome/system/disk"
)

// Block is something found in a segment's file.
type Block struct {
	Segment uint64
	Offset  int64
	Length  int64  // bytes on the disk
	Kind    string // head, batch, seal, end; or other: not of this segment, or not good
	Batch   uint64 // its number, or the next one's
	First   uint64 // its first record, or the next one
	Count   int    // records
	Synced  uint64 // batches below were synced before
	Keep    uint64 // segments below are trimmed
	Good    bool   // all checksums hold
}

// Inspect lists what lies in a journal's files, without a lock, a repair or an opinion. Blank blocks
// are left out, neighbours of kind other are one. It may run beside a process that writes, and then
// shows some of what that one did.
func Inspect(fsys disk.FS, dir string) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		l, err := list(fsys, dir)
		if err != nil {
			yield(Block{}, err)
			return
		}
		s := &scan{fs: fsys, dir: dir}
		for i := range l.segments {
			seg := &l.segments[i]
			err := s.with(seg, seg.size, func() error { return s.inspect(seg, yield) })
			if errors.Is(err, errStop) || err != nil && !yield(Block{Segment: seg.number}, err) {
				return
			}
		}
	}
}

func (s *scan) inspect(seg *segment, yield func(Block, error) bool) error {
	other := Block{Segment: seg.number, Kind: "other"}
	flush := func() bool {
		b := other
		other.Length = 0
		return b.Length == 0 || yield(b, nil)
	}
	for off := int64(0); off < s.win.size; {
		b, err := s.describe(seg, off)
		if err != nil {
			return err
		}
		switch {
		case b.Kind != "":
			if !flush() || !yield(b, nil) {
				return errStop
			}
		case b.Good: // blank
			if !flush() {
				return errStop
			}
		case other.Length == 0:
			other.Offset = off
			fallthrough
		default:
			other.Length += b.Length
		}
		off += b.Length
	}
	if !flush() {
		return errStop
	}
	return nil
}

// describe looks at what begins at off. What is no block of the segment has no kind, and is good if
// it is blank.
func (s *scan) describe(seg *segment, off int64) (Block, error) {
	b, err := s.win.bytes(off, blockSize)
	if err != nil {
		return Block{}, err
	}
	h, v, ok := decode(b)
	if !ok || v != version || h.segment != seg.number || !h.plausible() {
		return Block{Length: blockSize, Good: blank(b)}, nil
	}
	b, err = s.win.bytes(off, headerSize+int64(h.length))
	return Block{Segment: h.segment, Offset: off, Length: h.size(), Kind: kindNames[h.kind],
		Batch: h.batch, First: h.first, Count: int(h.count), Synced: h.synced, Keep: h.keep,
		Good: intact(b[min(headerSize, len(b)):], &h)}, err
}
