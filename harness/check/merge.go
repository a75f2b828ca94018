package check

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"metronome/harness/record"
)

// latencies is the distribution of all operations of a cell; nil if it is not known.
type latencies struct{ all *hdrhistogram.Histogram }

// together merges the histograms of the blocks of a cell. A percentile of merged histograms lies between the
// least and the largest of the blocks' own, which no mean or median of them promises to say anything about.
func (x *Stores) together(ref Ref) (l latencies) {
	for _, t := range x.Trials(ref) {
		if !measured(t) {
			continue
		}
		h, err := hdrhistogram.Decode([]byte(t.LatencyHDR))
		if t.LatencyHDR == "" || err != nil {
			return latencies{} // a part of it would be another distribution
		}
		if l.all == nil {
			l.all = h
			continue
		}
		if l.all.Merge(h) > 0 {
			return latencies{}
		}
	}
	return l
}

// over puts the merged percentile in the place of the median of the blocks' percentiles; the interval stays
// theirs.
func (l latencies) over(row record.Summary) record.Summary {
	if l.all == nil || l.all.TotalCount() == 0 {
		return row
	}
	q, ok := map[string]float64{record.StoreP50: 50, record.StoreP90: 90, record.StoreP99: 99,
		record.StoreP999: 99.9, record.StoreLongest: 100}[row.Metric]
	if ok {
		row.Median = float64(l.all.ValueAtQuantile(q)) / 1e3
		row.Method = "all blocks' operations; interval of the blocks' percentiles: " + row.Method
	}
	return row
}
