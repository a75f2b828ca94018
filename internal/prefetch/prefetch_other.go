//go:build !amd64 && !arm64

package prefetch

// Word does nothing here.
func Word(*uint64) {}

// Lines does nothing here.
func Lines(*byte) {}
