package plot

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"metronome/harness/record"
)

// storeNames are the figures of experiments on stores.
func storeNames() []string {
	return []string{"saturation", "latency-curve", "rounds-load", "rounds-interval", "limits", "bytes-per-item"}
}

// made is a trial of a made-up run.
type made struct {
	arm, setup, load, role string
	ops                    float64
	set                    func(*record.StoreTrial)
}

// syntheticStores is a run that has data for every figure.
func syntheticStores(blocks int) record.Results {
	r := record.Results{Manifest: record.Manifest{Kind: record.ExperimentStore, Figures: storeNames(),
		Experiment: "synthetic", RunID: "20260101T000000Z-abcdef0-1234", Conditions: "made up"}}
	none := func(*record.StoreTrial) {}
	var all []made
	for i, arm := range []string{"metronome", "etcd", "redis-wait"} {
		for j, load := range []string{"at-20", "at-50", "at-80"} {
			all = append(all, made{arm, "default", load, record.RoleOpen, float64((i + 1) * (j + 1) * 10_000), none})
		}
		all = append(all, made{arm, "default", "saturation", record.RoleClosed, float64(i+1) * 50_000,
			func(t *record.StoreTrial) { t.Replicas = 3 + 2*i }})
	}
	for _, ms := range []int64{1, 10, 100} {
		setup := "every-" + string(rune('a'+ms%7))
		forced := func(t *record.StoreTrial) { t.RoundIntervalNS, t.RoundIntervalForced = ms*1e6, true }
		all = append(all, made{"metronome", setup, "saturation", record.RoleClosed, 1e6, forced},
			made{"metronome", setup, "at-20", record.RoleOpen, 1e4, forced})
	}
	for i, n := range []int64{1000, 5000, 20000} {
		all = append(all, made{"metronome", "apply-" + string(rune('a'+i)), "saturation", record.RoleClosed,
			1e9 / float64(n), func(t *record.StoreTrial) { t.ApplyNSPerItem = n }},
			made{"metronome", "frames-" + string(rune('a'+i)), "saturation", record.RoleClosed, 15 * float64(n),
				func(t *record.StoreTrial) { t.FramesPerSecondLimit, t.IngestFrames = n, float64(n) }},
			made{"metronome", "window-" + string(rune('a'+i)), "saturation", record.RoleClosed, 30 * float64(n),
				func(t *record.StoreTrial) { t.LaneWindowFrames, t.BusyAttempts = int(n), 9 }})
	}
	for b := 1; b <= blocks; b++ {
		for _, m := range all {
			r.Stores = append(r.Stores, m.trial(b))
		}
	}
	gone := record.NewStoreTrial()
	gone.Arm, gone.Setup, gone.Load = "nats-memory", "default", "saturation"
	gone.Status = record.StatusUnavailable
	gone.Reason = "nats: it is not built; next: make peers"
	r.Stores = append(r.Stores, gone)
	return r
}

func (m made) trial(block int) record.StoreTrial {
	t := record.NewStoreTrial()
	wobble := 1 + 0.02*float64(block%3)
	t.Block, t.Arm, t.Setup, t.Load, t.Role, t.Repeat, t.Attempt = block, m.arm, m.setup, m.load, m.role, 1, 1
	t.Status, t.AchievedOPS, t.Durable = record.StatusOK, m.ops*wobble, "in the memory of "+m.arm
	t.LatencyP50, t.LatencyP99, t.LatencyP999 = 100*wobble, 500*wobble, 2000*wobble
	t.CPUUSPerOp, t.CPUShare, t.InsideNS = 2*wobble, 0.5, 1e9
	t.CommittedItems, t.Rounds, t.OrderBytes = m.ops, 100, 30_000*wobble
	t.SentBytes, t.SentItems, t.SenderCPUUSPerItem = 90*m.ops, m.ops, 0.5
	t.Keys, t.KeyBytes, t.ValueBytes = 1000, 16, 64
	m.set(&t)
	t.Derive()
	return t
}

func TestStoreFigures(t *testing.T) {
	for _, blocks := range []int{1, 10} {
		figures, err := All(syntheticStores(blocks))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range figures {
			names = append(names, f.Name)
			if *save != "" {
				if _, err := f.Save(*save); err != nil {
					t.Fatal(err)
				}
			}
			spy := &textSpy{Canvas: nopCanvas{}, t: t, f: f}
			f.on(spy)
			if spy.texts == 0 {
				t.Errorf("%s has no text", f.Name)
			}
		}
		if !slices.Equal(names, storeNames()) {
			t.Errorf("figures %v", names)
		}
	}
}

// The same tables give the same bytes, also when the rows were read in another order.
func TestStoreFiguresAreReproducible(t *testing.T) {
	first, err := All(syntheticStores(6))
	if err != nil {
		t.Fatal(err)
	}
	second, err := All(syntheticStores(6))
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		for _, encode := range []func(Figure) ([]byte, error){Figure.PDF, Figure.SVG, Figure.PNG} {
			a, err1 := encode(first[i])
			b, err2 := encode(second[i])
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs from itself: %v", first[i].Name, err)
			}
		}
	}
}

// A run without the data says of each figure what it lacks, and an unknown figure is an error.
func TestStoreFiguresWithoutData(t *testing.T) {
	r := syntheticStores(1)
	r.Stores = nil
	r.Manifest.Figures = append(storeNames(), "spirals")
	figures, err := All(r)
	if len(figures) != 0 || !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "spirals") {
		t.Errorf("%d figures: %v", len(figures), err)
	}
	for _, name := range storeNames() {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("nothing is said of %s", name)
		}
	}
}

// Every point of the limits has the name of what limited it.
func TestLimitsAreNamed(t *testing.T) {
	v := newStoreView(syntheticStores(3))
	for i, want := range []string{record.BindStoring, record.BindProcessing, record.BindIngesting} {
		curves, line := v.bound(throttles()[i])
		if len(curves) != 1 || curves[0].name != want || len(line.points) != 3 {
			t.Errorf("throttle %d: %d points, curves %+v", i, len(line.points), curves)
		}
	}
}
