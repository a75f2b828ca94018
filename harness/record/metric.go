package record

// Metric names a quantity in summary.csv.
type Metric struct {
	Name, Unit, Doc string
}

// Names of the metrics that other packages look up.
const (
	LossFreeFPS      = "loss_free_fps"
	LossFreeIPS      = "loss_free_ips"
	ZeroLossFPS      = "zero_loss_fps"
	OverloadFPS      = "overload_goodput_fps"
	OverloadIPS      = "overload_goodput_ips"
	MaxFPS           = "max_goodput_fps"
	MaxIPS           = "max_goodput_ips"
	CeilingFPS       = "ceiling_goodput_fps"
	CPUItemLossFree  = "cpu_ns_per_item_loss_free"
	CPUItemOverload  = "cpu_ns_per_item_overload"
	CPUItemMax       = "cpu_ns_per_item_max"
	CPUFrameLossFree = "cpu_ns_per_frame_loss_free"
	BusyLossFree     = "busy_share_loss_free"
	SegmentsPerSKB   = "segments_per_skb"
	AllocsPerFrame   = "allocs_per_frame"
	MemVMHWM         = "mem_vmhwm_bytes"
	MemHuge          = "mem_hugepages_bytes"
	MemSocket        = "mem_socket_bytes"
	MemUMEM          = "mem_umem_bytes"
	MemTotal         = "mem_total_bytes"
	MemBound         = "mem_bound_bytes"
	NoiseFloor       = "aa_ratio"

	// RatioPrefix and the name of a rung make the metric of a ratio of loss-free rates.
	RatioPrefix = "loss_free_ratio_vs_"
)

// Metrics lists what summary.csv may hold, in the order of its rows.
func Metrics() []Metric {
	return []Metric{
		{LossFreeFPS, "frames/s", "Highest offered rate of a block's bracket with loss_ratio ≤ 0.005."},
		{LossFreeIPS, "items/s", "The same in items."},
		{ZeroLossFPS, "frames/s", "Highest offered rate of a block's bracket with no loss at all."},
		{OverloadFPS, "frames/s", "Goodput when offered 1.5 × the loss-free rate."},
		{OverloadIPS, "items/s", "The same in items."},
		{MaxFPS, "frames/s", "Goodput when offered all the generator has."},
		{MaxIPS, "items/s", "The same in items."},
		{CeilingFPS, "frames/s", "Goodput of a reference program: the physical limit."},
		{CPUItemLossFree, "ns/item", "CPU of all receive-side threads per item, loss-free rate."},
		{CPUItemOverload, "ns/item", "The same at 1.5 × that rate."},
		{CPUItemMax, "ns/item", "The same at the generator's maximum."},
		{CPUFrameLossFree, "ns/frame", "CPU of all receive-side threads per frame, same rate."},
		{BusyLossFree, "", "busy_share at the loss-free rate."},
		{SegmentsPerSKB, "", "Median of segments_per_skb over a block's trials."},
		{AllocsPerFrame, "1/frame", "Largest allocs_per_frame of a block's trials."},
		{MemVMHWM, "bytes", "Largest resident set of a block's trials, without hugepages."},
		{MemHuge, "bytes", "Largest hugepage mapping of a block's trials."},
		{MemSocket, "bytes", "Largest socket memory of a block's trials."},
		{MemUMEM, "bytes", "Largest AF_XDP packet memory of a block's trials."},
		{MemTotal, "bytes", "Largest sum of the four of a block's trials."},
		{MemBound, "bytes", "What the configuration bounds that sum to."},
		{NoiseFloor, "ratio", "Second ÷ first of two equal trials: what a ratio of 1 looks like here."},
		{RatioPrefix + "<arm>", "ratio",
			"Loss-free rate ÷ that of <arm>, same block, placement and workload."},
	}
}
