package main

import (
	"errors"

	"metronome/harness/fleet"
	"metronome/harness/testbed"
)

// sweep removes what killed programs left on this machine: testbeds, fleets, control groups. Each kind has
// a state of its own: a testbed is its process's, while a fleet may outlive the one that made it.
func sweep() error {
	_, beds := testbed.Sweep()
	_, fleets := fleet.Sweep()
	testbed.SweepCgroups()
	return errors.Join(beds, fleets)
}
