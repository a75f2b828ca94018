// Package require keeps skips honest: a test may skip what this machine cannot do, but a machine that
// was promised to be able (METRONOME_REQUIRE=dpdk,xdp,root) makes the same test fail instead.
package require

import (
	"os"
	"strings"
	"testing"
)

// Env names the environment variable that lists, comma-separated, what must be available.
const Env = "METRONOME_REQUIRE"

// Required reports whether what is promised by [Env].
func Required(what string) bool {
	for w := range strings.SplitSeq(os.Getenv(Env), ",") {
		if strings.TrimSpace(w) == what {
			return true
		}
	}
	return false
}

// Skip ends the test for want of what: skipped with the reason, or failed if what is [Required].
func Skip(t testing.TB, what string, reason error) {
	t.Helper()
	if Required(what) {
		t.Fatalf("%s is required by %s: %v", what, Env, reason)
	}
	t.Skipf("%s is unavailable: %v", what, reason)
}
