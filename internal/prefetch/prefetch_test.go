package prefetch_test

import (
	"testing"

	"metronome/internal/prefetch"
)

// Whatever is asked for, nothing faults and nothing changes.
func TestNothingHappens(t *testing.T) {
	words, b := []uint64{1, 2, 3}, []byte{4}
	prefetch.Word(&words[2])
	prefetch.Word(nil)
	prefetch.Lines(&b[0])
	prefetch.Lines(nil)
	if words[2] != 3 || b[0] != 4 {
		t.Errorf("asking for memory changed it: %v, %v", words, b)
	}
}
