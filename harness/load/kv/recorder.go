package kv

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of the histograms: three digits of everything from 1 ns on. What is longer counts as longest.
const (
	longestNS = int64(600e9)
	digits    = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestNS, digits) }

// note records a time n times. Neither a clock that stands still nor a very long time is an error.
func note(h *hdrhistogram.Histogram, ns, n int64) {
	_ = h.RecordValues(min(max(0, ns), longestNS), n) // in range by now
}

// recorder is one worker's figures. It belongs to one goroutine.
type recorder struct {
	from, to int64 // the window: what is due in it is measured
	counts   Counts
	reads    *hdrhistogram.Histogram // latency from the intended time
	writes   *hdrhistogram.Histogram
	service  *hdrhistogram.Histogram // from the moment of sending
	series   *seriesCursor
	errors   errorList
}

func newRecorder(from, to int64, s *series) *recorder {
	return &recorder{from: from, to: to, reads: newHistogram(), writes: newHistogram(),
		service: newHistogram(), series: s.cursor()}
}

func (r *recorder) measured(due int64) bool { return due >= r.from && due < r.to }

func (r *recorder) latency(op *Op) *hdrhistogram.Histogram {
	if op.Read {
		return r.reads
	}
	return r.writes
}

// answered records a batch that came back.
func (r *recorder) answered(b *Batch) {
	r.series.at(b.at)
	r.series.add(b.ok, len(b.Ops)-b.ok)
	if b.at >= r.from && b.at < r.to {
		r.counts.Completed += uint64(b.ok)
	}
	failure := &r.counts.Failed
	if b.err != nil {
		failure = r.errors.class(b.err, &r.counts)
	}
	var inWindow int64
	for i := range b.Ops {
		due := b.due[i]
		if i < b.ok {
			r.series.latency(b.at - due)
		}
		if !r.measured(due) {
			continue
		}
		r.counts.Due++
		if i >= b.ok {
			*failure++
			continue
		}
		r.counts.Answered++
		inWindow++
		note(r.latency(&b.Ops[i]), b.at-due, 1)
	}
	note(r.service, b.at-b.sent, inWindow)
}

// unanswered records a batch that was given up at now.
func (r *recorder) unanswered(b *Batch, now int64) {
	for i := range b.Ops {
		if r.measured(b.due[i]) {
			r.counts.Due++
			r.counts.Unanswered++
			note(r.latency(&b.Ops[i]), now-b.due[i], 1)
		}
	}
}

// unsent records an operation, a put for all one knows, that was due and never sent.
func (r *recorder) unsent(due, now int64) {
	if r.measured(due) {
		r.counts.Due++
		r.counts.Unsent++
		note(r.writes, now-due, 1)
	}
}

// series is the run cut into intervals, warm-up and drain included.
type series struct {
	start, step int64
	mu          sync.Mutex
	intervals   []interval
}

type interval struct {
	completed, failed uint64
	latency           *hdrhistogram.Histogram // nil: none yet
}

// newSeriesHistogram is coarse, since there may be thousands: two digits from 1 µs on.
func newSeriesHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, longestNS, 2) }

func newSeries(start, step int64, n int) *series {
	return &series{start: start, step: step, intervals: make([]interval, n)}
}

func (s *series) cursor() *seriesCursor {
	return &seriesCursor{series: s, now: interval{latency: newSeriesHistogram()}}
}

// seriesCursor gathers one interval and adds it to the series when the next one begins.
type seriesCursor struct {
	series *series
	index  int
	now    interval
}

// at moves to the interval of a moment. What comes after the last belongs to the last.
func (c *seriesCursor) at(ns int64) {
	i := min(max(0, int((ns-c.series.start)/c.series.step)), len(c.series.intervals)-1)
	if i != c.index {
		c.flush()
		c.index = i
	}
}

func (c *seriesCursor) add(completed, failed int) {
	c.now.completed += uint64(completed)
	c.now.failed += uint64(failed)
}

func (c *seriesCursor) latency(ns int64) { note(c.now.latency, ns, 1) }

func (c *seriesCursor) flush() {
	if c.now.completed+c.now.failed == 0 {
		return
	}
	c.series.mu.Lock()
	defer c.series.mu.Unlock()
	to := &c.series.intervals[c.index]
	to.completed += c.now.completed
	to.failed += c.now.failed
	if to.latency == nil {
		to.latency = newSeriesHistogram()
	}
	to.latency.Merge(c.now.latency)
	c.now.completed, c.now.failed = 0, 0
	c.now.latency.Reset()
}
