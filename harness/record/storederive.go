package record

import "math"

// Derive fills the columns that follow from others.
func (t *StoreTrial) Derive() {
	seconds := float64(t.InsideNS) / 1e9
	t.IngestFramesPerS = quotient(t.IngestFrames, seconds)
	t.RoundsPerS = quotient(t.Rounds, seconds)
	t.ItemsPerRound = quotient(t.CommittedItems, t.Rounds)
	t.OrderBytesPerRound = quotient(t.OrderBytes, t.Rounds)
	t.JournalSyncsPerS = quotient(t.JournalSyncs, seconds)
	t.ItemsPerSync = quotient(t.CommittedItems, t.JournalSyncs)
	t.SentBytesPerItem = quotient(t.SentBytes, t.SentItems)
	t.Binding = t.binding()
}

// What limits throughput, and how it is told.
const (
	BindOffered    = "offered"    // an open loop: what was due was answered
	BindIngesting  = "ingesting"  // the frames' bound is reached
	BindProcessing = "processing" // wasted CPU time on items fills the time there is
	BindStoring    = "storing"    // the proxy had no room for what is not agreed on yet
	BindRounds     = "rounds"     // each round waits for the one before and carries next to nothing
	BindCores      = "cores"      // the machine is busy
	BindUnknown    = "unknown"
)

// nearly is how much of a bound must be used for it to be what binds.
const (
	nearly     = 0.85
	mostly     = 0.7  // of a core: applying takes time of its own
	asOffered  = 0.95 // of an open loop's rate
	nearlyIdle = 2    // items a round: a store bound by rounds has one operation in each
)

// binding names what limited the throughput, by the first that holds: what was offered, if 95 % of it was
// answered; frames a second at 85 % of their bound; wasted time of 70 % of a core; refusals for want of
// room; a machine that is busy to 85 %; rounds of at most two items.
func (t *StoreTrial) binding() string {
	ops := t.AchievedOPS
	switch {
	case t.OfferedOPS > 0 && ops >= asOffered*t.OfferedOPS:
		return BindOffered
	case t.FramesPerSecondLimit > 0 && t.IngestFramesPerS >= nearly*float64(t.FramesPerSecondLimit):
		return BindIngesting
	case ops*float64(t.ApplyNSPerItem)/1e9 >= mostly:
		return BindProcessing
	case t.BusyAttempts > 0:
		return BindStoring
	case t.ItemsPerRound <= nearlyIdle:
		return BindRounds
	case t.CPUShare >= nearly:
		return BindCores
	}
	return BindUnknown
}

// Value is a metric of the row; one that the row has not, or that nobody knows, is missing.
func (t *StoreTrial) Value(metric string) float64 {
	for _, m := range StoreMetrics() {
		if m.Name == metric && m.of != nil {
			return m.of(t)
		}
	}
	return math.NaN()
}

// StoreMetric is a quantity in summary.csv of experiments on stores.
type StoreMetric struct {
	Metric
	of func(*StoreTrial) float64
}

// Metrics of stores that other packages look up.
const (
	StoreOPS           = "achieved_ops"
	StoreP50           = "latency_us_p50"
	StoreP99           = "latency_us_p99"
	StoreP90           = "latency_us_p90"
	StoreP999          = "latency_us_p999"
	StoreLongest       = "latency_us_max"
	StoreCPU           = "cpu_us_per_op"
	StoreRounds        = "rounds_per_s"
	StoreItemsPerRound = "items_per_round"
	StoreOrderBytes    = "order_bytes_per_round"
	StorePeerItemBytes = "peer_item_bytes"
	StoreSentBytes     = "sent_bytes_per_item"
	StoreSenderCPU     = "sender_cpu_us_per_item"
	StoreBoundByRounds = "bound_by_rounds"
	StoreSyncs         = "journal_syncs_per_s"
	StoreItemsPerSync  = "items_per_sync"
	StoreNoise         = "aa_ratio"
)

// StoreMetrics lists what summary.csv may hold in experiments on stores, in the order of its rows.
func StoreMetrics() []StoreMetric {
	m := func(name, unit, doc string, of func(*StoreTrial) float64) StoreMetric {
		return StoreMetric{Metric{name, unit, doc}, of}
	}
	return append([]StoreMetric{
		m(StoreOPS, "ops/s", "Operations completed a second.",
			func(t *StoreTrial) float64 { return t.AchievedOPS }),
		m(StoreP50, "µs", "Median latency of all blocks' operations together; interval: of the blocks' medians.",
			func(t *StoreTrial) float64 { return t.LatencyP50 }),
		m(StoreP90, "µs", "90th percentile, likewise.",
			func(t *StoreTrial) float64 { return t.LatencyP90 }),
		m(StoreP99, "µs", "99th percentile.", func(t *StoreTrial) float64 { return t.LatencyP99 }),
		m(StoreP999, "µs", "99.9th percentile.", func(t *StoreTrial) float64 { return t.LatencyP999 }),
		m("latency_us_puts_p50", "µs", "Median latency of the puts of a mix: commit.",
			func(t *StoreTrial) float64 { return t.PutP50 }),
		m("latency_us_puts_p99", "µs", "Their 99th percentile.",
			func(t *StoreTrial) float64 { return t.PutP99 }),
		m("latency_us_gets_p50", "µs", "Median latency of the gets of a mix: commit and apply.",
			func(t *StoreTrial) float64 { return t.GetP50 }),
		m("latency_us_gets_p99", "µs", "Their 99th percentile.",
			func(t *StoreTrial) float64 { return t.GetP99 }),
		m(StoreLongest, "µs", "Maximum.", func(t *StoreTrial) float64 { return t.LatencyMax }),
		m(StoreCPU, "µs/op", "CPU time of system and generator ÷ operations completed.",
			func(t *StoreTrial) float64 { return t.CPUUSPerOp }),
		m("cpu_us_per_op_system", "µs/op", "The system alone, where it has processes of its own.",
			func(t *StoreTrial) float64 { return t.CPUUSPerOpSystem }),
		m("mem_peak_bytes", "bytes", "Sum of the system's processes' peaks.",
			func(t *StoreTrial) float64 { return t.MemPeakBytes }),
		m(StoreRounds, "rounds/s", "Rounds of consensus a second.",
			func(t *StoreTrial) float64 { return t.RoundsPerS }),
		m(StoreItemsPerRound, "items", "Items one round ordered, on average over the window.",
			func(t *StoreTrial) float64 { return t.ItemsPerRound }),
		m(StoreOrderBytes, "bytes/round", "Bytes of ordering sent between replicas.",
			func(t *StoreTrial) float64 { return t.OrderBytesPerRound }),
		m(StorePeerItemBytes, "bytes", "Bytes of items sent between replicas.",
			func(t *StoreTrial) float64 { return t.PeerItemBytes }),
		m(StoreSentBytes, "bytes/item", "Bytes the proxy or leader sent for an item.",
			func(t *StoreTrial) float64 { return t.SentBytesPerItem }),
		m(StoreSenderCPU, "µs/item", "CPU time of the proxy process for an item.",
			func(t *StoreTrial) float64 { return t.SenderCPUUSPerItem }),
		m(StoreSyncs, "1/s", "Syncs of a replica's journal a second.",
			func(t *StoreTrial) float64 { return t.JournalSyncsPerS }),
		m(StoreItemsPerSync, "items", "Items that one of them made durable, on average over the window.",
			func(t *StoreTrial) float64 { return t.ItemsPerSync }),
		m(StoreBoundByRounds, "", "1 if rounds limited the throughput, else 0.",
			func(t *StoreTrial) float64 {
				if t.Binding == BindRounds {
					return 1
				}
				return 0
			}),
		m(StoreNoise, "ratio", "Saturation measured second ÷ first: what a ratio of 1 looks like here.", nil),
	}, crashMetrics()...)
}
