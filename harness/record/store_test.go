package record

import (
	"math"
	"path/filepath"
	"testing"
)

// A row comes back as it was written; what was not measured stays missing.
func TestStoreTrialsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.csv")
	w, err := OpenWriter(path, StoreTrials())
	if err != nil {
		t.Fatal(err)
	}
	ran := NewStoreTrial()
	ran.Status, ran.Arm, ran.AchievedOPS, ran.CompletedOps = StatusOK, "ours", 1234.5, 7
	gone := NewStoreTrial()
	gone.Status, gone.Reason = StatusUnavailable, "not\nbuilt"
	for _, r := range []StoreTrial{ran, gone} {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows, err := ReadFile(path, StoreTrials())
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if r := rows[0]; r.AchievedOPS != 1234.5 || r.CompletedOps != 7 || !math.IsNaN(r.RoundsPerS) {
		t.Errorf("read %+v", r)
	}
	if r := rows[1]; r.Reason != "not built" || r.Ran() {
		t.Errorf("read %+v", r)
	}
}

func TestStoreMetricsHaveValues(t *testing.T) {
	r := NewStoreTrial()
	r.AchievedOPS, r.Binding = 5, BindRounds
	if r.Value(StoreOPS) != 5 || r.Value(StoreBoundByRounds) != 1 || !math.IsNaN(r.Value("speed")) ||
		!math.IsNaN(r.Value(StoreNoise)) {
		t.Error("values differ from the row")
	}
}

// TestBinding is every rule, by the first that holds.
func TestBinding(t *testing.T) {
	for want, set := range map[string]func(*StoreTrial){
		BindOffered:    func(r *StoreTrial) { r.OfferedOPS = 1000 },
		BindIngesting:  func(r *StoreTrial) { r.FramesPerSecondLimit, r.IngestFrames = 100, 90 },
		BindProcessing: func(r *StoreTrial) { r.ApplyNSPerItem = 800_000 },
		BindStoring:    func(r *StoreTrial) { r.BusyAttempts = 3 },
		BindRounds:     func(r *StoreTrial) { r.Rounds = 900 },
		BindCores:      func(r *StoreTrial) { r.CPUShare = 0.9 },
		BindUnknown:    func(r *StoreTrial) { r.OfferedOPS = 5000 },
	} {
		r := NewStoreTrial()
		r.AchievedOPS, r.InsideNS, r.CommittedItems, r.Rounds = 1000, 1e9, 1000, 10
		r.CPUShare, r.BusyAttempts = 0.5, 0
		set(&r)
		r.Derive()
		if r.Binding != want {
			t.Errorf("%s, want %s", r.Binding, want)
		}
	}
}
