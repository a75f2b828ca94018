package ops

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Emit gives one value of a metric of the table, with the labels' values in the table's order.
type Emit func(name string, value float64, labels ...string)

// EmitHistogram gives one histogram of a metric of the table: how many values, their sum in the
// metric's unit, and for each upper bound how many values lie at or below it.
type EmitHistogram func(name string, count uint64, sum float64, buckets map[float64]uint64, labels ...string)

// Counters turns snapshots into metrics: read is called at every scrape, from the scrape's
// goroutine. It must not block on what hot loops hold. The error names what in the table breaks the
// conventions.
func Counters(table Table, read func(Emit)) (prometheus.Collector, error) {
	return newSource(table, func(s *source, ch chan<- prometheus.Metric) {
		read(func(name string, value float64, labels ...string) {
			ch <- s.metric(name, func(d described) (prometheus.Metric, error) {
				return prometheus.NewConstMetric(d.desc, d.kind, value, labels...)
			})
		})
	})
}

// Histograms is Counters for distributions. Their names do not end in _total.
func Histograms(table Table, read func(EmitHistogram)) (prometheus.Collector, error) {
	return newSource(table, func(s *source, ch chan<- prometheus.Metric) {
		read(func(name string, count uint64, sum float64, buckets map[float64]uint64, labels ...string) {
			ch <- s.metric(name, func(d described) (prometheus.Metric, error) {
				return prometheus.NewConstHistogram(d.desc, count, sum, buckets, labels...)
			})
		})
	})
}

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// source implements prometheus.Collector.
type source struct {
	byName  map[string]described
	order   []*prometheus.Desc
	collect func(*source, chan<- prometheus.Metric)
}

func newSource(table Table, collect func(*source, chan<- prometheus.Metric)) (*source, error) {
	if err := table.Check(); err != nil {
		return nil, fmt.Errorf("ops: %w", err)
	}
	s := &source{byName: map[string]described{}, collect: collect}
	for _, m := range table {
		d := described{prometheus.NewDesc(m.Name, m.Help, m.Labels, nil), prometheus.GaugeValue}
		if m.Counter() {
			d.kind = prometheus.CounterValue
		}
		s.byName[m.Name] = d
		s.order = append(s.order, d.desc)
	}
	return s, nil
}

// metric makes a metric, or one that carries the reason why it cannot be made.
func (s *source) metric(name string, build func(described) (prometheus.Metric, error)) prometheus.Metric {
	d, ok := s.byName[name]
	if !ok {
		err := fmt.Errorf("metric %q was emitted and is not in its table", name)
		return prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	m, err := build(d)
	if err != nil {
		return prometheus.NewInvalidMetric(d.desc, fmt.Errorf("metric %q: %w", name, err))
	}
	return m
}

// Describe implements prometheus.Collector.
func (s *source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.order {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *source) Collect(ch chan<- prometheus.Metric) { s.collect(s, ch) }
