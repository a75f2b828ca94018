package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Coverage counts how often something rare was reached, by name. A simulation that never reaches a
// branch proves nothing about it.
type Coverage map[string]uint64

// Add counts one more.
func (c Coverage) Add(name string) { c[name]++ }

// Merge adds another's counts.
func (c Coverage) Merge(other Coverage) {
	for name, n := range other {
		c[name] += n
	}
}

// Print lists the counts by name.
func (c Coverage) Print(out io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(out, "  %9d  %s\n", c[name], name)
	}
}
