package journal

import (
	"errors"
	"fmt"
	"io"

	"metronome/system/disk"
)

// Journal is an open journal. One goroutine may use it; [Writer] serves many.
type Journal struct {
	fs   disk.FS
	dir  string
	cfg  Config
	lock io.Closer
	life uint32
	err  error // sticky

	changes     int       // of segments
	segments    []segment // that hold records; the last one is active, if active is not nil
	spares      []string  // file names
	ready       *ready    // the file of the next segment
	nextSegment uint64
	bytes       int64 // of all files

	active disk.File // nil: the next write begins a segment
	off    int64     // where the next block goes
	size   int64     // of the active file
	blank  int64     // blocks below were written in the file's life before or now
	margin int64     // what is left free at the end for Trim and the end block
	seals  int       // and for so many seals

	promise int64 // the size of a batch that surely has a place

	batches     uint64 // written; the next batch's number
	written     uint64 // the first record that is not written
	next        uint64 // the number of the next record
	syncedBatch uint64 // batches below are durable
	synced      uint64 // records below are durable
	syncedEnd   int64  // where they end in the active segment
	testified   uint64 // the greatest header.synced written
	keep        uint64 // header.keep, header.keepRecord
	keepRecord  uint64

	open    batch
	found   extent // what was there at Open
	stats   Stats
	scratch [blockSize]byte
}

// Stats counts what a journal did since Open.
type Stats struct {
	Records  uint64 // appended
	Batches  uint64 // written
	Bytes    uint64 // written, whole blocks, seals and heads too
	Syncs    uint64 // of data; those of names are not counted
	Segments uint64 // begun
	Recycled uint64 // of these, in a freed one's space
}

// First is the number of the first record that is kept; Next if there is none.
func (j *Journal) First() uint64 {
	if len(j.segments) == 0 {
		return j.next
	}
	return j.segments[0].first
}

// Next is the number that the next record will get.
func (j *Journal) Next() uint64 { return j.next }

// Synced is the number below which every record is durable.
func (j *Journal) Synced() uint64 { return j.synced }

// Bytes is what the journal's files take on the disk, spare ones included.
func (j *Journal) Bytes() int64 { return j.bytes }

// Err is why the journal is broken or closed; nil as long as it is neither.
func (j *Journal) Err() error { return j.err }

// Stats is what the journal did since Open.
func (j *Journal) Stats() Stats { return j.stats }

// Append copies a record into the open batch, and writes the batch first if it would grow beyond
// Config.BatchBytes. It returns the record's number. With [ErrFull] nothing was appended.
func (j *Journal) Append(record []byte) (number uint64, err error) {
	if j.err != nil {
		return 0, j.err
	}
	if len(record) > MaxRecord {
		return 0, tooLarge(len(record))
	}
	if j.open.count > 0 && j.open.sizeWith(len(record)) > int64(j.cfg.BatchBytes) {
		if err := j.Flush(); err != nil {
			return 0, err
		}
	}
	if err := j.reserve(j.open.sizeWith(len(record))); err != nil {
		return 0, err
	}
	j.open.add(j.life, record)
	j.next++
	return j.next - 1, nil
}

func tooLarge(n int) error {
	return fmt.Errorf("%w: %d bytes, at most %d: split it", ErrTooLarge, n, MaxRecord)
}

// Flush writes the open batch, and does not sync it.
func (j *Journal) Flush() error {
	if j.err != nil || j.open.count == 0 {
		return j.err
	}
	if err := j.write(&j.open); err != nil {
		return err
	}
	j.open.reset(j.next, j.cfg.BatchBytes)
	j.promise = 0
	return nil
}

// Sync writes the open batch and makes everything durable: Synced is Next then.
func (j *Journal) Sync() error {
	if err := j.Flush(); err != nil {
		return err
	}
	return j.syncActive()
}

// Seal testifies on the disk to what is synced, so that damage to it is known from a torn tail. It
// does not sync. Each batch testifies to those before it: a seal is for when none follows soon.
func (j *Journal) Seal() error {
	if j.err != nil || j.testified >= j.syncedBatch || j.active == nil {
		return j.err
	}
	switch {
	case j.seals > 0 && j.off+blockSize+j.margin <= j.size:
		j.seals--
	case !j.markFits():
		err := j.rollFor(j.promise, false) // the new heads testify
		if errors.Is(err, ErrFull) {
			return nil
		}
		return err
	}
	h := j.header(kindSeal)
	return j.fail(j.writeMark(&h))
}

// Trim frees the segments all of whose records have numbers below number. It syncs what is written.
func (j *Journal) Trim(number uint64) error {
	if j.err != nil {
		return j.err
	}
	n := 0
	for n+1 < len(j.segments) && j.segments[n+1].first <= number {
		n++
	}
	if n == 0 {
		return nil
	}
	j.keep, j.keepRecord = j.segments[n].number, j.segments[n].first
	if err := j.writeTrim(); err != nil {
		return err
	}
	return j.release(n)
}

// writeTrim makes durable what is trimmed, before a file goes: a file that is missing later and was
// not trimmed is damage.
func (j *Journal) writeTrim() error {
	if !j.markFits() {
		if j.active == nil || j.margin < marginBytes || j.off+blockSize > j.size {
			return j.rollFor(j.promise, true) // the heads say it
		}
		j.margin -= blockSize // the next one finds what this one frees
	}
	h := j.header(kindSeal)
	if err := j.writeMark(&h); err != nil {
		return j.fail(err)
	}
	return j.syncFile()
}

// rollFor begins a segment that has a place for a batch of size bytes; forced, whatever the bounds.
func (j *Journal) rollFor(size int64, forced bool) error {
	if !j.readyFits(size) {
		if err := j.prepare(size, forced); err != nil {
			return err
		}
	}
	return j.roll()
}

// Close syncs, seals and gives the journal up. A second Close says [ErrClosed].
func (j *Journal) Close() error {
	if errors.Is(j.err, ErrClosed) {
		return j.err
	}
	err := j.Sync()
	if err == nil && j.testified < j.syncedBatch {
		if err = j.Seal(); err == nil && j.active != nil {
			err = j.fail(j.active.Sync())
		}
	}
	var closing error
	if j.active != nil {
		closing = j.active.Close()
	}
	if j.ready != nil && j.err == nil {
		closing = errors.Join(closing, j.dropReady())
	}
	if err == nil {
		err = j.fail(closing)
	}
	j.err = ErrClosed
	return errors.Join(err, j.lock.Close())
}

// write puts a batch on the disk, in a new segment if it does not fit. Its place was reserved.
func (j *Journal) write(b *batch) error {
	size := alignUp(int64(len(b.buf)))
	if !j.fits(size) {
		if err := j.rollFor(size, true); err != nil {
			return j.fail(err)
		}
	}
	h := j.header(kindBatch)
	block := b.seal(&h)
	if err := j.put(block); err != nil {
		return j.fail(err)
	}
	if err := j.zeroAhead(len(block)); err != nil {
		return j.fail(err)
	}
	j.batches++
	j.seals = sealsBetween
	j.written += uint64(b.count)
	j.testified = j.syncedBatch
	j.stats.Batches++
	j.stats.Records += uint64(b.count)
	return nil
}

// header is one for the next block.
func (j *Journal) header(k kind) header {
	h := header{kind: k, batch: j.batches, first: j.written, synced: j.syncedBatch, keep: j.keep,
		keepRecord: j.keepRecord, life: j.life}
	if n := len(j.segments); n > 0 {
		h.segment, h.salt = j.segments[n-1].number, j.segments[n-1].salt
	}
	return h
}

// writeMark writes a block without records.
func (j *Journal) writeMark(h *header) error {
	clear(j.scratch[:])
	h.encode(j.scratch[:])
	j.testified = h.synced
	return j.put(j.scratch[:])
}

// aheadBytes are zeroed behind a small batch that reaches blocks never written, and allocated only:
// syncing a block that was written before needs no change of the file's extents.
const (
	aheadBytes = int64(len(zeros))
	smallBatch = 64 << 10
)

func (j *Journal) put(block []byte) error {
	if err := writeAt(j.active, block, j.off); err != nil {
		return err
	}
	j.off += int64(len(block))
	j.stats.Bytes += uint64(len(block))
	return nil
}

// zeroAhead is called after a batch of n bytes.
func (j *Journal) zeroAhead(n int) error {
	if j.off <= j.blank {
		return nil
	}
	j.blank = j.off
	ahead := min(aheadBytes, j.size-j.off)
	if ahead <= 0 || n > smallBatch {
		return nil
	}
	j.blank += ahead
	return writeAt(j.active, zeros[:ahead], j.off)
}

// writeAt does not trust a writer to say why it wrote too little.
func writeAt(f disk.File, p []byte, off int64) error {
	n, err := f.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// syncActive makes what is written durable.
func (j *Journal) syncActive() error {
	if j.err != nil || j.syncedBatch == j.batches {
		return j.err
	}
	return j.syncFile()
}

func (j *Journal) syncFile() error {
	if err := j.active.Sync(); err != nil {
		return j.fail(err)
	}
	j.stats.Syncs++
	j.syncedBatch, j.synced, j.syncedEnd = j.batches, j.written, j.off
	return nil
}

// fail breaks the journal for good, unless cause is nil.
func (j *Journal) fail(cause error) error {
	if cause != nil && j.err == nil {
		j.err = fmt.Errorf("%w: %w", ErrBroken, cause)
	}
	return j.err
}
