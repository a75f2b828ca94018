package check

import "metronome/harness/record"

// Exit statuses of lab check --strict.
const (
	ExitReproduced   = 0
	ExitFailed       = 1
	ExitInconclusive = 2
)

// Strict returns the exit status for the rows of claims.csv. Primary rows count: failed if one is
// not reproduced, else inconclusive if one is undecided, not judged or there is none, else
// reproduced.
func Strict(rows []record.Claim) int {
	status, primaries := ExitReproduced, 0
	for _, r := range rows {
		if !r.Primary {
			continue
		}
		primaries++
		switch r.Verdict {
		case record.NotReproduced:
			return ExitFailed
		case record.Reproduced:
		default:
			status = ExitInconclusive
		}
	}
	if primaries == 0 {
		return ExitInconclusive
	}
	return status
}
