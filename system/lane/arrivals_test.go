package lane

import "testing"

// Whatever came, and how many: the samples are the newest of the frames that everybody samples.
func TestArrivals(t *testing.T) {
	var r Receiver
	if len(r.Arrivals()) != 0 {
		t.Error("samples of nothing")
	}
	for n := range uint64(100*sampleEvery + 1) {
		r.sampled.note(n, int64(10*n))
	}
	got := r.Arrivals()
	if len(got) != sampleKeep {
		t.Fatalf("%d samples, want %d", len(got), sampleKeep)
	}
	seen := map[uint64]bool{}
	for _, a := range got {
		if a.At != int64(10*a.Frame) || a.Frame%sampleEvery != 0 || a.Frame <= (100-sampleKeep)*sampleEvery {
			t.Errorf("%+v", a)
		}
		seen[a.Frame] = true
	}
	if len(seen) != sampleKeep {
		t.Error("a frame twice")
	}
}
