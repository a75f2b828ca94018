package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"metronome/harness/arm"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

const storeDeclaration = `name: x
kind: store
question: y
workload: {keys: 100, key_bytes: 16, value_bytes: 64}
arms: [{name: ours, peer: p, what: w, set: {replicas: 5}}, {name: gone, peer: q, what: v},
  {name: breaks, peer: r, what: u}]
setups: [{name: plain}, {name: slow, set: {apply_per_item: 1us}, arms: [ours]}]
loads: [{name: half, fraction: 0.5}, {name: most}, {name: one, outstanding: 1}]
profiles: {p: {blocks: 2, warmup_ms: 1, window_ms: 100, preload: true, noise_pair: ours}}
claims:
  - {name: fast, words: fast, metric: achieved_ops, bound: 1, arm: ours, load: most}
  - {name: slower, words: slower, metric: achieved_ops, bound: 0.5, arm: ours, setup: slow, load: most,
     rungs: [ours], rung_setup: plain}
`

// system is a made-up system.
type system struct {
	asks   []arm.StoreAsk
	steal  float64 // of the first trial
	breaks bool
	closed int
}

func (s *system) Trial(_ context.Context, ask arm.StoreAsk) (record.StoreTrial, error) {
	t := record.NewStoreTrial()
	if s.breaks {
		return t, errors.New("it broke")
	}
	s.asks = append(s.asks, ask)
	t.Status, t.AchievedOPS, t.StealRatio = record.StatusOK, 1000, 0
	if len(s.asks) == 1 {
		t.StealRatio = s.steal
	}
	if ask.RateOPS > 0 {
		t.AchievedOPS = ask.RateOPS
	}
	return t, nil
}

func (s *system) Close() { s.closed++ }

// carryOut runs the declaration on made-up systems.
func carryOut(t *testing.T, steal float64) (rows []record.StoreTrial, opened map[string][]*system,
	e *spec.Store) {
	t.Helper()
	e, err := spec.ParseStore([]byte(storeDeclaration))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := e.Plan(spec.Selection{Profile: "p", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	opened = map[string][]*system{}
	r := StoreRunner{Plan: plan, RunID: "id", Write: func(t record.StoreTrial) error {
		rows = append(rows, t)
		return nil
	}, Open: func(_ context.Context, g spec.StoreGroup) (StoreSession, error) {
		if g.Arm.Name == "gone" {
			opened[g.Key()] = append(opened[g.Key()], nil)
			return nil, &packet.ErrUnavailable{What: "gone", Why: "it is not built", Next: "make peers"}
		}
		s := &system{steal: steal, breaks: g.Arm.Name == "breaks"}
		opened[g.Key()] = append(opened[g.Key()], s)
		return s, nil
	}}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rows, opened, e
}

func TestStoreRunner(t *testing.T) {
	rows, opened, e := carryOut(t, 0)
	plain := opened["ours/plain"]
	if len(plain) != 2 || plain[0].closed != 1 {
		t.Fatalf("opened %d times in two blocks", len(plain))
	}
	asks := plain[0].asks
	if len(asks) != 4 { // saturation twice, half, one
		t.Fatalf("asked %+v", asks)
	}
	for i, a := range asks {
		if a.Preload != (i == 0) {
			t.Errorf("ask %d: preload %v", i, a.Preload)
		}
	}
	if asks[0].RateOPS != 0 || asks[2].RateOPS != 500 || asks[3].Outstanding != 1 {
		t.Errorf("asked %+v", asks)
	}
	// What cannot run is tried once, what breaks is tried twice a block.
	if len(opened["gone/plain"]) != 1 || len(opened["breaks/plain"]) != 4 {
		t.Errorf("opened %v", opened)
	}
	seen := map[string]int{}
	for _, r := range rows {
		seen[fmt.Sprint(r.Arm, " ", r.Setup, " ", r.Load, " ", r.Role, " ", r.Status)]++
	}
	for want, n := range map[string]int{
		"ours plain most closed ok": 2, "ours plain most aa ok": 2, "ours plain half open ok": 2,
		"ours slow one unloaded ok": 2, "gone plain most closed unavailable": 1, "breaks plain most closed void": 2,
	} {
		if seen[want] != n {
			t.Errorf("%d rows %q, want %d: %v", seen[want], want, n, seen)
		}
	}
	i := slices.IndexFunc(rows, func(r record.StoreTrial) bool { return r.Setup == "slow" })
	if r := rows[i]; r.Settings != "replicas=5 apply_per_item=1µs" || r.Replicas != 5 ||
		r.ApplyNSPerItem != 1000 {
		t.Errorf("row %+v", r)
	}
	res := record.Results{Stores: rows}
	if err := JudgeStore(e, &res, false); err != nil {
		t.Fatal(err)
	}
	if len(res.Claims) != 2 || res.Claims[0].Measured != 1000 || res.Claims[1].Measured != 1 ||
		res.Claims[1].Verdict != record.Inconclusive {
		t.Errorf("claims %+v", res.Claims)
	}
}

// A trial during which the hypervisor took the cores is repeated, every attempt is written, and only the
// first one fills the store.
func TestStolenStoreTrialsAreRepeated(t *testing.T) {
	rows, opened, _ := carryOut(t, 0.5)
	n := 0
	for _, r := range rows {
		if r.Flags == "steal" && r.Attempt == 1 {
			n++
		}
	}
	if asks := opened["ours/slow"][0].asks; n != 4 || len(asks) != 4 || asks[1].Preload {
		t.Errorf("%d disturbed rows, asks %+v", n, asks)
	}
}

const crashDeclaration = `name: x
kind: store
question: y
workload: {keys: 1, key_bytes: 16, value_bytes: 64}
arms: [{name: ours, peer: p, what: w}]
loads: [{name: kills, rate_ops: 100, kill: [leader, proxy]}]
profiles: {p: {blocks: 2, window_ms: 100, kills: 3}}
`

// killed is a made-up cluster that is killed as asked.
type killed struct{ asks *[]arm.StoreAsk }

func (k killed) Trial(_ context.Context, ask arm.StoreAsk) (record.StoreTrial, error) {
	*k.asks = append(*k.asks, ask)
	t := record.NewStoreTrial()
	t.Status, t.Kills, t.Timeline = record.StatusOK, make([]record.Kill, 3), make([]record.Moment, 5)
	return t, nil
}

func (killed) Close() {}

// A load that kills is asked for as declared, and its rows of other tables say where they belong.
func TestKillsAreAskedFor(t *testing.T) {
	e, err := spec.ParseStore([]byte(crashDeclaration))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := e.Plan(spec.Selection{Profile: "p", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var asks []arm.StoreAsk
	var rows []record.StoreTrial
	r := StoreRunner{Plan: plan, Write: func(t record.StoreTrial) error { rows = append(rows, t); return nil },
		Open: func(context.Context, spec.StoreGroup) (StoreSession, error) { return killed{&asks}, nil }}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(asks) != 2 || asks[0].Kills != 3 || !slices.Equal(asks[1].Kill, []string{"leader", "proxy"}) ||
		asks[0].RateOPS != 100 || asks[0].Seed == asks[1].Seed {
		t.Errorf("asked %+v", asks)
	}
	for i, row := range rows {
		k, m := row.Kills[2], row.Timeline[4]
		if row.Role != record.RoleKills || k.Block != i+1 || k.Arm != "ours" || k.Setup != "default" ||
			k.Load != "kills" || m.Block != i+1 || m.Arm != "ours" {
			t.Errorf("%s: kill %+v, moment %+v", row.Role, k, m)
		}
	}
}
