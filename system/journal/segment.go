package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"metronome/internal/mutate"
	"metronome/system/disk"
)

const (
	segmentSuffix = ".journal"
	spareSuffix   = ".spare" // freed, may be used again
	newSuffix     = ".new"   // being made
	lockName      = "lock"
)

// segment is what is known of one file.
type segment struct {
	number uint64
	first  uint64 // the number of its first record, as far as is known
	size   int64  // of the file, bytes
	made   int64  // the size it was made with, if a head says so
	salt   uint32
	flags  uint32
	bad    int64 // heads that are not good
	head   bool  // at least one is
	end    bool  // its last block says that the next segment is durable
}

func segmentName(number uint64, suffix string) string { return fmt.Sprintf("%016d%s", number, suffix) }

func (j *Journal) path(name string) string { return path.Join(j.dir, name) }

// listing is what lies in a journal's directory.
type listing struct {
	segments []segment // by number
	spares   []segment
	left     []string // of a crash; to be removed
}

func list(fsys disk.FS, dir string) (l listing, err error) {
	entries, err := fsys.List(dir)
	if err != nil {
		return l, fmt.Errorf("journal: list %s: %w", dir, err)
	}
	for _, e := range entries {
		suffix := path.Ext(e.Name)
		number, err := strconv.ParseUint(strings.TrimSuffix(e.Name, suffix), 10, 63)
		if err != nil || e.Dir || e.Name != segmentName(number, suffix) {
			continue // not ours
		}
		switch suffix {
		case segmentSuffix:
			l.segments = append(l.segments, segment{number: number, size: e.Size})
		case spareSuffix:
			l.spares = append(l.spares, segment{number: number, size: e.Size})
		case newSuffix:
			l.left = append(l.left, e.Name)
		}
	}
	slices.SortFunc(l.segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return l, nil
}

// reserve promises a place, in this segment or a next one, to a batch of size bytes. Seals respect
// the promise; a Flush uses it up.
func (j *Journal) reserve(size int64) error {
	if !j.fits(size) && !j.readyFits(size) {
		if err := j.prepare(size, false); err != nil {
			return err
		}
	}
	j.promise = size
	return nil
}

// A batch leaves room at its segment's end, so that it can be testified to whatever comes.
const (
	marginBytes  = 2 * blockSize // for the seal of a Trim and for the end block
	sealsBetween = 2             // more seals, between a promise and its batch
	sealsAfter   = 1             // and behind it
	// overhead is what a segment takes beside batches.
	overhead = headsSize + marginBytes + (sealsBetween+sealsAfter)*blockSize
)

// fits reports whether a batch of size bytes fits the active segment.
func (j *Journal) fits(size int64) bool { return j.active != nil && size <= j.here() }

func (j *Journal) here() int64 {
	return j.size - j.off - j.margin - int64(j.seals+sealsAfter)*blockSize
}

func (j *Journal) readyFits(size int64) bool { return j.ready != nil && overhead+size <= j.ready.size }

// markFits reports whether one more block breaks no promise.
func (j *Journal) markFits() bool {
	return j.fits(blockSize+j.promise) || j.fits(blockSize) && j.readyFits(j.promise)
}

// ready is a file that the next segment goes into.
type ready struct {
	file disk.File
	name string
	size int64
	old  bool
}

// prepare makes the file of the next segment: a freed one, or a new one whose space is allocated. If
// there is one that is too small, it grows. Forced, it ignores the configured bounds: for what makes
// room.
func (j *Journal) prepare(batch int64, forced bool) error {
	size := max(j.cfg.SegmentBytes, overhead+batch)
	if j.ready == nil && size == j.cfg.SegmentBytes && len(j.spares) > 0 {
		return j.reuse()
	}
	have := int64(0)
	if j.ready != nil {
		have = j.ready.size
	}
	if err := j.mayGrow(size - have); err != nil && !forced {
		return err
	}
	var err error
	if j.ready == nil {
		err = j.create(size)
	} else {
		err = j.grow(size)
	}
	if errors.Is(err, disk.ErrNoSpace) {
		return fmt.Errorf("%w for a segment of %d bytes: free some: %w", ErrFull, size, err)
	}
	return j.fail(err)
}

func (j *Journal) create(size int64) error {
	name := segmentName(j.nextSegment, newSuffix)
	file, err := j.fs.Create(j.path(name))
	if err != nil {
		return err
	}
	if err := file.Allocate(size); err != nil {
		return errors.Join(err, file.Close(), j.fs.Remove(j.path(name)))
	}
	j.ready = &ready{file: file, name: name, size: size}
	j.bytes += size
	return nil
}

func (j *Journal) grow(size int64) error {
	if err := j.ready.file.Allocate(size); err != nil {
		return errors.Join(err, j.ready.file.Truncate(j.ready.size))
	}
	j.bytes += size - j.ready.size
	j.ready.size = size
	return nil
}

// dropReady gives up a prepared file.
func (j *Journal) dropReady() error {
	r := j.ready
	j.ready = nil
	if r.old {
		return r.file.Close()
	}
	j.bytes -= r.size
	return errors.Join(r.file.Close(), j.fs.Remove(j.path(r.name)))
}

func (j *Journal) reuse() error {
	s := j.spares[len(j.spares)-1]
	file, err := j.fs.Open(j.path(s))
	if err != nil {
		return j.fail(err)
	}
	j.spares = j.spares[:len(j.spares)-1]
	j.ready = &ready{file: file, name: s, size: j.cfg.SegmentBytes, old: true}
	return nil
}

func (j *Journal) mayGrow(size int64) error {
	if j.cfg.MaxBytes > 0 && j.bytes+size > j.cfg.MaxBytes {
		return fmt.Errorf("%w: %d bytes are taken, %d more would pass MaxBytes %d: trim, or raise it",
			ErrFull, j.bytes, size, j.cfg.MaxBytes)
	}
	free, err := j.fs.Free(j.dir)
	if err != nil {
		return j.fail(err)
	}
	if free < j.cfg.FreeFloor+uint64(size) {
		return fmt.Errorf("%w: %d bytes are free, %d more would pass FreeFloor %d: free some, or trim",
			ErrFull, free, size, j.cfg.FreeFloor)
	}
	return nil
}

// roll begins the next segment. In this order, each step safe before the next: what the old one
// holds, the new one's heads, its name, the old one's end.
func (j *Journal) roll() error {
	if err := j.syncActive(); err != nil {
		return err
	}
	r := j.ready
	s := segment{number: j.nextSegment, first: j.written, size: r.size, salt: j.cfg.Salt(), head: true}
	if r.old {
		s.flags = flagRecycle
	}
	if err := j.writeHeads(r.file, &s); err != nil {
		return j.fail(err)
	}
	name := segmentName(s.number, segmentSuffix)
	if err := errors.Join(j.fs.Rename(j.path(r.name), j.path(name)), j.syncNames()); err != nil {
		return j.fail(err)
	}
	if err := j.endActive(); err != nil {
		return j.fail(err)
	}
	j.ready = nil
	j.segments = append(j.segments, s)
	j.changes++
	j.active, j.off, j.size, j.blank = r.file, headsSize, s.size, headsSize
	j.margin, j.seals = marginBytes, sealsBetween
	j.stats.Segments++
	if r.old {
		j.blank = j.cfg.SegmentBytes
		j.stats.Recycled++
	}
	j.nextSegment++
	j.testified, j.syncedEnd = j.syncedBatch, headsSize
	return nil
}

func (j *Journal) syncNames() error {
	if mutate.On(mutate.SkipDirSync) {
		return nil
	}
	return j.fs.SyncDir(j.dir)
}

func (j *Journal) writeHeads(file disk.File, s *segment) error {
	var b batch
	b.reset(s.first, blockSize)
	b.add(j.life, binary.LittleEndian.AppendUint64([]byte(j.cfg.Identity), uint64(s.size)))
	h := j.header(kindHead)
	h.segment, h.salt, h.flags = s.number, s.salt, s.flags
	block := b.seal(&h)
	if err := writeAt(file, append(block, block...), 0); err != nil {
		return err
	}
	return file.Sync()
}

func (j *Journal) endActive() error {
	if j.active == nil {
		return nil
	}
	var err error
	if j.off+blockSize <= j.size {
		h := j.header(kindEnd)
		if err = j.writeMark(&h); err == nil {
			err = j.active.Sync() // or a segment that is lost later would be missed by nobody
		}
	}
	return errors.Join(err, j.active.Close())
}

// release gives up the first n segments' files. That need not be durable: if a name comes back after
// a crash, even with something else written over it, it is below header.keep, and ignored.
func (j *Journal) release(n int) error {
	for _, s := range j.segments[:n] {
		name := segmentName(s.number, segmentSuffix)
		if s.size != j.cfg.SegmentBytes || len(j.spares) >= j.cfg.Spares {
			if err := j.fs.Remove(j.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return j.fail(err)
			}
			j.bytes -= s.size
			continue
		}
		spare := segmentName(s.number, spareSuffix)
		if err := j.fs.Rename(j.path(name), j.path(spare)); err != nil {
			return j.fail(err)
		}
		j.spares = append(j.spares, spare)
	}
	j.segments = slices.Delete(j.segments, 0, n)
	j.changes++
	return nil
}
