package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// WriterConfig says how a Writer commits. The zero value is good.
type WriterConfig struct {
	// Buffer bounds the bytes that wait to be written: when so many wait, no more are taken. Default
	// 4 MiB, at most 64 MiB, less than a segment. Up to as much again is on its way to the disk.
	Buffer int
	// Gather is the least time between the beginnings of two syncs: under load, more records then
	// share one. After an idle time of that length a commit begins at once. Default 0: a commit
	// gathers while the one before it runs. At most a second; 2 ms is a lot.
	Gather time.Duration
	// Idle is how long after a sync, if nothing follows, the journal is sealed. Default 5 ms.
	Idle time.Duration
	// EachRecord writes and syncs every record by itself: what group commit saves, for measurements.
	EachRecord bool
	// Synced, if not nil, is called from the Writer's goroutine after each sync: all records below
	// next are durable. It must not block, nor call Close or Wait.
	Synced func(next uint64)
}

func (c WriterConfig) withDefaults(j *Journal) (WriterConfig, error) {
	if c.Buffer == 0 {
		c.Buffer = 4 << 20
	}
	if c.Idle == 0 {
		c.Idle = 5 * time.Millisecond
	}
	if c.Buffer < blockSize || c.Buffer > maxBatchBytes {
		return c, fmt.Errorf("journal: Buffer is %d: give %d to %d", c.Buffer, blockSize, maxBatchBytes)
	}
	if c.Gather < 0 || c.Gather > time.Second || c.Idle < 0 {
		return c, fmt.Errorf("journal: Gather %v, Idle %v: give 0 to 1s, and 0 or more", c.Gather, c.Idle)
	}
	c.Buffer = min(c.Buffer, int(j.cfg.SegmentBytes-overhead))
	return c, nil
}

// Writer serves one journal to many goroutines. Append never waits for the disk: one goroutine
// writes and syncs one batch while the next one fills.
type Writer struct {
	j     *Journal // the goroutine's, but for what does not change
	cfg   WriterConfig
	much  int // so many bytes are written without a commit
	wake  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	open    *batch // filling
	idle    *batch // the other one; nil while it is written
	next    uint64
	synced  uint64
	commit  uint64 // records below are to be durable
	trim    uint64
	room    int64         // what the open batch may take on the disk
	want    int64         // a batch this large found no room
	full    error         // why there is no room
	err     error         // sticky
	changed chan struct{} // closed and replaced when synced or err changes
	closing bool
	stats   WriterStats
	view    view // for Cursors
	viewed  int  // Journal.changes of view

	lastSync time.Time // the goroutine's
}

// NewWriter takes a journal over: from now on only the Writer may use it, and Close closes it.
func NewWriter(j *Journal, cfg WriterConfig) (*Writer, error) {
	cfg, err := cfg.withDefaults(j)
	if err == nil {
		err = j.Flush()
	}
	if err != nil {
		return nil, err
	}
	w := &Writer{j: j, cfg: cfg, much: min(j.cfg.BatchBytes, cfg.Buffer),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), open: &batch{}, idle: &batch{},
		next: j.Next(), synced: j.Synced(), commit: j.Synced(), changed: make(chan struct{})}
	w.open.reset(w.next, cfg.Buffer)
	w.viewed = j.changes - 1
	w.publish()
	if err := w.makeRoom(0); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

// Append takes a copy of a record and returns its number. It does not wait: [ErrFull] says that the
// buffer or the disk is full, and that nothing was taken; [ErrBehind], that it is the buffer. What is
// appended is written when it is much, and made durable by Commit or Wait.
func (w *Writer) Append(record []byte) (number uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admit(len(record)); err != nil {
		return 0, err
	}
	w.open.add(w.j.life, record)
	w.next++
	if len(w.open.buf) >= w.much || w.cfg.EachRecord {
		w.kick()
	}
	return w.next - 1, nil
}

// admit decides whether a record of n bytes can be taken.
func (w *Writer) admit(n int) error {
	size := w.open.sizeWith(n)
	switch {
	case w.err != nil:
		return w.err
	case n > MaxRecord:
		return tooLarge(n)
	case len(w.open.buf) > w.cfg.Buffer:
		w.stats.Refused++
		w.kick()
		return ErrBehind
	case size > w.room:
		w.stats.Refused++
		w.want = max(w.want, size)
		w.kick()
		if w.full != nil {
			return w.full
		}
		return ErrBehind
	}
	return nil
}

func (w *Writer) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Commit has everything that was appended made durable: at once, or after the sync that is running.
// It does not wait; Wait and WriterConfig.Synced tell when.
func (w *Writer) Commit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request()
}

func (w *Writer) request() {
	if w.commit < w.next {
		w.commit = w.next
		w.kick()
	}
}

// Wait commits, and returns when the record with that number is durable, or never will be by this
// Writer.
func (w *Writer) Wait(ctx context.Context, number uint64) error {
	for {
		w.mu.Lock()
		synced, err, changed := w.synced, w.err, w.changed
		if number >= synced {
			w.request()
		}
		w.mu.Unlock()
		if number < synced {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Trim has the segments freed all of whose records lie below number, soon.
func (w *Writer) Trim(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.trim {
		w.trim = number
		w.kick()
	}
}

// Next is the number that the next record will get.
func (w *Writer) Next() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// First is the number of the first record that is kept on the disk; Next if there is none.
func (w *Writer) First() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.view.segments) == 0 {
		return w.next
	}
	return w.view.segments[0].first
}

// Synced is the number below which every record is durable.
func (w *Writer) Synced() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// Err is why the Writer is broken or closed; nil as long as it is neither.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Done is closed when the Writer is closed or broken: whoever relies on it must stop.
func (w *Writer) Done() <-chan struct{} { return w.ended }

// Close makes everything durable and closes the journal. The error is nil if all is well.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing = true
	w.commit = w.next
	w.kick()
	w.mu.Unlock()
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, ErrBroken) {
		return w.err
	}
	return nil
}
