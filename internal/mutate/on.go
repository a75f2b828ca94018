//go:build mutation

package mutate

// Enabled reports whether this build can be mutated.
const Enabled = true

var current Mutation

// On reports whether m is the mutation that is on.
func On(m Mutation) bool { return m == current }

// Set turns one mutation on and the one before it off; None turns everything off.
func Set(m Mutation) { current = m }
