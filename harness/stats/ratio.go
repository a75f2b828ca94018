package stats

import (
	"maps"
	"slices"
)

// PairedRatios returns above / below for each block that has both, by ascending block. Pairing
// removes what a block has in common: a machine that is slow for a minute is slow for both.
func PairedRatios(above, below map[int]Value) []Value {
	var ratios []Value
	for _, block := range slices.Sorted(maps.Keys(above)) {
		if w, ok := below[block]; ok {
			ratios = append(ratios, above[block].Over(w))
		}
	}
	return ratios
}

// NoiseFloor returns the estimate of second / first for pairs of equal trials, one pair a block:
// what a ratio of 1 looks like on this machine. A difference inside its interval means nothing.
func NoiseFloor(first, second map[int]Value) Estimate {
	return Estimated(PairedRatios(second, first))
}
