package journal

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// patience is how often a full disk is asked again.
const patience = 20 * time.Millisecond

// run is the Writer's goroutine.
func (w *Writer) run() {
	defer close(w.ended)
	timer := time.NewTimer(w.cfg.Idle)
	defer timer.Stop()
	for {
		pause, more := w.turn()
		if !more {
			return
		}
		timer.Reset(pause)
		select {
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// forever is a pause that only a wake ends.
const forever = time.Duration(1<<63 - 1)

// turn does what is to be done now, and says when to look again.
func (w *Writer) turn() (pause time.Duration, more bool) {
	now := time.Now()
	if early := w.cfg.Gather - now.Sub(w.lastSync); early > 0 && w.onlyGather() {
		return early, true
	}
	b, commit, trim, want, closing := w.take()
	err := w.writeOut(b)
	if err == nil && commit > w.j.synced {
		err = w.sync(now)
	}
	if err == nil && trim > 0 {
		err = w.trimNow(trim)
	}
	if err == nil {
		err = w.makeRoom(want)
	}
	w.publish()
	if closing || err != nil && !errors.Is(err, ErrFull) {
		w.finish(err)
		return 0, false
	}
	return w.rest(now)
}

// onlyGather reports that nothing but a commit is to be done, which may wait a little.
func (w *Writer) onlyGather() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit > w.synced && !w.closing && w.want == 0 && len(w.open.buf) < w.much
}

// take takes the open batch, if it is to be written, and puts the other in its place.
func (w *Writer) take() (b *batch, commit, trim uint64, want int64, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	commit, trim, want, closing = w.commit, w.trim, w.want, w.closing
	w.trim, w.want = 0, 0
	due := commit > w.open.first || len(w.open.buf) >= w.much || w.cfg.EachRecord ||
		want > 0
	if w.open.count == 0 || !due {
		return nil, commit, trim, want, closing
	}
	b = w.open
	w.open, w.idle = w.idle, nil
	w.open.reset(w.next, w.cfg.Buffer)
	w.room = min(w.j.roomAfter(alignUp(int64(len(b.buf)))), int64(w.cfg.Buffer))
	w.j.promise = max(w.room, 0)
	if w.cfg.EachRecord {
		commit, w.room = b.first+uint64(b.count), 0
	}
	return b, commit, trim, want, closing
}

// roomAfter is the largest batch that surely has a place after one of size bytes.
func (j *Journal) roomAfter(size int64) int64 {
	here, there := int64(0), int64(0)
	if j.active != nil {
		here = j.here()
	}
	if j.ready != nil {
		there = j.ready.size - overhead
	}
	switch {
	case size == 0:
		return max(here, there)
	case size <= here:
		return max(here-size-int64(sealsBetween-j.seals)*blockSize, there)
	}
	return there - size
}

func (w *Writer) writeOut(b *batch) error {
	if b == nil {
		return nil
	}
	var err error
	if w.cfg.EachRecord {
		err = w.writeEach(b)
	} else {
		err = w.j.write(b)
		w.j.next = w.j.written
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = b
	return err
}

// writeEach writes and syncs every record of a batch by itself.
func (w *Writer) writeEach(b *batch) error {
	body := b.buf[headerSize:]
	w.j.open.reset(b.first, w.cfg.Buffer)
	for range b.count {
		record, rest, _ := split(body)
		_, err := w.j.Append(record)
		for errors.Is(err, ErrFull) && !w.isClosing() {
			time.Sleep(patience)
			_, err = w.j.Append(record)
		}
		if err != nil {
			return w.j.fail(err)
		}
		if err := w.sync(time.Now()); err != nil {
			return err
		}
		body = rest
	}
	return nil
}

func (w *Writer) isClosing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closing
}

func (w *Writer) sync(now time.Time) error {
	w.lastSync = now
	if err := w.j.Sync(); err != nil {
		return err
	}
	w.mu.Lock()
	w.stats.count(time.Since(now))
	w.mu.Unlock()
	w.publish()
	return nil
}

// publish tells what is durable, if it is more than was told. Trimming and a new segment sync too.
func (w *Writer) publish() {
	w.mu.Lock()
	news := w.j.synced > w.synced
	w.synced = w.j.synced
	w.stats.Journal, w.stats.Disk = w.j.stats, w.j.bytes
	w.view.synced, w.view.end = w.j.synced, w.j.syncedEnd
	if w.viewed != w.j.changes {
		w.viewed, w.view.segments = w.j.changes, slices.Clone(w.j.segments)
	}
	if news {
		w.announce()
	}
	w.mu.Unlock()
	if news && w.cfg.Synced != nil {
		w.cfg.Synced(w.j.synced)
	}
}

// announce wakes those who wait.
func (w *Writer) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// trimNow trims, and remembers to try again if even for that the disk is too full.
func (w *Writer) trimNow(number uint64) error {
	err := w.j.Trim(number)
	if errors.Is(err, ErrFull) {
		w.mu.Lock()
		w.trim = max(w.trim, number)
		w.mu.Unlock()
		return nil
	}
	return err
}

// makeRoom sees to it that the next batch has a place, and that a large record has one that found
// none.
func (w *Writer) makeRoom(want int64) error {
	err := w.j.reserve(max(want, int64(w.cfg.Buffer)))
	var full error
	if errors.Is(err, ErrFull) {
		if full, err = err, nil; want > 0 {
			if err = w.j.reserve(int64(w.cfg.Buffer)); errors.Is(err, ErrFull) {
				err = nil
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	open := alignUp(int64(len(w.open.buf)))
	w.room, w.full = min(w.j.roomAfter(0), max(want, int64(w.cfg.Buffer), open)), full
	w.j.promise = max(w.room, 0)
	return err
}

// finish closes the journal and lets nobody wait any more.
func (w *Writer) finish(err error) {
	if closed := w.j.Close(); err == nil && closed != nil {
		err = fmt.Errorf("%w: %w", ErrBroken, closed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err = err; err == nil {
		w.err = ErrClosed
	}
	w.announce()
}

// rest says how long there is nothing to do, and seals when that was long enough.
func (w *Writer) rest(now time.Time) (time.Duration, bool) {
	w.mu.Lock()
	busy := w.commit > w.synced || w.want > 0 || w.closing
	full := w.full != nil || w.trim > 0
	w.mu.Unlock()
	switch {
	case busy:
		return 0, true
	case w.j.testified >= w.j.syncedBatch || w.j.active == nil:
		if full {
			return patience, true
		}
		return forever, true
	case now.Sub(w.lastSync) < w.cfg.Idle:
		return w.cfg.Idle, true
	}
	if err := w.j.Seal(); err != nil {
		w.finish(err)
		return 0, false
	}
	return forever, true
}
