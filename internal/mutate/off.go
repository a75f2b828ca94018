//go:build !mutation

package mutate

// Enabled reports whether this build can be mutated.
const Enabled = false

// On reports whether a mutation is on: never, in this build.
func On(Mutation) bool { return false }

// Set does nothing in this build.
func Set(Mutation) {}

// Asked is 0 in this build.
func Asked() uint64 { return 0 }
