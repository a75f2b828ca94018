package offline

import "metronome/harness/factorial"

const mib = 1 << 20

// outcome is what a trial tells, by the names of the declaration.
func (t *trial) outcome() factorial.Outcome {
	n, c := float64(t.Outage.Count), &t.drain.Status.Counters
	fill, drain := float64(t.fill.WorkNS)/1e9, float64(t.drain.WorkNS)/1e9
	o := factorial.Outcome{Values: map[string]float64{
		"backlog_ops": n, "enqueue_rate": n / fill, "disk": float64(t.disk) / mib,
		"disk_bytes_per_op": float64(t.disk) / n, "open_ms": float64(t.drain.OpenNS) / 1e6,
		"drain_s": drain, "drain_rate": n / drain, "device_cpu_us": float64(t.drain.CPUNS) / 1e3 / n,
		"memory_fill": float64(t.fill.PeakKiB) / 1024, "memory_drain": float64(t.drain.PeakKiB) / 1024,
		"sent_ops": float64(c.Sent), "sent_share": float64(c.Sent) / n, "requests": float64(c.Requests),
		"saved_percent": 100 * float64(c.CoalescedBytes) / float64(c.EnqueuedBytes),
		"repeats":       t.repeat, "cuts": float64(t.cuts),
		"executed_twice": float64(t.seen.Twice), "out_of_order": float64(t.seen.Disordered),
		"lost": float64(t.lost + t.missing()), "foreign": float64(t.seen.Foreign),
	}}
	for _, s := range t.drain.Samples {
		o.Timeline = append(o.Timeline, factorial.Point{Series: "operations waiting", X: s[0], Y: s[1]})
	}
	return o
}

// missing is how many puts never arrived though every one was to be sent.
func (t *trial) missing() int {
	if !t.Every {
		return 0
	}
	want := 0
	for op := range t.Outage.All() {
		if !op.Delete {
			want++
		}
	}
	return want - (t.seen.Puts - t.seen.Twice - t.seen.Foreign)
}
