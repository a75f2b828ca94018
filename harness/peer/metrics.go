package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"metronome/harness/load/kv"
	"metronome/system/cluster"
)

// metricsClient reads the metrics of our daemons.
type metricsClient struct{ http http.Client }

// sample is one line of a daemon's metrics.
type sample struct {
	name, labels string // labels as written: kind="order",peer="replica-1"
	value        float64
}

const maxMetrics = 4 << 20 // bytes

func (c *metricsClient) read(ctx context.Context, addr string) ([]sample, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	a, err := c.http.Do(q)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s", addr, a.Status)
	}
	return parseMetrics(io.LimitReader(a.Body, maxMetrics))
}

// parseMetrics reads the text format of Prometheus, as far as our daemons write it.
func parseMetrics(r io.Reader) (all []sample, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		head, number, ok := cutLast(line, " ")
		if !ok {
			return nil, fmt.Errorf("metrics: no value in %q", line)
		}
		s := sample{name: head}
		if name, labels, ok := strings.Cut(head, "{"); ok {
			s.name, s.labels = name, strings.TrimSuffix(labels, "}")
		}
		if s.value, err = strconv.ParseFloat(number, 64); err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Totals reads a daemon's metrics, each summed over its labels.
func Totals(ctx context.Context, addr string) (map[string]float64, error) {
	var c metricsClient
	samples, err := c.read(ctx, addr)
	c.http.CloseIdleConnections()
	all := map[string]float64{}
	for _, s := range samples {
		all[s.name] += s.value
	}
	return all, err
}

// gathered says how the metrics of several daemons become one figure.
type gathered struct {
	metric, label string // of the daemon; label: must be among the sample's, empty: any
	name          string // ours
	most          bool   // the largest of the daemons', else their sum
}

// What is observed of replicas. Rounds and items are those of whoever is furthest, syncs and bytes of a
// journal those of whoever has the most; without a journal there are none.
var (
	replicaCounters = []gathered{
		{"metronome_replica_rounds_total", "", "rounds", true},
		{"metronome_replica_cuts_total", "", "cuts", true},
		{"metronome_replica_committed_items_total", "", "committed_items", true},
		{"metronome_peer_sent_bytes_total", `kind="order"`, "order_bytes", false},
		{"metronome_peer_sent_messages_total", `kind="order"`, "order_messages", false},
		{"metronome_replica_peer_item_bytes_total", "", "peer_item_bytes", false},
		{"metronome_ingest_frames_total", "", "ingest_frames", true},
		{"metronome_lane_repaired_frames_total", "", "repaired_frames", false},
		{"metronome_journal_syncs_total", "", "journal_syncs", true},
		{"metronome_journal_syncs_total", "", "all_syncs", false},
		{"metronome_journal_written_bytes_total", "", "journal_bytes", true},
	}
	replicaGauges = []gathered{
		{"metronome_store_keys", "", "keys", true},
		{"metronome_lane_held_frames", "", "held_frames", true},
		{"metronome_replica_waiting_decisions", "", "waiting_decisions", true},
		{"metronome_peer_rtt_seconds", `peer="replica-`, "rtt_seconds", true},
	}
	proxyCounters = []gathered{
		{"metronome_proxy_sent_frames_total", "", "proxy_frames", false},
		{"metronome_proxy_sent_bytes_total", "", "proxy_bytes", false},
		{"metronome_lane_items_total", "", "proxy_items", false},
		{"metronome_proxy_busy_ops_total", "", "busy_attempts", false},
	}
)

// add gathers a daemon's samples into what is known already.
func add(into map[string]float64, all []gathered, samples []sample) {
	for _, g := range all {
		sum, exists := 0.0, false
		for _, s := range samples {
			exists = exists || s.name == g.metric
			if s.name == g.metric && (g.label == "" || strings.Contains(s.labels, g.label)) {
				sum += s.value
			}
		}
		switch {
		case !exists: // a daemon without it, such as one without a journal: nothing is known, not even 0
		case g.most:
			into[g.name] = max(into[g.name], sum)
		default:
			into[g.name] += sum
		}
	}
}

// Replicas reads what a cluster's replicas count; it implements [kv.Observer].
type Replicas struct{ Config *cluster.Config }

// Observe implements [kv.Observer].
func (r Replicas) Observe(ctx context.Context) (kv.Observation, error) {
	var m metricsClient
	return m.replicas(ctx, r.Config)
}

func (c *metricsClient) replicas(ctx context.Context, cfg *cluster.Config) (kv.Observation, error) {
	o := kv.Observation{Counters: map[string]float64{}, Gauges: map[string]float64{}}
	for i := range cfg.Replicas {
		samples, err := c.read(ctx, cfg.Replicas[i].Ops)
		if err != nil {
			return o, err
		}
		add(o.Counters, replicaCounters, samples)
		add(o.Gauges, replicaGauges, samples)
	}
	return o, nil
}

// Observe implements [kv.Observer].
func (m *metronomeInstance) Observe(ctx context.Context) (kv.Observation, error) {
	o, err := m.metrics.replicas(ctx, m.config)
	if err != nil || len(m.roles) == len(m.config.Replicas) {
		return o, err
	}
	samples, err := m.metrics.read(ctx, m.config.Proxies[0].Ops)
	add(o.Counters, proxyCounters, samples)
	return o, err
}
