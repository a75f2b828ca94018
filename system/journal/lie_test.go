package journal

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"metronome/system/disk/fault"
)

// TestLiesAreNoticed is the negative control of the crash tests: with a disk whose syncs of one kind do
// nothing they must fail.
func TestLiesAreNoticed(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Sync, fault.SyncDir} {
		noticed := 0
		for seed := range uint64(40) {
			fsys, m := fault.New(seed), newModel()
			rng := rand.New(rand.NewPCG(seed, 4))
			fsys.Hook = func(op fault.Op) error {
				if op.Kind == kind {
					return fault.ErrLie
				}
				return nil
			}
			must(t, m.live(fsys, rng, 60))
			if _, err := m.reopen(fsys.Crash(seed)); err != nil {
				noticed++
			}
		}
		if noticed < 8 {
			t.Errorf("%v that does nothing: noticed in %d of 40 crashes", kind, noticed)
		}
	}
}

// TestLiesLeaveNoHole: some syncs of data do nothing. What the crash then takes is reported as damage, or
// is the journal's end, as if it had never been written; it is never a hole that nobody mentions, nor a
// wrong record.
func TestLiesLeaveNoHole(t *testing.T) {
	reported, silent := 0, 0
	for seed := range max(scaled(120), 60) {
		fsys, m := fault.New(seed), newModel()
		rng := rand.New(rand.NewPCG(seed, 5))
		m.uniform = seed%2 == 0
		fsys.Hook = func(op fault.Op) error {
			if op.Kind == fault.Sync && rng.IntN(3) == 0 {
				return fault.ErrLie
			}
			return nil
		}
		must(t, m.live(fsys, rng, 80))
		j, report, err := Open(fsys.Crash(seed), "d", m.small())
		must(t, err)
		seen := map[uint64]bool{}
		for number, record := range j.Records() {
			if !bytes.Equal(record, m.records[number]) {
				t.Fatalf("seed %d: record %d is %.20q, should be %.20q", seed, number, record, m.records[number])
			}
			seen[number] = true
		}
		for number := m.trimmed; number < report.Next; number++ {
			if !seen[number] && !lost(report, number) {
				t.Fatalf("seed %d: record %d is missing: %v", seed, number, report)
			}
			number = max(number, skip(report, number))
		}
		switch {
		case !report.Intact():
			reported++
		case report.Next < m.synced:
			silent++
		}
		must(t, j.Close())
	}
	t.Logf("%d losses reported, %d took the end silently", reported, silent)
	if reported == 0 {
		t.Error("no loss was reported")
	}
}

// skip is the last number of the damage that number lies in.
func skip(report *Report, number uint64) uint64 {
	for _, d := range report.Damage {
		if d.First <= number && number < d.Next {
			return d.Next - 1
		}
	}
	return number
}
