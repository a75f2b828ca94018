package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"metronome/system/disk"
)

// extent is what there was at Open.
type extent struct {
	segment uint64 // the last one
	end     int64  // in it
	next    uint64 // the record that was next
	any     bool   // there was a segment
}

// Open opens the journal in dir, and makes it if there is none. Whatever bytes it finds, it opens:
// a torn tail is dropped, damage is reported and what lies beyond it stays readable. It fails if the
// file system does, if another process has the journal open ([disk.ErrLocked]), or if the journal
// is [ErrForeign] or of an [ErrVersion].
//
// All that was found is durable when Open returns.
func Open(fsys disk.FS, dir string, cfg Config) (*Journal, *Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, nil, fmt.Errorf("journal: make %s: %w", dir, err)
	}
	j := &Journal{fs: fsys, dir: dir, cfg: cfg, life: cfg.Salt()}
	if j.lock, err = fsys.Lock(j.path(lockName)); err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	report := &Report{}
	if err := j.recover(report); err != nil {
		return nil, nil, errors.Join(err, j.abandon())
	}
	return j, report, nil
}

// abandon gives up a journal that did not open.
func (j *Journal) abandon() error {
	var err error
	if j.active != nil {
		err = j.active.Close()
	}
	if j.ready != nil {
		err = errors.Join(err, j.ready.file.Close())
	}
	return errors.Join(err, j.lock.Close())
}

func (j *Journal) recover(report *Report) error {
	l, err := list(j.fs, j.dir)
	if err != nil {
		return err
	}
	if err := j.tidy(&l); err != nil {
		return err
	}
	s := &scan{fs: j.fs, dir: j.dir, report: report}
	if j.cfg.Visit != nil {
		s.visit = func(number uint64, record []byte) bool { j.cfg.Visit(number, record); return true }
	}
	heads, heard, err := j.survey(s, l.segments)
	if err != nil {
		return err
	}
	stale := 0 // segments that were trimmed when something kept the last process from removing them
	for stale < len(l.segments) && l.segments[stale].number < heard.keep {
		stale++
	}
	j.keep, j.keepRecord = max(heard.keep, 1), heard.keepRecord
	if len(l.segments) == 0 {
		j.keepRecord = j.cfg.First
	}
	s.record = j.keepRecord
	t, err := j.walkAll(s, l.segments[stale:], heads[stale:], &heard)
	if err != nil {
		return err
	}
	if len(l.segments) == 0 && len(j.spares) > 0 {
		t.loose, s.segment, s.why = true, 1, "all segments are missing"
	}
	j.segments = l.segments
	return j.resume(s, &t, stale, &heard)
}

// tidy sorts out the files that hold no records, and counts what all take.
func (j *Journal) tidy(l *listing) error {
	for _, name := range l.left {
		if err := j.remove(name); err != nil {
			return err
		}
	}
	for _, s := range l.spares {
		name := segmentName(s.number, spareSuffix)
		j.nextSegment = max(j.nextSegment, s.number)
		if s.size != j.cfg.SegmentBytes || len(j.spares) == j.cfg.Spares {
			if err := j.remove(name); err != nil {
				return err
			}
			continue
		}
		j.spares = append(j.spares, name)
		j.bytes += s.size
	}
	for _, s := range l.segments {
		j.nextSegment = max(j.nextSegment, s.number)
		j.bytes += s.size
	}
	j.nextSegment++
	return nil
}

func (j *Journal) remove(name string) error {
	err := j.fs.Remove(j.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// survey reads all heads, and all that the last segment testifies to.
func (j *Journal) survey(s *scan, segments []segment) (heads []header, t testimony, err error) {
	heads = make([]header, len(segments))
	s.win.ahead = headsSize // what lies between headers is not looked at
	defer func() { s.win.ahead = 0 }()
	for i := range segments {
		seg := &segments[i]
		err := s.with(seg, seg.size, func() (err error) {
			if heads[i], err = s.heads(seg, j.cfg.Identity); err != nil {
				return err
			}
			if seg.head {
				t.hear(&heads[i])
			}
			if i < len(segments)-1 {
				return nil
			}
			t.blocks = 0
			return s.hear(seg, &t)
		})
		if err != nil {
			return nil, t, err
		}
	}
	return heads, t, nil
}

// walkAll walks the segments, and finds those that are missing.
func (j *Journal) walkAll(s *scan, segments []segment, heads []header, heard *testimony) (t tail, err error) {
	expect := j.keep
	for i := range segments {
		seg := &segments[i]
		if seg.number > expect {
			s.segment, s.offset = expect, 0
			s.why = fmt.Sprintf("segments %d to %d are missing", expect, seg.number-1)
		}
		expect = seg.number + 1
		last := i == len(segments)-1
		err := s.with(seg, seg.size, func() (err error) {
			t, err = s.walk(seg, &heads[i], last, heard.synced)
			return err
		})
		if err != nil {
			return t, err
		}
		if last && seg.end {
			t.loose, s.segment, s.offset = true, expect, 0
			s.why = fmt.Sprintf("segment %d and what followed it are missing", expect)
		}
		if last && seg.size < seg.made {
			t.loose, s.why = true, "the file is shorter than it was made"
		}
		t.loose = t.loose || last && !seg.head && heard.blocks == 0
	}
	return t, nil
}

// resume takes up writing where the scan ended.
func (j *Journal) resume(s *scan, t *tail, stale int, heard *testimony) error {
	report := s.report
	report.Torn = t.torn
	j.batches, j.written = s.batch, s.record
	if n := len(j.segments); n > 0 {
		last := &j.segments[n-1]
		j.found = extent{segment: last.number, end: t.end, next: s.record, any: true}
		if err := j.reopen(last, t); err != nil {
			return err
		}
	}
	if t.loose {
		report.Torn = 0
		report.lose(Damage{s.segment, s.offset, 0, s.record, s.record + lostNumbers, s.why})
		j.written += lostNumbers
		j.batches += lostNumbers
		heard.synced = j.batches // a head will say so
	}
	j.next, j.synced, j.syncedBatch, j.syncedEnd = j.written, j.written, j.batches, t.end
	j.testified = heard.synced
	j.open.reset(j.next, j.cfg.BatchBytes)
	if err := j.fs.SyncDir(j.dir); err != nil {
		return err
	}
	if err := j.releaseStale(stale); err != nil {
		return err
	}
	report.Segments, report.First, report.Next = len(j.segments), j.First(), j.next
	return j.Seal()
}

// releaseStale gives up the first n segments, which the last life had trimmed. That they are was maybe
// said in a tail that was dropped just now, and nowhere else: it is said anew before they go. Where
// even for that the disk is too full, the files stay, and the next Open finds them.
func (j *Journal) releaseStale(n int) error {
	if n == 0 {
		return nil
	}
	err := j.writeTrim()
	if errors.Is(err, ErrFull) {
		j.segments = j.segments[n:]
		return nil
	}
	if err != nil {
		return err
	}
	return j.release(n)
}

// reopen makes the last segment durable as it was found, and the active one. What was dropped must
// not look good again behind what will be written.
func (j *Journal) reopen(last *segment, t *tail) error {
	file, err := j.fs.Open(j.path(segmentName(last.number, segmentSuffix)))
	if err != nil {
		return err
	}
	j.active, j.off, j.size, j.blank = file, t.end, last.size&^(blockSize-1), t.end
	j.margin, j.seals = marginBytes, sealsBetween
	if err := rewrite(file, t.sure, min(t.end, last.size)); err != nil {
		return err
	}
	if !t.loose {
		for _, off := range t.wipe {
			if err := writeAt(file, zeros[:blockSize], off); err != nil {
				return err
			}
		}
	}
	if err := file.Sync(); err != nil || !t.loose {
		return err
	}
	j.active = nil // the next write begins a segment
	return file.Close()
}

// rewrite writes again what is there. After a failed sync the page cache holds what the disk does not,
// and calls it clean: a sync alone would say that all is well.
func rewrite(file disk.File, from, to int64) error {
	var w window
	w.reset(file, to)
	for from < to {
		n := min(readAhead, to-from)
		b, err := w.bytes(from, n)
		if err != nil {
			return err
		}
		if w.spoilt(from, n) {
			n = min(blockSize, n)
			b = b[:n]
		}
		if !w.spoilt(from, n) {
			err = writeAt(file, b, from)
		}
		if err != nil || len(b) == 0 {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

// Records yields the records that were there at Open and are not trimmed: numbers ascend from First,
// and jump where Report.Damage says that some are lost. It may be ranged again, also after Append. A
// record is valid until the next one. If the disk fails meanwhile, the sequence ends early and Err
// says why; compare the last number with Report.Next.
func (j *Journal) Records() iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		s := &scan{fs: j.fs, dir: j.dir, visit: yield}
		for _, seg := range slices.Clone(j.segments) {
			if j.err != nil || !j.found.any || seg.number > j.found.segment {
				return
			}
			limit := seg.size
			if seg.number == j.found.segment {
				limit = j.found.end
			}
			err := s.with(&seg, limit, func() error {
				head, err := s.heads(&seg, j.cfg.Identity)
				if err == nil {
					_, err = s.walk(&seg, &head, false, 0)
				}
				return err
			})
			if errors.Is(err, errStop) {
				return
			}
			if j.fail(err) != nil {
				return
			}
		}
	}
}
