package plot

import (
	"fmt"
	"math"
	"math/rand/v2"

	"metronome/harness/check"
	"metronome/harness/record"
)

// model is an invented arm with plausible figures: capacities in frames/s with 16-B items, one a
// frame; decay is how its goodput falls with overload (0: not at all).
type model struct {
	name        string
	same, other float64
	decay       float64
	perItemNS   float64
	memory      [4]float64 // MB: resident, hugepages, socket, UMEM
	role        string     // of its trials; empty: bracket, overload and max
}

func models() []model {
	return []model{
		{"socket-recv", 2.9e5, 5.6e5, 0.55, 9, [4]float64{18, 0, 4, 0}, ""},
		{"socket-net", 2.2e5, 4.1e5, 0.5, 9, [4]float64{19, 0, 4, 0}, ""},
		{"socket-recvmmsg", 3.7e5, 7.4e5, 0.6, 9, [4]float64{19, 0, 4, 0}, ""},
		{"socket-gro", 6.4e5, 1.1e6, 0.35, 9, [4]float64{22, 0, 4, 0}, ""},
		{"socket-busypoll", 3.2e5, 6.0e5, 0.1, 9, [4]float64{18, 0, 4, 0}, ""},
		{"socket-af_packet-v3", 5.6e5, 9.7e5, 0.3, 9, [4]float64{20, 0, 8, 0}, ""},
		{"socket-gso-loopback", 9.8e6, 1.2e7, 0.1, 8, [4]float64{24, 0, 8, 0}, ""},
		{"dpdk-af_packet", 1.9e5, 3.3e5, 0.4, 8, [4]float64{112, 0, 4, 0}, ""},
		{"dpdk-af_xdp", 1.6e6, 3.4e6, 0.05, 8, [4]float64{114, 0, 1, 34}, ""},
		{"dpdk-memif", 7.4e6, 0, 0, 8, [4]float64{118, 160, 0, 0}, ""},
		{"dpdk-memif-null", 9.1e6, 0, 0, 2, [4]float64{116, 160, 0, 0}, ""},
		{"testpmd-memif", 1.0e7, 0, 0, 1, [4]float64{110, 160, 0, 0}, record.RoleCeiling},
	}
}

// synthetic returns an invented run of the given number of blocks.
func synthetic(blocks int) record.Results {
	rng := rand.New(rand.NewPCG(11, 11))
	var trials []record.Trial
	for b := 1; b <= blocks; b++ {
		for _, m := range models() {
			trials = append(trials, m.block(rng, b, record.PlacementSame, m.same)...)
			trials = append(trials, m.block(rng, b, record.PlacementOther, m.other)...)
		}
	}
	gone := record.NewTrial()
	gone.Arm, gone.Placement, gone.Status = "dpdk-ring", "same", record.StatusUnavailable
	gone.Reason = "net_ring needs both ends in one process, and the generator is another"
	r := record.Results{Trials: append(trials, gone), Manifest: manifest()}
	x := check.NewIndex(r.Trials)
	r.Summaries = x.Summarise(x.Arms())
	claim := check.Claim{Name: "11x", Words: "11×", Kind: check.KindRatio, Bound: 11,
		Arm: "dpdk-memif", Placement: "same", Cell: cellName(32, 1), Rung: "socket-recv"}
	var err error
	if r.Claims, err = x.Judge(claim, nil, check.Options{}); err != nil {
		panic(err)
	}
	return r
}

func manifest() record.Manifest {
	return record.Manifest{
		Experiment: "ingest-11x", RunID: "20250102T030405Z-abcdef0-1234", Profile: "full",
		Status: "ok", Conditions: "software path, no NIC",
		Hosts: []record.Host{{Name: "local", Facts: map[string]string{
			"cpu_model":    "Example(R) Processor 8273CL CPU @ 2.20GHz",
			"cores_online": "2", "kernel": "6.18.0",
		}}},
	}
}

func cellName(burst, items int) string {
	return fmt.Sprintf("item=16,items=%d,burst=%d,digest=xxh3", items, burst)
}

// block returns an arm's trials of one block, in every cell of the slice.
func (m model) block(rng *rand.Rand, block int, placement string, capacity float64) []record.Trial {
	if capacity == 0 {
		return nil
	}
	var trials []record.Trial
	for _, items := range []int{1, 4, 16, 58} {
		if items > 1 && placement == record.PlacementOther {
			continue
		}
		burst := 32
		if m.name == "socket-recv" || m.name == "socket-net" {
			burst = 1
		}
		// A frame costs what it costs empty, and a share for each item.
		now := capacity / (1 + capacity*m.perItemNS*1e-9*float64(items-1))
		now *= math.Exp(0.06 * rng.NormFloat64())
		for _, s := range m.steps(capacity / (1 + capacity*m.perItemNS*1e-9*float64(items-1))) {
			t := m.trial(rng, s, now)
			t.Block, t.Placement, t.Cell = block, placement, cellName(burst, items)
			t.ItemsPerFrame, t.Burst = items, burst
			t.AcceptedItems = t.AcceptedFrames * uint64(items)
			t.Derive()
			t.GeneratorLimited = s.role == record.RoleMax && t.OfferedActualFPS < 1.5*t.GoodputFPS
			trials = append(trials, t)
		}
	}
	return trials
}

func (m model) steps(searched float64) []step {
	if m.role != "" {
		return []step{{m.role, 0}}
	}
	steps := []step{{record.RoleOverload, 1.5 * searched}, {record.RoleMax, 0}}
	for _, f := range []float64{0.85, 0.95, 1.05, 1.15} {
		steps = append(steps, step{record.RoleBracket, f * searched})
	}
	return steps
}

func (m model) trial(rng *rand.Rand, s step, capacity float64) record.Trial {
	t := record.NewTrial()
	t.Arm, t.Role, t.OfferedFPS, t.Status, t.Attempt = m.name, s.role, s.fps, record.StatusOK, 1
	t.ItemBytes, t.Digest, t.WindowNS = 16, "xxh3", 1e9
	most := 5.2e6 * math.Exp(0.01*rng.NormFloat64()) // what the generator can do
	if capacity > 3.5e6 {
		most = 1.05e7
	}
	offered := math.Min(most, s.fps)
	if s.fps == 0 {
		offered = most
	}
	taken := offered
	if offered > capacity {
		taken = capacity * math.Pow(offered/capacity, -m.decay) * math.Exp(0.03*rng.NormFloat64())
	}
	t.EmittedFrames, t.AcceptedFrames = uint64(offered), min(uint64(offered), uint64(taken))
	t.UDPRcvbufErrors = t.EmittedFrames - t.AcceptedFrames
	t.CPUNSRxThreads = math.Min(1e9, 1e9*offered/capacity)
	if m.name[:4] == "dpdk" {
		t.CPUNSRxThreads = 1e9
	}
	t.CPUNSNAPI = 0
	wobble := math.Exp(0.05 * rng.NormFloat64())
	t.MemVMHWMBytes, t.MemHugeBytes = m.memory[0]*1e6*wobble, m.memory[1]*1e6
	t.MemSocketBytes, t.MemUMEMBytes = m.memory[2]*1e6, m.memory[3]*1e6
	t.MemBoundBytes = (m.memory[0] + m.memory[1] + m.memory[2] + m.memory[3]) * 1.2e6
	return t
}
