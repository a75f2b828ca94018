package plot

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"metronome/harness/check"
	"metronome/harness/record"
)

// storeNames are the figures of experiments on stores.
func storeNames() []string {
	return []string{"saturation", "latency-curve", "rounds-load", "rounds-interval", "limits", "bytes-per-item",
		"syncs-load", "crash-timeline", "crash-outages"}
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
	kill(&r, blocks)
	gone := record.NewStoreTrial()
	gone.Arm, gone.Setup, gone.Load = "nats-memory", "default", "saturation"
	gone.Status = record.StatusUnavailable
	gone.Reason = "nats: it is not built; next: make peers"
	r.Stores = append(r.Stores, gone)
	return r
}

// kill adds kills and a timeline: each role in turn, one every three seconds.
func kill(r *record.Results, blocks int) {
	roles := []string{"leader", "follower", "proxy", "replicas", record.RoleCalm}
	for b := 1; b <= blocks; b++ {
		for ms := 0; ms < 70_000; ms += record.MomentMS {
			for proxy := 1; proxy <= 2; proxy++ {
				r.Timeline = append(r.Timeline, record.Moment{Block: b, Arm: "metronome", AtMS: ms, Proxy: proxy,
					Acked: 200 - ms%3000/50*proxy})
			}
		}
		for n := range 22 {
			k := record.Kill{Block: b, Arm: "metronome", Number: n + 1, Role: roles[n%len(roles)],
				AtMS: 3000 * float64(n), OutageMS: float64(20 * (1 + n%len(roles)) * (b + 1)), OwnOutageMS: math.NaN()}
			if k.Role == "proxy" {
				k.OwnOutageMS = 900
			}
			r.Kills = append(r.Kills, k)
		}
	}
	r.Claims = append(r.Claims, record.Claim{Claim: "leader", Primary: true, Arm: "metronome", Expected: 500})
}

func (m made) trial(block int) record.StoreTrial {
	t := record.NewStoreTrial()
	wobble := 1 + 0.02*float64(block%3)
	t.Block, t.Arm, t.Setup, t.Load, t.Role, t.Repeat, t.Attempt = block, m.arm, m.setup, m.load, m.role, 1, 1
	t.Status, t.AchievedOPS, t.Durable = record.StatusOK, m.ops*wobble, "in the memory of "+m.arm
	t.LatencyP50, t.LatencyP99, t.LatencyP999 = 100*wobble, 500*wobble, 2000*wobble
	t.CPUUSPerOp, t.CPUShare, t.InsideNS = 2*wobble, 0.5, 1e9
	t.CommittedItems, t.Rounds, t.OrderBytes = m.ops, 100, 30_000*wobble
	if m.arm == "metronome" {
		t.JournalSyncs, t.JournalBytes = 500*wobble, 100*m.ops
	}
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
	r.Stores, r.Kills, r.Timeline = nil, nil, nil
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

// Only kills of the block that is drawn are drawn.
func TestTimelineIsOfOneBlock(t *testing.T) {
	v := newStoreView(syntheticStores(3))
	kills, perS, last := v.blockOf()
	if len(kills) != 22 || len(perS) != 700 || last != 69_900 || perS[0] != 4000 {
		t.Errorf("%d kills, %d moments to %d ms, %g writes/s", len(kills), len(perS), last, perS[0])
	}
}

func syntheticSims() record.Results {
	r := record.Results{Manifest: record.Manifest{Kind: record.ExperimentSim, Blocks: 6,
		Figures: []string{"seeds-to-catch"}, RunID: "20260101T000000Z-abcdef0-1234", Conditions: "made up"}}
	for b := 1; b <= 6; b++ {
		r.Sims = append(r.Sims, record.SimTrial{Block: b, Family: "calm", Seeds: 100, Operations: 9000,
			Status: record.StatusOK})
		for i, m := range []string{"apply-twice", "skip-gate", "stale-read", "unbuilt"} {
			t := record.SimTrial{Block: b, Mutation: m, Seeds: (i*i + 1) * b, Caught: i != 2 || b > 1,
				Status: record.StatusOK}
			if m == "unbuilt" {
				t.Status, t.Caught = record.StatusUnavailable, false
			}
			r.Sims = append(r.Sims, t)
		}
	}
	r.Summaries = check.NewSims(r.Sims).Summarise()
	return r
}

// A mutation that is missed in one block is named under the figure; one that could not be tried is
// unavailable.
func TestSimFigure(t *testing.T) {
	r := syntheticSims()
	figures, err := All(r)
	if err != nil || len(figures) != 1 {
		t.Fatalf("%d figures: %v", len(figures), err)
	}
	if *save != "" {
		if _, err := figures[0].Save(*save); err != nil {
			t.Fatal(err)
		}
	}
	spy := &textSpy{Canvas: nopCanvas{}, t: t, f: figures[0]}
	figures[0].on(spy)
	b, err := figures[0].SVG()
	if err != nil || spy.texts == 0 {
		t.Fatal(spy.texts, err)
	}
	for _, want := range []string{"NOT caught in some block: stale-read", "unavailable", "600 seeds"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the figure does not say %q", want)
		}
	}
	r.Sims = r.Sims[:1]
	r.Manifest.Figures = append(r.Manifest.Figures, "spirals")
	if _, err := All(r); !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "spirals") {
		t.Error(err)
	}
}
