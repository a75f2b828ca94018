package main

import (
	"strings"
	"testing"
)

// Goal: servers let the kernel fire timers late, and what has to act at given times does not.
func TestWhoseTimersMayBeLate(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "replica --config x": true, "proxy": true, "dev": false, "bench ingest": false, "bench": false,
		"bench load --config x": true, "bench load --rate 0 --length 1s": true, "bench load --rate=0": true,
		"bench load --rate 1000": false, "bench load --length 1s --rate=1e5": false,
	} {
		if got := servesOnly(strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
