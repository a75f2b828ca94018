package check

import (
	"math"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// reduce gives the value of a metric in one block from the block's trials of one arm and cell.
type reduce func(block []record.Trial) (stats.Value, bool)

// perBlock returns every metric that is formed within a block. Ratios are formed between arms and
// are not among them.
func perBlock() map[string]reduce {
	return map[string]reduce{
		record.LossFreeFPS: lossFreeFrames(record.LossLimit),
		record.ZeroLossFPS: lossFreeFrames(0),
		record.LossFreeIPS: lossFreeItems,
		record.OverloadFPS: medianOf(record.RoleOverload, goodputFrames),
		record.OverloadIPS: medianOf(record.RoleOverload, goodputItems),
		record.MaxFPS:      medianOf(record.RoleMax, goodputFrames),
		record.MaxIPS:      medianOf(record.RoleMax, goodputItems),
		record.CeilingFPS:  medianOf(record.RoleCeiling, goodputFrames),

		record.CPUItemLossFree:  atLossFree(cpuPerItem),
		record.CPUFrameLossFree: atLossFree(func(t *record.Trial) float64 { return t.CPUNSPerFrame }),
		record.BusyLossFree:     atLossFree(func(t *record.Trial) float64 { return t.BusyShare }),
		record.CPUItemOverload:  medianOf(record.RoleOverload, cpuPerItem),
		record.CPUItemMax:       medianOf(record.RoleMax, cpuPerItem),

		record.SegmentsPerSKB: medianOf("", func(t *record.Trial) float64 { return t.SegmentsPerSKB }),
		record.AllocsPerFrame: largest(func(t *record.Trial) float64 { return t.AllocsPerFrame }),
		record.MemVMHWM:       largest(func(t *record.Trial) float64 { return t.MemVMHWMBytes }),
		record.MemHuge:        largest(func(t *record.Trial) float64 { return t.MemHugeBytes }),
		record.MemSocket:      largest(func(t *record.Trial) float64 { return t.MemSocketBytes }),
		record.MemUMEM:        largest(func(t *record.Trial) float64 { return t.MemUMEMBytes }),
		record.MemTotal:       largest((*record.Trial).MemTotalBytes),
		record.MemBound:       largest(func(t *record.Trial) float64 { return t.MemBoundBytes }),
		record.NoiseFloor:     secondOverFirst,
	}
}

func goodputFrames(t *record.Trial) float64 { return t.GoodputFPS }
func goodputItems(t *record.Trial) float64  { return t.GoodputIPS }
func cpuPerItem(t *record.Trial) float64    { return t.CPUNSPerItem }

func lossFreeFrames(limit float64) reduce {
	return func(block []record.Trial) (stats.Value, bool) {
		r, ok := LossFree(block, limit)
		return r.FPS, ok
	}
}

func lossFreeItems(block []record.Trial) (stats.Value, bool) {
	r, ok := LossFree(block, record.LossLimit)
	if !ok || block[0].ItemsPerFrame < 1 {
		return stats.Value{}, false
	}
	return r.FPS.Times(float64(block[0].ItemsPerFrame)), true
}

// atLossFree reads a column of the trial at the block's loss-free rate.
func atLossFree(column func(*record.Trial) float64) reduce {
	return func(block []record.Trial) (stats.Value, bool) {
		r, ok := LossFree(block, record.LossLimit)
		if !ok || r.At == nil {
			return stats.Value{}, false
		}
		return present(column(r.At))
	}
}

// medianOf reads a column of the block's trials of one role, any if role is empty.
func medianOf(role string, column func(*record.Trial) float64) reduce {
	return func(block []record.Trial) (stats.Value, bool) {
		return present(stats.Median(columnOf(block, role, column)))
	}
}

// largest reads the maximum of a column over the block's trials.
func largest(column func(*record.Trial) float64) reduce {
	return func(block []record.Trial) (stats.Value, bool) {
		values := columnOf(block, "", column)
		if len(values) == 0 {
			return stats.Value{}, false
		}
		return stats.Exactly(slices.Max(values)), true
	}
}

func columnOf(block []record.Trial, role string, column func(*record.Trial) float64) []float64 {
	var values []float64
	for i := range block {
		v := column(&block[i])
		if (role == "" || block[i].Role == role) && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

func present(v float64) (stats.Value, bool) { return stats.Exactly(v), !math.IsNaN(v) }

// secondOverFirst returns the ratio of goodputs of the block's pair of equal trials, in the order
// of their repeat numbers. The pair must be offered more than the arm takes, or the ratio says
// nothing.
func secondOverFirst(block []record.Trial) (stats.Value, bool) {
	var pair []record.Trial
	for _, t := range block {
		if t.Role == record.RoleAA && t.GoodputFPS > 0 {
			pair = append(pair, t)
		}
	}
	if len(pair) < 2 {
		return stats.Value{}, false
	}
	slices.SortStableFunc(pair, func(a, b record.Trial) int { return a.Repeat - b.Repeat })
	return stats.Exactly(pair[1].GoodputFPS / pair[0].GoodputFPS), true
}
