package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"metronome/internal/require"
)

// able is a host on which everything works.
func able(t *testing.T) prober {
	return prober{
		euid: func() int { return 0 }, unshare: func() error { return nil },
		bpf: func() error { return nil }, pool: fakePool(t, 8, 8),
		output:   func(string, ...string) (string, error) { return "22.11.11", nil },
		lookPath: func(name string) (string, error) { return "/usr/bin/" + name, nil },
		cores:    func() int { return 2 },
		free:     func(string) (uint64, error) { return minFree, nil },
	}
}

func TestPreflight(t *testing.T) {
	no := errors.New("no")
	for name, c := range map[string]struct {
		spoil func(*prober)
		fails []string
	}{
		"everything works": {func(*prober) {}, nil},
		"no hugepages yet": {func(p *prober) { p.pool = fakePool(t, 0, 0) }, nil},
		"ordinary user": {func(p *prober) {
			p.euid = func() int { return 1000 }
			p.unshare, p.bpf = func() error { return no }, func() error { return no }
			p.pool = fakePool(t, 0, 0)
		}, []string{"root", "netns", "bpf", "hugepages"}},
		"user with hugepages": {func(p *prober) { p.euid = func() int { return 1000 } }, []string{"root"}},
		"no pool":             {func(p *prober) { p.pool = hugePool(t.TempDir()) }, []string{"hugepages"}},
		"no DPDK": {func(p *prober) {
			p.output = func(string, ...string) (string, error) { return "", no }
			p.lookPath = func(string) (string, error) { return "", no }
		}, []string{"dpdk", "testpmd"}},
		"one core": {func(p *prober) { p.cores = func() int { return 1 } }, []string{"cores"}},
		"full disk": {func(p *prober) {
			p.free = func(string) (uint64, error) { return 5, nil }
		}, []string{"disk"}},
		"no such fs": {func(p *prober) {
			p.free = func(string) (uint64, error) { return 0, no }
		}, []string{"disk"}},
	} {
		p := able(t)
		c.spoil(&p)
		var fails []string
		for _, ck := range p.all("results") {
			if ck.Why == "" || !ck.OK && ck.Next == "" {
				t.Errorf("%s: %+v lacks a reason or a next step", name, ck)
			}
			if !ck.OK {
				fails = append(fails, ck.Name)
			}
		}
		if !slices.Equal(fails, c.fails) {
			t.Errorf("%s: failed %v, want %v", name, fails, c.fails)
		}
	}
}

// What this machine was promised to be able to do, the real probes find.
func TestPreflightOfThisHost(t *testing.T) {
	promised := map[string]string{"root": "root", "netns": "root", "bpf": "xdp", "dpdk": "dpdk",
		"testpmd": "dpdk"}
	for _, ck := range Preflight(filepath.Join(t.TempDir(), "not", "there")) {
		if what := promised[ck.Name]; !ck.OK && what != "" && require.Required(what) {
			t.Errorf("%s is required: %+v", what, ck)
		}
		if ck.Name == "disk" && ck.Why == "" {
			t.Errorf("no figure for a directory yet to be made: %+v", ck)
		}
	}
}

func TestOutput(t *testing.T) {
	if _, err := output("no-such-command-of-ours"); err == nil {
		t.Error("a missing command gave no error")
	}
	got, err := output(os.Args[0], "-test.run=^$", "-test.list=^TestOutput$")
	if err != nil || got != "TestOutput" {
		t.Errorf("got %q, %v", got, err)
	}
}
