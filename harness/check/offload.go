package check

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"metronome/harness/record"
)

// Offloads returns the hardware accelerations that are compared: a multicast receive filter,
// checksum verification, coalescing of datagrams, spreading over queues, and delayed interrupts.
func Offloads() []string {
	return []string{"multicast-filter", "checksum", "gro", "rss", "interrupt-moderation"}
}

// judgeOffloads compares the claim's arm with its primary rung, then with the others.
func judgeOffloads(c Claim, ledger []record.Offload, o Options) []record.Claim {
	var rows []record.Claim
	for _, rung := range append([]string{c.Rung}, c.Others...) {
		row := record.Claim{
			Claim: c.Name, Source: c.Source, Arm: c.Arm, Rung: rung, Primary: rung == c.Rung,
			Placement: c.Placement, Cell: c.Cell, Expected: math.NaN(), Measured: math.NaN(),
			CILow: math.NaN(), CIHigh: math.NaN(),
		}
		mine, myGaps := offloadsOf(ledger, c.Arm)
		theirs, theirGaps := offloadsOf(ledger, rung)
		verdict, because := decideOffloads(mine, theirs, append(myGaps, theirGaps...))
		measured := fmt.Sprintf("%s vs %s", braces(mine), braces(theirs))
		rows = append(rows, o.finish(row, verdict, because, c.Words+" than "+rung, measured))
	}
	return rows
}

// offloadsOf returns what an arm uses, and which rows of the ledger do not say.
func offloadsOf(ledger []record.Offload, arm string) (used, gaps []string) {
	state := map[string]string{}
	for _, row := range ledger {
		if row.Arm == arm {
			state[row.Offload] = row.State
		}
	}
	for _, name := range Offloads() {
		switch state[name] {
		case record.OffloadOn:
			used = append(used, name)
		case record.OffloadOff:
		default:
			gaps = append(gaps, arm+" "+name)
		}
	}
	return used, gaps
}

func decideOffloads(mine, theirs, gaps []string) (verdict, because string) {
	if len(gaps) > 0 {
		return record.Inconclusive, "unknown: " + strings.Join(gaps, ", ")
	}
	subset := !slices.ContainsFunc(mine, func(name string) bool {
		return !slices.Contains(theirs, name)
	})
	switch {
	case subset && len(mine) < len(theirs):
		return record.Reproduced, ""
	case subset:
		return record.NotReproduced, "the same set"
	}
	return record.NotReproduced, "not a subset"
}

func braces(names []string) string { return "{" + strings.Join(names, ", ") + "}" }
