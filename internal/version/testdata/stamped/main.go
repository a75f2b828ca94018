// Command stamped prints what package version knows, for its test.
package main

import (
	"fmt"

	"metronome/internal/version"
)

func main() {
	fmt.Println(version.Hash(), version.Dirty(), version.Short())
}
