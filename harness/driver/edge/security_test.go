package edge

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
)

// securityCell is a cell of edge-security, with every defence on.
func securityCell(on map[string]string) factorial.Cell {
	f := map[string]string{"wrong": "20", "legitimate": "20", "addresses": "3", "guess": "others",
		"names": "50", "connections": "2", "cost": "10"}
	set := map[string]string{"cache": "true", "gate": "true", "limits": "true"}
	for k, v := range on {
		if _, ok := set[k]; ok {
			set[k] = v
			continue
		}
		f[k] = v
	}
	return factorial.Cell{Arm: "all", Factors: f, Set: set, Seed: 1, Length: time.Second}
}

// A defence that is off is wider than anything that comes; one that is on is the edge's own.
func TestGuardedSettings(t *testing.T) {
	on := Guarded{Cache: true, Gate: true, Limits: true}.guard()
	if on.Cache.Life != 0 || on.Gate.Width != 0 || on.Limits.UserBurst != 0 {
		t.Errorf("not the defaults: %+v", on)
	}
	off := Guarded{}.guard()
	if off.Cache.Life != 1 || off.Gate.Width < 1000 || off.Limits.UserBurst < 1e6 ||
		off.Limits.AddressBurst < 1e6 {
		t.Errorf("not off: %+v", off)
	}
}

// The edge under attack, here in the test's own process: the user gets answers, the attackers none.
func TestUnderAttack(t *testing.T) {
	s := &securitySession{env: factorial.Env{Dir: t.TempDir()}}
	c := securityCell(nil)
	l, shape, err := s.shape(c)
	if err != nil {
		t.Fatal(err)
	}
	g, password, err := s.furnish(c)
	if err != nil {
		t.Fatal(err)
	}
	g.Told = filepath.Join(g.Dir, "address")
	what, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeGuarded(ctx, string(what)) }()
	addr := ""
	for addr == "" {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
			b, _ := os.ReadFile(g.Told)
			addr = strings.TrimSpace(string(b))
		}
	}
	config, err := trusting(filepath.Join(g.Dir, caFile))
	if err != nil {
		t.Fatal(err)
	}
	target := &httpTarget{addr, config, newEdgeDialect(addr, legitimate, password)}
	if err := logIn(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	a := newAttack("https://"+addr+"/v1/kv/a", config, shape.addresses)
	a.names, a.perSecond = shape.names, shape.perSecond
	r, err := a.during(t.Context(), func(begin func()) (*kv.Result, error) {
		return kv.Run(t.Context(), &begins{target, begin}, l, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// How many answers there are in the window is the machine's business, what they say is not.
	if r.Completed+r.Answered == 0 || r.Failed+r.Busy > 0 || a.failed.Load() > 0 {
		t.Errorf("%+v; attackers: %d hashed, %d refused, %d something else", r.Counts, a.hashed.Load(),
			a.refused.Load(), a.failed.Load())
	}
	if o := secure(r, a, l); o.Void != "" {
		t.Errorf("%+v", o)
	}
}

// Requests that were lost make the percentile a lower bound, and are no reason to leave the trial out.
func TestLostRequestsAreCensored(t *testing.T) {
	l := kv.Default()
	r := &kv.Result{Counts: kv.Counts{Due: 100, Answered: 40, Busy: 60}}
	o := secure(r, &attack{}, l)
	if !slices.Contains(o.AtLeast, "p99_ms") || !slices.Contains(o.AtLeast, "p50_ms") ||
		o.Values["refused_share"] != 0.6 || o.Void != "" {
		t.Errorf("%+v", o)
	}
}

func TestSecurityRefusesNonsense(t *testing.T) {
	s := &securitySession{env: factorial.Env{Dir: t.TempDir()}}
	for name, value := range map[string]string{"guess": "all", "addresses": "0", "legitimate": "0", "cost": "x",
		"gate": "perhaps"} {
		c := securityCell(map[string]string{name: value})
		_, _, err := s.shape(c)
		if err == nil {
			_, _, err = s.furnish(c)
		}
		if err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
	}
	if err := ServeGuarded(t.Context(), "{"); err == nil {
		t.Error("served nothing")
	}
	for _, c := range newAttack("https://127.0.0.1:1", nil, 3).clients {
		if c.Transport.(*http.Transport).DialContext == nil {
			t.Error("an attacker without an address of its own")
		}
	}
}
