package kv

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Counts is where the operations went that were due in the window.
type Counts struct {
	Due        uint64 `json:"due_ops"`
	Answered   uint64 `json:"answered_ops"`   // executed
	Failed     uint64 `json:"failed_ops"`     // an error; a key that is not there is an answer
	Busy       uint64 `json:"busy_ops"`       // refused, definitely not executed ([ErrBusy])
	Unanswered uint64 `json:"unanswered_ops"` // sent; no answer before the drain's end
	Unsent     uint64 `json:"unsent_ops"`     // never sent: all batches were in flight
	// Completed is another view: operations answered in the window, whenever they were due.
	Completed uint64 `json:"completed_ops"`
}

// Balance names what is missing: every operation due must be found again.
func (c Counts) Balance() error {
	found := c.Answered + c.Failed + c.Busy + c.Unanswered + c.Unsent
	if found != c.Due {
		return fmt.Errorf("of %d operations due, %d are accounted for", c.Due, found)
	}
	return nil
}

func (c *Counts) gather(d Counts) {
	c.Due += d.Due
	c.Answered += d.Answered
	c.Failed += d.Failed
	c.Busy += d.Busy
	c.Unanswered += d.Unanswered
	c.Unsent += d.Unsent
	c.Completed += d.Completed
}

// Quantiles are read off one merged histogram, in ns; 0 if it is empty.
type Quantiles struct {
	Count  int64   `json:"count"`
	P50NS  int64   `json:"p50_ns"`
	P90NS  int64   `json:"p90_ns"`
	P99NS  int64   `json:"p99_ns"`
	P999NS int64   `json:"p999_ns"`
	MaxNS  int64   `json:"max_ns"`
	MeanNS float64 `json:"mean_ns"`
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	if h == nil || h.TotalCount() == 0 {
		return Quantiles{}
	}
	p := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	return Quantiles{Count: h.TotalCount(), P50NS: p[0], P90NS: p[1], P99NS: p[2], P999NS: p[3],
		MaxNS: h.Max(), MeanNS: h.Mean()}
}

// Interval is a piece of the run.
type Interval struct {
	StartNS   int64  `json:"start_ns"` // since the load began; the warm-up comes first
	Completed uint64 `json:"completed_ops"`
	Failed    uint64 `json:"failed_ops"`
	P50NS     int64  `json:"p50_ns"` // two digits
	P99NS     int64  `json:"p99_ns"`
	MaxNS     int64  `json:"max_ns"`
}

// Result is what a load met.
type Result struct {
	Load    Load  `json:"load"`
	StartNS int64 `json:"start_ns"` // CLOCK_MONOTONIC: when the load began
	Counts
	AchievedOPS float64 `json:"achieved_ops"` // completed in the window, a second
	// Latency counts from the intended time; Censored of its operations were never answered, and
	// count with the time they had waited: a quantile they reach into is a lower bound.
	Latency  Quantiles  `json:"latency"`
	Censored uint64     `json:"censored_ops"`
	Writes   Quantiles  `json:"writes"`
	Reads    Quantiles  `json:"reads"`
	Service  Quantiles  `json:"service"` // from sending to answer
	Series   []Interval `json:"series"`
	Errors   []string   `json:"errors,omitempty"` // the first few that differ
	Cost     Cost       `json:"cost"`
	// Void says why the result must not be used, if so: whoever ran it found out.
	Void string `json:"void,omitempty"`
	// LatencyHDR is the latencies' histogram: HdrHistogram's V2 encoding, compressed, base64.
	LatencyHDR string `json:"latency_hdr"`
}

// Histogram decodes LatencyHDR, for merging with others: percentiles must never be averaged.
func (r *Result) Histogram() (*hdrhistogram.Histogram, error) {
	b, err := base64.StdEncoding.DecodeString(r.LatencyHDR)
	if err != nil {
		return nil, fmt.Errorf("decode the latency histogram: %w", err)
	}
	h, err := hdrhistogram.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("decode the latency histogram: %w", err)
	}
	return h, nil
}

// merge makes a result of the workers' records.
func merge(l Load, start int64, all []*recorder, s *series) (*Result, error) {
	r := &Result{Load: l, StartNS: start}
	reads, writes, service := newHistogram(), newHistogram(), newHistogram()
	for _, w := range all {
		r.gather(w.counts)
		reads.Merge(w.reads)
		writes.Merge(w.writes)
		service.Merge(w.service)
		for _, e := range w.errors {
			r.Errors = addDistinct(r.Errors, e)
		}
	}
	r.Reads, r.Writes, r.Service = quantiles(reads), quantiles(writes), quantiles(service)
	reads.Merge(writes)
	r.Latency, r.Censored = quantiles(reads), r.Unanswered+r.Unsent
	r.AchievedOPS = float64(r.Completed) / float64(l.WindowNS) * 1e9
	r.Series = s.list(l.WarmupNS + l.WindowNS)
	b, err := reads.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encode the latency histogram: %w", err)
	}
	r.LatencyHDR = base64.StdEncoding.EncodeToString(b)
	return r, r.Balance()
}

// list is the series up to the end of sending, and as far beyond as there were answers.
func (s *series) list(end int64) []Interval {
	n := len(s.intervals)
	for n > 0 && int64(n-1)*s.step >= end && s.intervals[n-1].latency == nil {
		n--
	}
	list := make([]Interval, n)
	for i, v := range s.intervals[:n] {
		q := quantiles(v.latency)
		list[i] = Interval{StartNS: int64(i) * s.step, Completed: v.completed, Failed: v.failed,
			P50NS: q.P50NS, P99NS: q.P99NS, MaxNS: q.MaxNS}
	}
	return list
}

// errorList is the texts of the first few errors that differ.
type errorList []string

const maxErrors = 3

func addDistinct(list []string, text string) []string {
	if len(list) < maxErrors && !slices.Contains(list, text) {
		return append(list, text)
	}
	return list
}

// class keeps an error's text and says which count its operations belong to.
func (l *errorList) class(err error, c *Counts) *uint64 {
	*l = addDistinct(*l, err.Error())
	if errors.Is(err, ErrBusy) {
		return &c.Busy
	}
	return &c.Failed
}
