package record

import "slices"

// Roles of the trials of an experiment on stores.
const (
	RoleClosed   = "closed"   // closed loop in the shape of the arm's mode: saturation
	RoleOpen     = "open"     // open loop at a rate
	RoleUnloaded = "unloaded" // closed loop of few operations
	RoleKills    = "kills"    // open loop while processes are killed
)

// ExperimentStore is [Manifest.Kind] of experiments on whole stores; the empty kind is that of ingest.
const ExperimentStore = "store"

// StoreTrial is one row of trials.csv of an experiment on stores: one load on one system. Start from
// [NewStoreTrial].
type StoreTrial struct {
	Experiment, RunID      string
	Block                  int
	Arm, Setup, Load, Role string
	Repeat, Attempt        int
	Seed                   uint64

	Peer, Mode, Settings           string
	Durable                        string
	Replicas                       int
	RoundIntervalNS                int64 // 0: the default
	RoundIntervalForced            bool
	ApplyNSPerItem                 int64
	FramesPerSecondLimit           int64
	LaneWindowFrames               int
	LaneArenaBytes                 int64
	Multicast                      string
	Keys                           int
	KeyBytes, ValueBytes           int
	ReadRatio                      float64
	Connections                    int
	Outstanding, BatchOps          int
	OfferedOPS                     float64
	WindowNS                       int64
	DueOps, AnsweredOps            uint64
	FailedOps, BusyOps             uint64
	UnansweredOps                  uint64
	UnsentOps                      uint64
	CompletedOps                   uint64
	AchievedOPS                    float64
	LatencyP50, LatencyP90         float64 // µs
	PutP50, PutP99, GetP50, GetP99 float64 // of a mix, likewise
	LatencyP99                     float64
	LatencyP999                    float64
	LatencyMax                     float64

	SharedProcess                  bool
	CPUNSReplicas, CPUNSProxy      float64
	CPUNSSystem, CPUNSGenerator    float64
	CPUUSPerOp, CPUUSPerOpSystem   float64
	CPUShare                       float64
	MemPeakBytes                   float64
	CommittedItems, Rounds         float64
	RoundsPerS, ItemsPerRound      float64
	OrderBytes, OrderBytesPerRound float64
	PeerItemBytes, RepairedFrames  float64
	InsideNS                       int64
	IngestFrames, IngestFramesPerS float64
	SentItems                      float64
	SentBytes, SentBytesPerItem    float64
	SenderCPUUSPerItem             float64
	BusyAttempts, HeldFrames       float64
	JournalSyncs, JournalSyncsPerS float64 // of the replica with the most, as the next two
	JournalBytes                   float64
	ItemsPerSync                   float64
	Crash                          Crash
	StealRatio                     float64
	Binding                        string
	Status, Flags, Reason, Version string
	DataFS, LatencyHDR             string

	Kills    []Kill   // rows of kills.csv that belong to it
	Timeline []Moment // likewise
}

// Ran reports whether the row holds measurements.
func (t *StoreTrial) Ran() bool { return t.Status != StatusUnavailable }

// NewStoreTrial returns a row in which every measurement is missing.
func NewStoreTrial() StoreTrial { return StoreTrials().New() }

type scol = Column[StoreTrial]

// StoreTrials is the schema of trials.csv of experiments on stores.
func StoreTrials() Table[StoreTrial] {
	return Table[StoreTrial]{
		File: "trials.csv",
		Doc: "In experiments on whole stores, one row a trial: one load on one system, which was started for " +
			"the block and setup. Rows appear in the order in which the trials ran.",
		Columns: slices.Concat(storeIdentity(), storeFactors(), storeCounts(), storeLatencies(), storeCosts(),
			storeInside(), storeCrash(), storeVerdicts()),
		ran: (*StoreTrial).Ran,
	}
}

func storeIdentity() []scol {
	return []scol{
		{Name: "experiment", Doc: "Name of the experiment.",
			Field: func(t *StoreTrial) any { return &t.Experiment }},
		{Name: "run_id", Doc: "UTC start, commit and declaration of the run, as above.",
			Field: func(t *StoreTrial) any { return &t.RunID }},
		{Name: "block", Doc: "Randomised block; ratios are formed within a block.",
			Field: func(t *StoreTrial) any { return &t.Block }},
		{Name: "arm", Doc: "The system, as driven.",
			Field: func(t *StoreTrial) any { return &t.Arm }},
		{Name: "setup", Doc: "Settings on top of the arm's; placement in summary.csv and claims.csv.",
			Field: func(t *StoreTrial) any { return &t.Setup }},
		{Name: "load", Doc: "How it was loaded; cell in summary.csv and claims.csv.",
			Field: func(t *StoreTrial) any { return &t.Load }},
		{Name: "role", Doc: "closed (saturation), open (a rate), unloaded (few operations at a time), " +
			"kills (a rate, while processes are killed), aa (saturation again: the noise floor).",
			Field: func(t *StoreTrial) any { return &t.Role }},
		{Name: "repeat", Doc: "Running number among equal trials.",
			Field: func(t *StoreTrial) any { return &t.Repeat }},
		{Name: "attempt", Doc: "1, or more if the trial was repeated: the flags of the one before say why.",
			Field: func(t *StoreTrial) any { return &t.Attempt }},
		{Name: "seed", Doc: "hash(seed of the run, arm, setup, load, block).",
			Field: func(t *StoreTrial) any { return &t.Seed }},
	}
}

func storeFactors() []scol {
	return []scol{
		{Name: "peer", Doc: "The system: a name of lab peers list.",
			Field: func(t *StoreTrial) any { return &t.Peer }},
		{Name: "mode", Doc: "The shape of its load; empty: its best.",
			Field: func(t *StoreTrial) any { return &t.Mode }},
		{Name: "settings", Doc: "What differs from the system's defaults.",
			Field: func(t *StoreTrial) any { return &t.Settings }},
		{Name: "durable", Doc: "What an acknowledged write survives, as the experiment says.",
			Field: func(t *StoreTrial) any { return &t.Durable }},
		{Name: "replicas", Doc: "Replicas asked for; 0: as the system is by default.",
			Field: func(t *StoreTrial) any { return &t.Replicas }},
		{Name: "round_interval_ns", Unit: "ns", Doc: "Least time between rounds; 0: the default.",
			Field: func(t *StoreTrial) any { return &t.RoundIntervalNS }},
		{Name: "round_interval_forced", Doc: "Whether rounds keep to it even when idle.",
			Field: func(t *StoreTrial) any { return &t.RoundIntervalForced }},
		{Name: "apply_ns_per_item", Unit: "ns/item", Doc: "CPU time wasted on each item at every replica.",
			Field: func(t *StoreTrial) any { return &t.ApplyNSPerItem }},
		{Name: "frames_per_second_limit", Unit: "frames/s", Doc: "Bound of the proxy's frames; 0: none.",
			Field: func(t *StoreTrial) any { return &t.FramesPerSecondLimit }},
		{Name: "lane_window_frames", Unit: "frames", Doc: "Frames of a lane in flight, at most; 0: the default.",
			Field: func(t *StoreTrial) any { return &t.LaneWindowFrames }},
		{Name: "lane_arena_bytes", Unit: "bytes", Doc: "Memory of a lane's frames in flight; 0: the default.",
			Field: func(t *StoreTrial) any { return &t.LaneArenaBytes }},
		{Name: "multicast", Doc: "multicast, or unicast: a copy a replica; empty: the default.",
			Field: func(t *StoreTrial) any { return &t.Multicast }},
		{Name: "keys", Doc: "Different keys, drawn uniformly.",
			Field: func(t *StoreTrial) any { return &t.Keys }},
		{Name: "key_bytes", Unit: "bytes", Doc: "Length of a key.",
			Field: func(t *StoreTrial) any { return &t.KeyBytes }},
		{Name: "value_bytes", Unit: "bytes", Doc: "Length of a value.",
			Field: func(t *StoreTrial) any { return &t.ValueBytes }},
		{Name: "read_ratio", Doc: "Share of gets.",
			Field: func(t *StoreTrial) any { return &t.ReadRatio }},
	}
}

func storeCounts() []scol {
	ops := func(name, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Unit: "ops", Doc: doc, Field: field, Measured: true}
	}
	return []scol{
		{Name: "connections", Doc: "Connections of the generator.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.Connections }},
		{Name: "outstanding", Unit: "batches", Doc: "Batches in flight a connection, at most.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.Outstanding }},
		{Name: "batch_ops", Unit: "ops", Doc: "Operations a batch, at most.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.BatchOps }},
		{Name: "offered_ops", Unit: "ops/s", Doc: "Rate asked for; 0: closed loop.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.OfferedOPS }},
		{Name: "window_ns", Unit: "ns", Doc: "Length of the measured window.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.WindowNS }},
		ops("due_ops", "Operations due in the window.", func(t *StoreTrial) any { return &t.DueOps }),
		ops("answered_ops", "Of those, answered.", func(t *StoreTrial) any { return &t.AnsweredOps }),
		ops("failed_ops", "Of those, failed.", func(t *StoreTrial) any { return &t.FailedOps }),
		ops("busy_ops", "Of those, refused as busy.", func(t *StoreTrial) any { return &t.BusyOps }),
		ops("unanswered_ops", "Of those, never answered.", func(t *StoreTrial) any { return &t.UnansweredOps }),
		ops("unsent_ops", "Of those, never sent: all batches were in flight.",
			func(t *StoreTrial) any { return &t.UnsentOps }),
		ops("completed_ops", "Operations answered in the window, whenever they were due.",
			func(t *StoreTrial) any { return &t.CompletedOps }),
		{Name: "achieved_ops", Unit: "ops/s", Doc: "completed_ops ÷ window.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.AchievedOPS }},
	}
}

func storeLatencies() []scol {
	us := func(name, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Unit: "µs", Doc: doc, Field: field, Measured: true}
	}
	return []scol{
		us("latency_us_p50", "Latency from the intended time (open loop) or from sending; median.",
			func(t *StoreTrial) any { return &t.LatencyP50 }),
		us("latency_us_p90", "The same, 90th percentile.", func(t *StoreTrial) any { return &t.LatencyP90 }),
		us("latency_us_p99", "99th percentile.", func(t *StoreTrial) any { return &t.LatencyP99 }),
		us("latency_us_p999", "99.9th percentile.", func(t *StoreTrial) any { return &t.LatencyP999 }),
		us("latency_us_max", "Maximum.", func(t *StoreTrial) any { return &t.LatencyMax }),
		us("latency_us_puts_p50", "Of a mix of puts and gets: the puts' median. A put is answered when it is "+
			"committed.", func(t *StoreTrial) any { return &t.PutP50 }),
		us("latency_us_puts_p99", "The puts' 99th percentile.", func(t *StoreTrial) any { return &t.PutP99 }),
		us("latency_us_gets_p50", "The gets' median. A get that is an item is answered when it has been applied.",
			func(t *StoreTrial) any { return &t.GetP50 }),
		us("latency_us_gets_p99", "The gets' 99th percentile.", func(t *StoreTrial) any { return &t.GetP99 }),
	}
}

func storeCosts() []scol {
	number := func(name, unit, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Unit: unit, Doc: doc, Field: field, Measured: true}
	}
	return []scol{
		{Name: "shared_process", Doc: "System and generator share a process, which is charged to the system.",
			Measured: true, Field: func(t *StoreTrial) any { return &t.SharedProcess }},
		number("cpu_ns_replicas", "ns", "CPU time of the replica processes, where the system has roles.",
			func(t *StoreTrial) any { return &t.CPUNSReplicas }),
		number("cpu_ns_proxy", "ns", "CPU time of the proxy process, likewise.",
			func(t *StoreTrial) any { return &t.CPUNSProxy }),
		number("cpu_ns_system", "ns", "CPU time of all processes of the system, all threads.",
			func(t *StoreTrial) any { return &t.CPUNSSystem }),
		number("cpu_ns_generator", "ns", "CPU time of the generator; 0 where it shares a process.",
			func(t *StoreTrial) any { return &t.CPUNSGenerator }),
		number("cpu_us_per_op", "µs/op", "System and generator together ÷ operations completed.",
			func(t *StoreTrial) any { return &t.CPUUSPerOp }),
		number("cpu_us_per_op_system", "µs/op", "The system alone, if it is not in the generator's process.",
			func(t *StoreTrial) any { return &t.CPUUSPerOpSystem }),
		number("cpu_share", "", "CPU time of system and generator ÷ that of all cores.",
			func(t *StoreTrial) any { return &t.CPUShare }),
		number("mem_peak_bytes", "bytes", "Sum of the system's processes' peaks (VmHWM).",
			func(t *StoreTrial) any { return &t.MemPeakBytes }),
	}
}

func storeInside() []scol {
	number := func(name, unit, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Unit: unit, Doc: doc, Field: field, Measured: true}
	}
	return []scol{
		{Name: "inside_ns", Unit: "ns", Doc: "Time between two looks inside the system.", Measured: true,
			Field: func(t *StoreTrial) any { return &t.InsideNS }},
		number("committed_items", "items", "Items agreed on between the two looks, as all that follows.",
			func(t *StoreTrial) any { return &t.CommittedItems }),
		number("rounds", "rounds", "Rounds of consensus.", func(t *StoreTrial) any { return &t.Rounds }),
		number("rounds_per_s", "rounds/s", "The same a second.",
			func(t *StoreTrial) any { return &t.RoundsPerS }),
		number("items_per_round", "items", "committed_items ÷ rounds.",
			func(t *StoreTrial) any { return &t.ItemsPerRound }),
		number("order_bytes", "bytes", "Bytes of ordering that the replicas sent each other.",
			func(t *StoreTrial) any { return &t.OrderBytes }),
		number("order_bytes_per_round", "bytes/round", "order_bytes ÷ rounds.",
			func(t *StoreTrial) any { return &t.OrderBytesPerRound }),
		number("peer_item_bytes", "bytes", "Bytes of items that replicas sent each other.",
			func(t *StoreTrial) any { return &t.PeerItemBytes }),
		number("repaired_frames", "frames", "Frames that replicas got by repair.",
			func(t *StoreTrial) any { return &t.RepairedFrames }),
		number("ingest_frames", "frames", "Frames that a replica examined.",
			func(t *StoreTrial) any { return &t.IngestFrames }),
		number("ingest_frames_per_s", "frames/s", "The same a second.",
			func(t *StoreTrial) any { return &t.IngestFramesPerS }),
		number("sent_bytes", "bytes", "Bytes of frames that the proxy handed to the kernel, or of everything "+
			"that a leader sent.", func(t *StoreTrial) any { return &t.SentBytes }),
		number("sent_items", "items", "Items that the proxy took, or the leader got agreed on, meanwhile.",
			func(t *StoreTrial) any { return &t.SentItems }),
		number("sent_bytes_per_item", "bytes/item", "sent_bytes ÷ sent_items.",
			func(t *StoreTrial) any { return &t.SentBytesPerItem }),
		number("sender_cpu_us_per_item", "µs/item", "CPU time of the proxy process ÷ operations completed.",
			func(t *StoreTrial) any { return &t.SenderCPUUSPerItem }),
		number("busy_attempts", "", "Times that the proxy had no room and the generator tried again.",
			func(t *StoreTrial) any { return &t.BusyAttempts }),
		number("held_frames", "frames", "Frames held by a replica, mean of two looks.",
			func(t *StoreTrial) any { return &t.HeldFrames }),
		number("journal_syncs", "", "Times that a replica synced its journal to disk; of the one with the most.",
			func(t *StoreTrial) any { return &t.JournalSyncs }),
		number("journal_syncs_per_s", "1/s", "The same a second.",
			func(t *StoreTrial) any { return &t.JournalSyncsPerS }),
		number("journal_bytes", "bytes", "Bytes that it wrote to its journal, padding included.",
			func(t *StoreTrial) any { return &t.JournalBytes }),
		number("items_per_sync", "items", "committed_items ÷ journal_syncs.",
			func(t *StoreTrial) any { return &t.ItemsPerSync }),
	}
}

func storeVerdicts() []scol {
	return []scol{
		{Name: "steal_ratio", Measured: true,
			Doc:   "Share of CPU time the hypervisor took; above 0.01 the trial is repeated.",
			Field: func(t *StoreTrial) any { return &t.StealRatio }},
		{Name: "binding", Measured: true, Doc: "What limited the throughput: offered, ingesting, processing, " +
			"storing, rounds, cores, or unknown; how it is found is said below.",
			Field: func(t *StoreTrial) any { return &t.Binding }},
		{Name: "version", Measured: true, Doc: "The system's version, as it says.",
			Field: func(t *StoreTrial) any { return &t.Version }},
		{Name: "data_fs", Measured: true, Doc: "Kind of file system its files lie on.",
			Field: func(t *StoreTrial) any { return &t.DataFS }},
		{Name: "status", Doc: "ok; void (a guard failed); unavailable (could not run here).",
			Field: func(t *StoreTrial) any { return &t.Status }},
		{Name: "flags", Doc: "Remarks joined by semicolons, such as steal.",
			Field: func(t *StoreTrial) any { return &t.Flags }},
		{Name: "reason", Doc: "Why the status is not ok.",
			Field: func(t *StoreTrial) any { return &t.Reason }},
		{Name: "latency_hdr", Measured: true, Doc: "The latencies' histogram, in ns: HdrHistogram V2, " +
			"compressed, base64. Percentiles of several trials are read off merged histograms.",
			Field: func(t *StoreTrial) any { return &t.LatencyHDR }},
	}
}
