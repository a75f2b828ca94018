package journal

import (
	"math/rand/v2"
	"testing"

	"metronome/system/disk/fault"
)

// TestATrimHalfTestified loses power twice: while a Trim's seal is made durable, so that the seal may
// be there and a batch before it may not; and at each change of the life after that. That life drops
// the torn batch, and the seal behind it; what it gives up because of the seal must be said anew.
func TestATrimHalfTestified(t *testing.T) {
	trimmed := 0
	for outcome := range uint64(20) {
		fsys, m := fault.New(outcome), newModel()
		rng := rand.New(rand.NewPCG(outcome, 2))
		j := m.halfTrimmed(t, fsys, rng)
		trims := len(j.segments)
		for n := uint64(0); ; n++ {
			second, after := fsys.Crash(outcome), m.clone()
			second.Hook = fault.CrashAt(n)
			if err := after.live(second, rng, 6); !died(err) {
				t.Fatalf("outcome %d, second crash at %d: %v", outcome, n, err)
			}
			if len(second.Names()) < trims {
				trimmed++
			}
			for last := range uint64(6) {
				if _, err := after.clone().reopen(second.Crash(last)); err != nil {
					t.Fatalf("outcome %d, second crash at %d, its outcome %d: %v", outcome, n, last, err)
				}
			}
			if !second.Crashed() {
				break
			}
		}
	}
	if trimmed == 0 {
		t.Error("no seal of a trim outlived the power failure")
	}
}

// halfTrimmed is a journal of several segments that lost power while it trimmed them.
func (m *model) halfTrimmed(t *testing.T, fsys *fault.FS, rng *rand.Rand) *Journal {
	j, err := m.reopen(fsys)
	must(t, err)
	for len(j.segments) < 5 {
		must(t, m.append(j, rng))
	}
	must(t, j.Sync())
	m.synced = j.Synced()
	must(t, m.append(j, rng))
	must(t, j.Flush())
	fsys.Hook = func(op fault.Op) error {
		if op.Kind == fault.Sync {
			return fault.ErrCrash
		}
		return nil
	}
	m.trimmed = m.synced
	if err := j.Trim(m.trimmed); err == nil {
		t.Fatal("the power did not fail")
	}
	return j
}
