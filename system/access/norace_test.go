//go:build !race

package access

// raceDetector reports whether pools forget at random, as they do under the race detector.
const raceDetector = false
