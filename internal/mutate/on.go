//go:build mutation

package mutate

import "os"

// Enabled reports whether this build can be mutated.
const Enabled = true

var (
	current, _ = Parse(os.Getenv(EnvName))
	asked      uint64
)

// On reports whether m is the mutation that is on.
func On(m Mutation) bool {
	if m != current {
		return false
	}
	asked++
	return true
}

// Set turns one mutation on and the one before it off; None turns everything off.
func Set(m Mutation) { current = m }

// Asked counts how often a mutation that was on was asked for: 0 means that no core places it.
func Asked() uint64 { return asked }
