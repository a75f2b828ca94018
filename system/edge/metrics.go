package edge

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the server does. No label comes from clients.
type metrics struct {
	requests    *prometheus.HistogramVec
	operations  *prometheus.CounterVec
	connections atomic.Int64
	handshakes  atomic.Uint64
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "metronome_edge_request_seconds", Help: "Time from a request's header to its reply's end.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 13),
		}, []string{"route", "method", "status"}),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "metronome_edge_batch_operations_total", Help: "Operations of batches, by what became of them.",
		}, []string{"outcome"}),
	}
}

// observe takes a request in. Methods that no route knows are one.
func (m *metrics) observe(r *route, method string, status int, took time.Duration) {
	name := "none"
	if r != nil {
		name = r.name
	}
	if r == nil || r.methods[method] == nil {
		method = "other"
	}
	m.requests.WithLabelValues(name, method, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) results(all []Result) {
	var n [3]int
	for i := range all {
		switch {
		case all[i].Duplicate:
			n[1]++
		case all[i].Verdict.Refused():
			n[2]++
		default:
			n[0]++
		}
	}
	for i, outcome := range []string{"executed", "duplicate", "refused"} {
		if n[i] > 0 {
			m.operations.WithLabelValues(outcome).Add(float64(n[i]))
		}
	}
}

// Metrics returns what a registry of Prometheus takes.
func (s *Server) Metrics() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		s.metrics.requests, s.metrics.operations,
		gauge("metronome_edge_connections", "Connections open.",
			func() float64 { return float64(s.metrics.connections.Load()) }),
		gauge("metronome_edge_watchers", "Watches in progress.",
			func() float64 { return float64(s.watches.Load()) }),
		gauge("metronome_edge_body_bytes_free", "Bytes of request bodies that may still be held.",
			func() float64 { return float64(s.bodies.free.Load()) }),
		gauge("metronome_edge_revision", "Last durable revision.",
			func() float64 { return float64(s.cfg.Store.Status().Revision) }),
		gauge("metronome_edge_backed_up_revision", "Revision up to which a backup holds everything.",
			func() float64 { return float64(s.cfg.Store.Status().BackedUp.At) }),
		gauge("metronome_edge_keys", "Keys held.", func() float64 { return float64(s.cfg.Store.Status().Keys) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "metronome_edge_handshake_failures_total",
			Help: "TLS handshakes that failed."}, func() float64 { return float64(s.metrics.handshakes.Load()) }),
	}
}
