package peer

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"metronome/harness/load/kv"
	"metronome/internal/buildtest"
	"metronome/system/cluster"
)

func metronomeBinary(t *testing.T) string {
	t.Helper()
	dir, err := buildtest.Programs("", "metronome/system/cmd/metronome")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "metronome")
}

// Our own store is brought up with settings, loaded in both ways, counted, and leaves nothing.
func TestOurs(t *testing.T) {
	binary := metronomeBinary(t)
	for _, p := range Ours() {
		t.Run(p.Name, func(t *testing.T) {
			h := openHost(t)
			h.metronome, h.set = binary, Settings{"replicas": "3", "lanes": "2", "round_interval": "1ms"}
			i := startPeer(t, h, p, kv.Default())
			l := few(Mode{Connections: 2, Outstanding: 2, Batch: 8})
			r, err := offered(t.Context(), i, l)
			if err != nil {
				t.Fatal(err)
			}
			if err := i.Check(t.Context()); err != nil {
				t.Error(err)
			}
			c := r.Cost
			if r.Answered == 0 || r.Failed > 0 || r.Balance() != nil || r.Latency.Count == 0 {
				t.Errorf("result %+v", r.Counts)
			}
			if c.Counters["rounds"] == 0 || c.Counters["order_bytes"] == 0 || c.CountersNS == 0 {
				t.Errorf("counters %v over %d ns", c.Counters, c.CountersNS)
			}
			if c.Gauges["keys"] < filled*float64(l.Keys) {
				t.Errorf("%v of %d keys are there", c.Gauges["keys"], l.Keys)
			}
			var roles []string
			for _, q := range c.Processes {
				roles = append(roles, q.Role)
			}
			if !slices.Equal(roles, []string{"replica", "replica", "replica", "proxy"}) {
				t.Errorf("roles %v", roles)
			}
			if _, err := r.Histogram(); err != nil {
				t.Error(err)
			}
			if err := i.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSettingsOfOurs(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"replicas=5,multicast=unicast":   "",
		"replicas":                       "use name=value",
		"replicsa=5":                     "there is: replicas",
		"replicas=4":                     "use an odd number",
		"round_interval=soon":            "setting round_interval=soon",
		"lane_arena_bytes=16MiB":         "setting lane_arena_bytes",
		"force_round_interval=sometimes": "setting force_round_interval",
		"fsync_each_frame=never":         "setting fsync_each_frame",
	} {
		s, err := ParseSettings(text)
		if err == nil {
			err = s.only("metronome", SettingNames()...)
		}
		if err == nil {
			_, err = s.Replicas()
		}
		if err == nil {
			c := cluster.Default()
			s.Change(&err)(&c)
		}
		if got := message(err); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What must be durable lies on a disk; a cluster that is told nothing keeps its state in memory.
func TestDurability(t *testing.T) {
	for text, want := range map[string]struct{ durability, place string }{
		"":                                       {"memory", memoryDir},
		"durability=memory":                      {"memory", memoryDir},
		"durability=fsync,fsync_each_frame=true": {"fsync", diskDir},
	} {
		s, err := ParseSettings(text)
		if err != nil {
			t.Fatal(err)
		}
		c := cluster.Default()
		s.Change(&err)(&c)
		if err != nil || c.Durability != want.durability || s.place() != want.place ||
			c.Experiment.FsyncEachFrame != strings.Contains(text, "each_frame") {
			t.Errorf("%q: %s in %s: %v", text, c.Durability, s.place(), err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseMetrics(t *testing.T) {
	text := `# HELP x y
x 3
x_total{kind="order",peer="replica-1"} 1.5e+06
x_total{kind="order",peer="replica-2"} 500000
x_total{kind="report",peer="proxy-1"} 7
`
	samples, err := parseMetrics(strings.NewReader(text))
	if err != nil || len(samples) != 4 {
		t.Fatalf("%v, %v", samples, err)
	}
	into := map[string]float64{"most": 5}
	add(into, []gathered{{"x_total", `kind="order"`, "order", false}, {"x", "", "most", true}}, samples)
	add(into, []gathered{{"x_total", "", "all", false}}, samples)
	if into["order"] != 2e6 || into["all"] != 2000007 || into["most"] != 5 {
		t.Errorf("gathered %v", into)
	}
	add(into, []gathered{{"y_total", "", "absent", true}, {"x_total", `kind="hedge"`, "none yet", false}},
		samples)
	if n, ok := into["none yet"]; n != 0 || !ok {
		t.Error("a metric without such a label counts 0")
	}
	if _, ok := into["absent"]; ok {
		t.Error("a metric that is not there counts something")
	}
	for _, bad := range []string{"x\n", "x y\n"} {
		if _, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// A leader's bytes are counted: each item goes to each follower.
func TestLeadersBytesAreCounted(t *testing.T) {
	h := openHost(t)
	h.set = Settings{"replicas": "5"}
	i := startPeer(t, h, hashicorpPeer(), kv.Default())
	r, err := offered(t.Context(), i, few(Mode{Connections: 1, Outstanding: 4, Batch: 64}))
	if err != nil {
		t.Fatal(err)
	}
	each := r.Cost.Counters["leader_bytes"] / r.Cost.Counters["leader_items"]
	if least := 4. * (16 + 64); each < least || each > 2*least {
		t.Errorf("%.0f bytes an item to four followers of 80-byte items", each)
	}
}
