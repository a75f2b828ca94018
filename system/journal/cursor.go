package journal

import (
	"errors"
	"io/fs"
	"iter"
	"path"

	"metronome/system/disk"
)

// view is what a Cursor may read: whole segments, and the last one up to end.
type view struct {
	segments []segment // never changed
	synced   uint64
	end      int64
}

// locate finds the segment in which record number is, or the first one beyond; limit is up to where
// it may be read, and next the first record of the segment after it, or what is not synced.
func (v *view) locate(number uint64) (seg *segment, limit int64, next uint64) {
	if number >= v.synced {
		return nil, 0, 0
	}
	for i := len(v.segments) - 1; i >= 0; i-- {
		if v.segments[i].first > number && i > 0 {
			continue
		}
		if i == len(v.segments)-1 {
			return &v.segments[i], v.end, v.synced
		}
		return &v.segments[i], v.segments[i].size, v.segments[i+1].first
	}
	return nil, 0, 0
}

// Cursor reads records back from the disk while a [Writer] writes: what is durable, in order, once,
// in bounded memory. One goroutine may use it. What is trimmed before it was yielded is left out.
type Cursor struct {
	w    *Writer
	scan scan
	seg  segment // that is open
	file disk.File
	err  error
}

// Cursor is a reader of the records from number on.
func (w *Writer) Cursor(number uint64) *Cursor {
	c := &Cursor{w: w, scan: scan{fs: w.j.fs, dir: w.j.dir, from: number}}
	c.scan.win.ahead = 256 << 10
	return c
}

// Next is the number of the record that comes next, or of one before it if records are lost.
func (c *Cursor) Next() uint64 { return c.scan.from }

// Err is why Records ended before what is durable did; it stays.
func (c *Cursor) Err() error { return c.err }

// Close gives up the file that is open.
func (c *Cursor) Close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file, c.seg = nil, segment{}
	return err
}

// Records yields what is durable now and was not yielded before. Range it again for what comes later.
// Numbers jump where damage is. A record is valid until the next one.
func (c *Cursor) Records() iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		c.w.mu.Lock()
		v := c.w.view
		c.w.mu.Unlock()
		c.scan.visit = func(number uint64, record []byte) bool {
			if number < c.scan.from {
				return true
			}
			c.scan.from = number + 1
			return yield(number, record)
		}
		for c.err == nil {
			seg, limit, next := v.locate(c.scan.from)
			if seg == nil {
				return
			}
			err := c.read(seg, limit)
			if errors.Is(err, errStop) {
				return
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = nil // trimmed meanwhile
			}
			if c.err = err; err == nil {
				c.scan.from = max(c.scan.from, next)
			}
		}
	}
}

// read goes on in seg, up to limit.
func (c *Cursor) read(seg *segment, limit int64) error {
	if c.file == nil || c.seg.number != seg.number {
		if err := c.open(seg); err != nil {
			return err
		}
	}
	c.scan.win.reset(c.file, limit)
	return c.scan.blocks(&c.seg, false, 0)
}

func (c *Cursor) open(seg *segment) error {
	if err := c.Close(); err != nil {
		return err
	}
	file, err := c.scan.fs.Open(path.Join(c.scan.dir, segmentName(seg.number, segmentSuffix)))
	if err != nil {
		return err
	}
	c.file, c.seg = file, *seg
	c.seg.end = false
	c.scan.batch, c.scan.record, c.scan.off = 0, 0, headsSize
	return nil
}
