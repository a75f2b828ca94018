package dpdk

import (
	"errors"

	"metronome/system/packet/ethernet"
)

// Verdicts counts packets by [ethernet.Verdict].
type Verdicts [ethernet.NumVerdicts]uint64

// classes sums the refused packets up as packet.Stats does: not for this port, and damaged on the way.
func (v Verdicts) classes() (foreign, damaged uint64) {
	for verdict := ethernet.OK + 1; verdict < ethernet.NumVerdicts; verdict++ {
		if verdict.Damaged() {
			damaged += v[verdict]
		} else {
			foreign += v[verdict]
		}
	}
	return foreign, damaged
}

// errNoDestination is returned by Send, Reserve and Transmit of a port that was opened only to receive.
var errNoDestination = errors.New("dpdk: the port has no destination to send to; next: set Config.Destination")
