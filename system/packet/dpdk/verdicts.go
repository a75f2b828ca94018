package dpdk

import "metronome/system/packet/ethernet"

// Verdicts counts packets by [ethernet.Verdict].
type Verdicts [ethernet.NumVerdicts]uint64
