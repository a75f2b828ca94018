package rss

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"metronome/harness/driver/rss/worker"
	"metronome/harness/factorial"
	"metronome/harness/load"
	"metronome/harness/spec"
	"metronome/harness/vswitch"
	"metronome/harness/vswitch/vswitchd"
	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// The test binary is also "lab rss" and "lab vswitch".
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "vswitch" && os.Args[1] != "rss" {
		os.Exit(m.Run())
	}
	lab := &cobra.Command{SilenceUsage: true}
	lab.AddCommand(vswitchd.Command(), worker.Command())
	if lab.Execute() != nil {
		os.Exit(1)
	}
}

// opened is a session whose lab is this binary.
func opened(t *testing.T) factorial.Session {
	t.Helper()
	bin := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(bin, "lab")); err != nil {
		t.Fatal(err)
	}
	s, err := Driver{}.Open(t.Context(), factorial.Env{Bin: bin, Logs: t.TempDir(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cell(wire, distribution, cores string, more ...string) factorial.Cell {
	c := factorial.Cell{Arm: wire + "-" + distribution, Length: 200 * time.Millisecond,
		Set: map[string]string{"wire": wire, "distribution": distribution},
		Factors: map[string]string{"cores": cores, "items": "2", "lanes": "8", "ports": chosen, "rate": "20000",
			"gbit": "25", "receive_ns": "65", "crosses": "4", "memories": "1"}}
	for i := 0; i < len(more); i += 2 {
		c.Factors[more[i]] = more[i+1]
	}
	return c
}

// Every way of getting frames to cores brings some through, on all cores that work. On a machine whose
// processes starve, a trial is tried again.
func TestTrials(t *testing.T) {
	s := opened(t)
	for _, c := range []factorial.Cell{
		cell(worker.Replay, hardware, "2"),
		cell(worker.Socket, hardware, "2"), cell(worker.Socket, software, "2"), cell(worker.Socket, none, "1"),
		cell(worker.Memif, software, "3"), cell(worker.Memif, none, "1"),
	} {
		t.Run(c.Arm, func(t *testing.T) {
			await(t, s, c, func(o factorial.Outcome) error {
				v := o.Values
				if o.Void != "" || v["items_per_s"] <= 0 || v["items_per_s"] != 2*v["frames_per_s"] ||
					v["fairness"] <= 0 {
					return fmt.Errorf("void %q: %v", o.Void, v)
				}
				return nil
			})
		})
	}
}

// await repeats a trial until it came out as good says.
func await(t *testing.T, s factorial.Session, c factorial.Cell, good func(factorial.Outcome) error) {
	t.Helper()
	const tries = 8
	for n := 1; ; n++ {
		o, err := s.Trial(t.Context(), c)
		if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
			require.Skip(t, "dpdk", err)
		}
		if err == nil {
			err = good(o)
		}
		if err == nil {
			return
		}
		t.Logf("try %d: %v", n, err)
		if n == tries {
			t.Fatalf("%d times; at last: %v", tries, err)
		}
		c.Length *= 2
	}
}

// Each lane reaches the core that the hash of its port says: chosen ports spread them evenly.
func TestLanesReachTheirCores(t *testing.T) {
	s := opened(t)
	for _, ports := range []string{chosen, consecutive} {
		t.Run(ports, func(t *testing.T) {
			c := cell(worker.Memif, hardware, "4", "ports", ports, "lanes", "12")
			want := expected(t, c)
			if even := math.Abs(want-1) < 1e-9; even != (ports == chosen) {
				t.Fatalf("a fairness of %v is expected of ports %s", want, ports)
			}
			await(t, s, c, func(o factorial.Outcome) error {
				if got := o.Values["lane_fairness"]; o.Void != "" || math.Abs(got-want) > 1e-9 {
					return fmt.Errorf("void %q: fairness of lanes %v, want %v", o.Void, got, want)
				}
				if uneven := slices.Contains(o.Flags, "uneven_lanes"); uneven == (ports == chosen) {
					return fmt.Errorf("flags %v", o.Flags)
				}
				return nil
			})
		})
	}
}

// expected is the fairness of lanes by the hash of the packets they come in.
func expected(t *testing.T, c factorial.Cell) float64 {
	t.Helper()
	p, err := parse(c)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := p.lanePorts()
	if err != nil {
		t.Fatal(err)
	}
	hash, lanes := vswitch.NewToeplitz(vswitch.MicrosoftKey[:]), make([]float64, p.cores)
	for _, port := range ports {
		template, err := ethernet.NewTemplate(ethernet.Flow{Dst: worker.Group,
			Src: netip.AddrPortFrom(worker.Source.Addr(), port)})
		if err != nil {
			t.Fatal(err)
		}
		pkt := make([]byte, ethernet.HeaderBytes)
		template.Put(pkt, 0)
		lanes[vswitch.Queue(hash.Packet(pkt), p.cores)]++
	}
	return Jain(lanes)
}

// The calculated arms calibrate themselves here, once, and tell their error.
func TestPrediction(t *testing.T) {
	s := opened(t)
	var pipeline float64
	for _, c := range []factorial.Cell{cell(wireModel, hardware, "64"), cell(wireModel, software, "64")} {
		o, err := s.Trial(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		v := o.Values
		if v["items_per_s"] <= 0 || v["items_per_s_low"] <= 0 || v["items_per_s_low"] > v["items_per_s"] ||
			v["pipeline_ns"] <= 0 || v["hand_ns"] <= 0 || v["memory_gb_per_s"] <= 0 || v["model_error"] < 0 {
			t.Errorf("%s: %v", c.Arm, v)
		}
		if pipeline != 0 && v["pipeline_ns"] != pipeline {
			t.Error("calibrated again")
		}
		pipeline = v["pipeline_ns"]
	}
}

func TestCalculationByHand(t *testing.T) {
	p, err := parse(cell(wireModel, hardware, "4", "items", "1", "receive_ns", "50", "gbit", "100"))
	if err != nil {
		t.Fatal(err)
	}
	c := &worker.Calibration{Cores: []float64{1, 2}, Rates: []float64{1e7, 2e7}, Again: []float64{1e7, 1.6e7},
		Pipeline: 100, Hand: 20, Take: 5, Memory: 1e12}
	o, err := p.calculate(c)
	if err != nil {
		t.Fatal(err)
	}
	v := o.Values
	// Four cores at 150 ns; the law was wrong by a quarter about two cores.
	if math.Abs(v["items_per_s"]/(4/150e-9)-1) > 1e-9 || math.Abs(v["model_error"]-0.25) > 1e-9 ||
		v["usl_points"] != 2 || v["items_per_s_low"] >= 0.8*v["items_per_s"] {
		t.Errorf("%v", v)
	}
	if !slices.Equal(o.Flags, []string{"calculated", "limit_cores"}) {
		t.Errorf("flags %v", o.Flags)
	}
	if _, err := p.calculate(&worker.Calibration{}); err == nil {
		t.Error("a prediction from nothing")
	}
}

func TestOutcomes(t *testing.T) {
	two := trial{wire: worker.Memif, distribution: hardware, cores: 2, lanes: 4, length: time.Second}
	o := two.outcome(load.Done{Emitted: 400}, worker.Result{Cores: []worker.Core{
		{Frames: 100, Items: 300, Lanes: 3, Wall: 1e9, CPU: 1e6},
		{Frames: 100, Items: 300, Lanes: 1, Wall: 1e9, CPU: 3e6},
	}})
	for name, want := range map[string]float64{"frames_per_s": 200, "items_per_s": 600, "loss": 0.5,
		"fairness": 1, "lane_fairness": 0.8, "cpu_ns_per_frame": 2e4} {
		if got := o.Values[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if !slices.Contains(o.Flags, "uneven_lanes") {
		t.Errorf("flags %v", o.Flags)
	}
	o = two.outcome(load.Done{}, worker.Result{Cores: make([]worker.Core, 2)})
	if _, told := o.Values["lane_fairness"]; told || o.Void == "" {
		t.Errorf("nothing came through: %+v", o)
	}
}

func TestRefusals(t *testing.T) {
	s := opened(t)
	for name, c := range map[string]factorial.Cell{
		"nothing distributes": cell(worker.Socket, none, "2"),
		"no distribution":     cell(worker.Socket, "magic", "2"),
		"no ports":            cell(worker.Memif, hardware, "2", "ports", "random"),
		"no cores":            cell(worker.Socket, hardware, "0"),
		"no number":           cell(worker.Socket, hardware, "many"),
		"no wire":             cell("string", hardware, "1"),
		"too many cores":      cell(worker.Socket, hardware, "65"),
	} {
		if o, err := s.Trial(t.Context(), c); err == nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
	un := (*packet.ErrUnavailable)(nil)
	if _, err := (Driver{}).Open(context.Background(), factorial.Env{Bin: t.TempDir()}); !errors.As(err, &un) {
		t.Errorf("no lab: %v", err)
	}
}

// The declaration's arms are ones that this driver has.
func TestDeclaration(t *testing.T) {
	e, err := spec.LoadFactorial("../../../experiments", "ingest-rss")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range e.Arms {
		c := factorial.Cell{Arm: a.Name, Set: a.Set, Factors: map[string]string{}}
		for f, v := range e.Base {
			c.Factors[f] = v
			if only := a.Only[f]; len(only) > 0 && !slices.Contains(only, v) {
				c.Factors[f] = only[0]
			}
		}
		if _, err := parse(c); err != nil {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
}
