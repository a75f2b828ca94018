package consensus

import (
	"context"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"metronome/harness/factorial"
	"metronome/harness/model"
	"metronome/harness/spec"
	"metronome/system/order"
	"metronome/system/order/orderers"
	"metronome/system/packet"
)

// cell is a trial of three replicas a millisecond apart, but for some factors.
func cell(arm string, on map[string]string) factorial.Cell {
	f := map[string]string{"n": "3", "delay": "1ms", "jitter": "0", "loss": "0", "lanes": "8", "idle": "0",
		"rate": "1000", "rounds": "1", "cpu": "0s", "fsync": "0s", "tick": "20ms", "target": "leader",
		"fault": "none", "length": "500ms", "repeats": "1"}
	maps.Copy(f, on)
	return factorial.Cell{Arm: arm, Factors: f, Seed: 7}
}

// struck adds a fault to a cell.
func struck(fault string, on map[string]string) map[string]string {
	on["target"], on["fault"], _ = strings.Cut(fault, "/")
	return on
}

// measured are the algorithms that this world can drive.
func measured() []string {
	return slices.DeleteFunc(orderers.Names(), func(name string) bool {
		_, err := byName(name)
		return err != nil
	})
}

// led are those of them in which one replica proposes.
func led() []string {
	return slices.DeleteFunc(measured(), func(name string) bool {
		c, err := orderers.Parse(name)
		return err != nil || c.Leaderless()
	})
}

func trial(t *testing.T, arm string, on map[string]string) factorial.Outcome {
	t.Helper()
	o, err := session{start: byName}.Trial(context.Background(), cell(arm, on))
	if err != nil {
		t.Fatalf("%s %v: %v", arm, on, err)
	}
	return o
}

// By hand: the offer takes 1 ms, so does the acceptance. A follower learns of it another 1 ms later. A sync
// of 3 ms lies between, of the record at the follower.
func TestACommitTakesTwoDelays(t *testing.T) {
	for _, arm := range led() {
		o := trial(t, arm, nil).Values
		if o["commit_delays"] != 2 || o["commit_p99_delays"] != 2 || o["commit_p50_ms"] != 2 ||
			o["apply_p50_ms"] != 3 {
			t.Errorf("%s: %v", arm, o)
		}
		if o["fsyncs_per_round"] != 0 || o["in_flight"] != 1 {
			t.Errorf("%s: one round at a time in memory: %v", arm, o)
		}
		// With time for messages: the offer leaves after one, is taken in by another, is answered by a third,
		// and the answer is taken in: 4 × 0.1 ms. That the second waits for the first's turn may add to it.
		busy := trial(t, arm, map[string]string{"cpu": "100us", "rate": "100"}).Values["commit_p50_ms"]
		if busy < 2.4 || busy > 2.8 {
			t.Errorf("%s: %v ms with time for messages", arm, busy)
		}
		synced := trial(t, arm, map[string]string{"fsync": "3ms"}).Values
		if synced["commit_p50_ms"] < 5 || synced["commit_p50_ms"] > 11 || synced["fsyncs_per_round"] < 2 {
			t.Errorf("%s with syncs: %v", arm, synced)
		}
	}
}

// What the proxies send in a second is decided in a second, whatever befalls the replicas, but for the end.
func TestEveryFaultEnds(t *testing.T) {
	for _, arm := range measured() {
		for _, fault := range faults {
			o := trial(t, arm, struck(fault, map[string]string{"length": "2s"})).Values
			if o["items_per_s"] < 0.75*itemsPerFrame*1000 || o["outage_p99_ms"] > 1500 {
				t.Errorf("%s, %s: %v", arm, fault, o)
			}
			crashed := slices.Contains([]string{leaderCrash, leaderPause, leaderMute}, fault)
			if crashed && o["outage_p99_ms"] < 10 {
				t.Errorf("%s, %s: nobody noticed: %v", arm, fault, o)
			}
		}
	}
}

// Where everyone proposes, a round of a member that nobody contends with takes two delays, too: on a single
// lane, which is one member's to begin rounds for.
func TestWithoutContentionACommitTakesTwoDelays(t *testing.T) {
	for _, arm := range measured() {
		want := 2.0
		if arm == "rabia" { // three exchanges
			want = 3
		}
		o := trial(t, arm, map[string]string{"lanes": "1"}).Values
		if o["commit_delays"] != want {
			t.Errorf("%s: %v", arm, o)
		}
		if arm == "mencius" && o["messages_per_round"] > 11 { // one proposes, two skip, and heartbeats
			t.Errorf("others proposed too: %v", o)
		}
	}
}

// Without a leader there is none to elect: with baxos an outage is a back-off and not a timeout, and a slow
// replica costs little, whoever it is.
func TestBaxosGoesRoundWhoIsSlow(t *testing.T) {
	well := trial(t, "baxos", map[string]string{"length": "2s"}).Values
	for _, fault := range []string{leaderSlow, followerSlow} {
		slow := trial(t, "baxos", struck(fault, map[string]string{"length": "2s"})).Values
		if slow["item_p50_ms"] > 2*well["item_p50_ms"] || slow["items_per_s"] < 0.9*well["items_per_s"] {
			t.Errorf("%s: %v, well %v", fault, slow, well)
		}
	}
	crashed := trial(t, "baxos", struck(leaderCrash, map[string]string{"length": "2s"})).Values
	if crashed["outage_p99_ms"] > 200 {
		t.Errorf("the first crashed, and 200 ms are the least election timeout: %v", crashed)
	}
}

// Racs misses a leader after two heartbeats, and needs no timeout that is right to have another: an exchange
// of 300 ms one way takes longer than the least election timeout, which is 200 ms.
func TestRacsNeedsNoTimeoutThatIsRight(t *testing.T) {
	near := trial(t, "racs", struck(leaderCrash, map[string]string{"length": "1s"})).Values
	if near["outage_p99_ms"] > 150 {
		t.Errorf("an outage of more than 7 ticks: %v", near)
	}
	slowly := map[string]string{"length": "5s", "delay": "300ms", "rate": "50"}
	far := trial(t, "racs", struck(leaderCrash, slowly)).Values
	if far["outage_p99_ms"] > 3000 {
		t.Errorf("300 ms one way: %v", far)
	}
}

func TestASeedGivesTheSameRows(t *testing.T) {
	on := map[string]string{"jitter": "0.5", "loss": "0.02", "fault": "pause", "length": "1500ms",
		"repeats": "2", "fsync": "200us", "cpu": "2us", "rounds": "2", "n": "5"}
	for _, arm := range measured() {
		a, b := trial(t, arm, on), trial(t, arm, on)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s:\n%v\n%v", arm, a, b)
		}
		other := cell(arm, on)
		other.Seed++
		c, err := session{start: byName}.Trial(context.Background(), other)
		if err != nil || reflect.DeepEqual(a, c) {
			t.Errorf("%s: another seed says the same, or %v", arm, err)
		}
	}
}

func TestIdleLanesHoldUpNothing(t *testing.T) {
	for _, arm := range measured() {
		alone := trial(t, arm, map[string]string{"lanes": "1"}).Values
		beside := trial(t, arm, map[string]string{"lanes": "64", "idle": "63"}).Values
		if !reflect.DeepEqual(alone, beside) {
			t.Errorf("%s: %v alone, %v beside idle lanes", arm, alone, beside)
		}
	}
}

// broken is an orderer with a fault.
type broken struct {
	order.Orderer
	how  string
	held []order.Committed // proposed here and "decided" at once
	pos  uint64
}

func (b *broken) Propose(d []byte) error {
	if b.how == "alone" {
		if b.pos == 0 {
			b.pos = b.Orderer.Status().Position
		}
		b.pos++
		b.held = append(b.held, order.Committed{Position: b.pos, Decision: d})
		return nil
	}
	return b.Orderer.Propose(d)
}

func (b *broken) Ready() order.Ready {
	rd := b.Orderer.Ready()
	for i := range rd.Committed {
		c := &rd.Committed[i]
		switch {
		case b.how == "skips" && c.Position > 20:
			c.Position++
		case b.how == "alters" && c.Decision != nil && c.Position > 20:
			d, _ := order.DecodeDecision(c.Decision)
			d.Time++
			c.Decision = order.AppendDecision(nil, &d)
		}
	}
	rd.Committed, b.held = append(rd.Committed, b.held...), nil
	if b.how == "silent" {
		rd.Messages = nil
	}
	return rd
}

// yes is a gate that holds everything.
type yes struct{}

func (yes) Holds(order.Cut) order.Verdict { return order.Held }

func TestABrokenOrdererIsNoMeasurement(t *testing.T) {
	for how, want := range map[string]string{"skips": "is handed position", "alters": "I2",
		"silent": "no leader", "alone": "I1", "careless": "I1"} {
		start := func(name string) (starter, error) {
			right, err := byName(name)
			return func(c order.Config) (order.Orderer, error) {
				if how == "careless" {
					c.Gate = yes{}
					return right(c)
				}
				o, err := right(c)
				if c.ID != 1 && how != "silent" && how != "alone" {
					return o, err // one of three is broken
				}
				return &broken{Orderer: o, how: how}, err
			}, err
		}
		// Frames that come late show who does not ask the gate.
		on := map[string]string{"loss": "0.3", "rounds": "2", "length": "2s"}
		if _, err := (session{start: start}).Trial(context.Background(), cell("multipaxos", on)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// The model and the measurement are two views of one thing.
func TestTheModelFits(t *testing.T) {
	within := func(arm string, on map[string]string, metrics map[string]float64) {
		t.Helper()
		c := cell(arm+"-model", on)
		c.Set = map[string]string{"model": arm}
		calculated, err := session{}.Trial(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		on["length"] = "3s"
		measured := trial(t, arm, on).Values
		for m, most := range metrics {
			if off := calculated.Values[m]/measured[m] - 1; math.Abs(off) > most {
				t.Errorf("%s %v: %s is %.4g, the model says %.4g (%+.0f %%)", arm, on, m, measured[m],
					calculated.Values[m], 100*off)
			}
		}
	}
	for _, arm := range model.Names() {
		for _, rate := range []string{"100", "1000", "8000"} {
			within(arm, map[string]string{"rate": rate}, map[string]float64{"commit_mean_ms": 1e-6,
				"rounds_per_s": 0.06, "item_mean_ms": 0.05, "messages_per_round": 0.04,
				"bytes_per_round": 0.05}) // the first hundred numbers are shorter
		}
		within(arm, map[string]string{"n": "5", "jitter": "0.3", "rate": "100"},
			map[string]float64{"commit_mean_ms": 0.15})
		within(arm, map[string]string{"rounds": "8", "cpu": "20us", "rate": "16000", "delay": "250us"},
			map[string]float64{"rounds_per_s": 0.3})
	}
}

func TestWhatAPointMayNotBe(t *testing.T) {
	for name, value := range map[string]string{"n": "0", "idle": "8", "lanes": "4097", "rounds": "0",
		"delay": "0s", "loss": "0.9", "rate": "NaN", "fault": "earthquake",
		"length": "1h", "cpu": "-1s", "jitter": "x"} {
		if _, err := pointOf(cell("raft", map[string]string{name: value})); err == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
	var un *packet.ErrUnavailable
	_, err := session{start: byName}.Trial(context.Background(), cell("epaxos", nil))
	if !errors.As(err, &un) {
		t.Errorf("an algorithm that there is not: %v", err)
	}
	c := cell("x", nil)
	c.Set = map[string]string{"model": "x"}
	if _, err := (session{}).Trial(context.Background(), c); err == nil {
		t.Error("a model that there is not is calculated")
	}
}

// Whoever adds an algorithm has it measured.
func TestEveryAlgorithmIsAnArm(t *testing.T) {
	e, err := spec.LoadFactorial("../../../experiments", "consensus")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range measured() {
		if !slices.ContainsFunc(e.Arms, func(a spec.FactorialArm) bool { return a.Name == name }) {
			t.Errorf("%s is no arm of experiments/consensus/experiment.yaml; next: add it", name)
		}
	}
}
