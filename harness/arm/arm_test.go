package arm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/harness/check"
	"metronome/harness/spec"
	"metronome/system/packet"
)

// Every arm that an experiment declares exists, and what is said of offloads uses the ledger's
// words.
func TestDeclaredArmsExist(t *testing.T) {
	e, err := spec.Load("../../experiments", "ingest-11x")
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range e.Arms {
		a, err := Find(declared.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		if kernel := a.Wire == Veth; kernel != declared.KernelHalf {
			t.Errorf("%s: over %s, declared kernel_half: %t", a.Name, a.Wire, declared.KernelHalf)
		}
		for word := range a.Leans {
			if !slices.Contains(check.Offloads(), word) {
				t.Errorf("%s leans on %q, which the ledger does not know", a.Name, word)
			}
		}
		if rows := a.Offloads(check.Offloads()); len(rows) != len(check.Offloads()) {
			t.Errorf("%s has %d rows in the ledger", a.Name, len(rows))
		}
	}
	if _, err := Find("pigeon"); err == nil {
		t.Error("an unknown arm was found")
	}
}

// here starts commands where the test is.
type here struct{}

func (here) Start(cmd *exec.Cmd, _ ...int) error { return cmd.Start() }

func TestADeadProcessSaysWhy(t *testing.T) {
	p, err := start(here{}, 0, t.TempDir(), "victim", "sh", "-c", "echo cannot open the port >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	err = p.hear("ready", &struct{}{}, time.Minute)
	if err == nil || !strings.Contains(err.Error(), "cannot open the port") {
		t.Errorf("got %v", err)
	}
}

func TestAProcessThatSaysSomethingElse(t *testing.T) {
	for _, c := range []struct {
		script, want string
		limit        time.Duration
	}{
		{`echo '{"event":"done","error":"no link"}'`, "no link", time.Minute},
		{"echo not json", "not json", time.Minute},
		{"exec sleep 60", "did not answer", 100 * time.Millisecond},
	} {
		p, err := start(here{}, 0, t.TempDir(), "odd", "sh", "-c", c.script)
		if err != nil {
			t.Fatal(err)
		}
		err = p.hear("ready", &struct{}{}, c.limit)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.script, err)
		}
		_ = p.cmd.Process.Kill()
	}
}

// What a child lacks arrives as the error it had.
func TestUnavailableCrossesTheProcess(t *testing.T) {
	p, err := start(here{}, 0, t.TempDir(), "poor", "sh", "-c",
		`echo '{"event":"unavailable","what":"dpdk","why":"not installed","next":"install it"}'`)
	if err != nil {
		t.Fatal(err)
	}
	var un *packet.ErrUnavailable
	if err := p.hear("ready", &struct{}{}, time.Minute); !errors.As(err, &un) || un.What != "dpdk" ||
		un.Why != "not installed" || un.Next != "install it" {
		t.Errorf("got %v", err)
	}
}

func TestAProcessThatDoesNotStart(t *testing.T) {
	if _, err := start(here{}, 0, t.TempDir(), "ghost", "/does/not/exist"); err == nil {
		t.Error("it started")
	}
	_, err := start(here{}, 0, "/does/not/exist", "logless", "true")
	if err == nil || errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without a folder for logs: %v", err)
	}
}

// An arm with a device under test of its own is unavailable until that is built, and says how.
func TestAnotherProgramIsFoundBesideMetronome(t *testing.T) {
	a, err := Find("go-dpdk-memif")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &Session{env: &Env{Metronome: filepath.Join(dir, "metronome")}, arm: a}
	un := (*packet.ErrUnavailable)(nil)
	if _, err := s.program(); !errors.As(err, &un) || un.Next != "make godpdk" {
		t.Errorf("not built: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ingest-godpdk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if argv, err := s.program(); err != nil || argv[0] != filepath.Join(dir, "ingest-godpdk") {
		t.Errorf("built: %v, %v", argv, err)
	}
}
