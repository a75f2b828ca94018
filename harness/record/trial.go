package record

import "math"

// Roles say why a trial was run.
const (
	RoleSearch   = "search"   // looking for the loss-free rate; not repeated, never part of a result
	RoleBracket  = "bracket"  // a fixed rate near the loss-free rate
	RoleOverload = "overload" // 1.5 times the loss-free rate
	RoleMax      = "max"      // as fast as the generator can
	RoleCeiling  = "ceiling"  // a reference program, for the physical limit
	RoleAA       = "aa"       // one of two equal trials, for the noise floor
)

// Statuses say whether a trial's row may be used.
const (
	StatusOK          = "ok"
	StatusVoid        = "void"        // ran, but its ledger or a guard failed: see the reason
	StatusUnavailable = "unavailable" // could not run on this machine: see the reason
	StatusPartial     = "partial"     // interrupted
)

// Placements say where the kernel's half of an arm runs.
const (
	PlacementSame  = "same"  // on the receiver's core: equal total cores for every arm
	PlacementOther = "other" // on the generator's core
)

// LossLimit is the largest share of emitted frames that may be lost at a loss-free rate.
const LossLimit = 0.005

// Trial is one row of trials.csv. Start from [NewTrial].
type Trial struct {
	Experiment, RunID            string
	Block                        int
	Arm, Placement, Cell, Role   string
	Repeat, Attempt              int
	Seed                         uint64
	ItemBytes, ItemWireBytes     int
	ItemsPerFrame                int
	FrameBytes, EthernetBytes    int
	Burst                        int
	Digest                       string
	Hugepages                    bool
	Lanes                        int
	RingFrames, BufferBytes      int64
	NAPIPolicy                   string
	NAPIPriority                 int
	NAPICore, RxCore, GenCore    int // -1: none
	OfferedFPS                   float64
	SlotsMissed                  uint64
	WindowNS                     int64
	OfferedActualFPS             float64
	GeneratorLimited             bool
	ArrivedFrames                uint64
	Ledger                              // every frame, by what became of it
	AcceptedItems                uint64 // items in the accepted frames
	UnaccountedFrames            int64
	GoodputFPS, GoodputIPS       float64
	LossRatio                    float64
	LossFree, ZeroLoss           bool
	CPUNSRxThreads, CPUNSNAPI    float64
	CPUNSPerItem, CPUNSPerFrame  float64
	BusyShare                    float64
	SampledUserShare             float64
	SampledSysShare              float64
	SampledSoftirqShare          float64
	GenCPUNS, LabCPUNS           float64
	MemVMHWMBytes, MemHugeBytes  float64
	MemSocketBytes, MemUMEMBytes float64
	MemBoundBytes                float64
	SegmentsPerSKB               float64
	AllocsPerFrame               float64
	StealRatio                   float64
	Status                       string
	Flags                        string // joined by semicolons
	Reason                       string
}

// Ran reports whether the row holds measurements.
func (t *Trial) Ran() bool { return t.Status != StatusUnavailable }

// MemTotalBytes returns the sum of the memory columns; one that is missing makes it missing.
func (t *Trial) MemTotalBytes() float64 {
	return t.MemVMHWMBytes + t.MemHugeBytes + t.MemSocketBytes + t.MemUMEMBytes
}

// Derive fills the columns that follow from others: offered and accepted rates, loss, what the
// ledger lacks, and CPU per item and frame. A frame counts as lost unless it was accepted in time.
// Columns whose inputs are missing, or would be divided by zero, stay missing.
func (t *Trial) Derive() {
	seconds := float64(t.WindowNS) / 1e9
	emitted, accepted := float64(t.EmittedFrames), float64(t.AcceptedFrames)
	t.UnaccountedFrames = t.Unaccounted()
	t.OfferedActualFPS = quotient(emitted, seconds)
	t.GoodputFPS = quotient(accepted, seconds)
	t.GoodputIPS = quotient(float64(t.AcceptedItems), seconds)
	t.LossRatio = quotient(emitted-accepted, emitted)
	t.LossFree = t.LossRatio <= LossLimit
	t.ZeroLoss = t.LossRatio == 0
	cpu := t.CPUNSRxThreads + t.CPUNSNAPI
	t.CPUNSPerItem = quotient(cpu, float64(t.AcceptedItems))
	t.CPUNSPerFrame = quotient(cpu, accepted)
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// NewTrial returns a row in which every measurement is missing and no core is assigned.
func NewTrial() Trial {
	t := Trials().New()
	t.NAPICore, t.RxCore, t.GenCore = -1, -1, -1
	return t
}

// Workload is what the device under test is asked to do, apart from how it is configured to do it.
// Arms are compared under one workload.
type Workload struct {
	ItemBytes, ItemsPerFrame int
	Digest                   string
}

// Workload returns the trial's workload.
func (t *Trial) Workload() Workload {
	return Workload{ItemBytes: t.ItemBytes, ItemsPerFrame: t.ItemsPerFrame, Digest: t.Digest}
}
