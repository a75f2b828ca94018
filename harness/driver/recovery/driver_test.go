package recovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/spec"
	"metronome/internal/buildtest"
	"metronome/system/packet"
)

var bin string // the folder of the metronome program, built once

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if bin, err = buildtest.Programs("", "metronome/system/cmd/metronome"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func cell(arm spec.FactorialArm, rate string) factorial.Cell {
	return factorial.Cell{Arm: arm.Name, Set: arm.Set, Block: 1, Seed: 5, Length: 300 * time.Millisecond,
		Factors: map[string]string{"keys": "3000", "value_bytes": "64", "rate_ops": rate}}
}

// The quick arms of the declaration run, and tell the metrics that their claims are about; profile smoke runs
// the others too.
func TestArms(t *testing.T) {
	e, err := spec.LoadFactorial("../../../experiments", "recovery")
	if err != nil {
		t.Fatal(err)
	}
	session, err := Driver{}.Open(t.Context(), factorial.Env{Bin: bin, Dir: t.TempDir(), Logs: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, m := range e.Metrics {
		declared[m.Name] = true
	}
	for _, arm := range e.Arms {
		if arm.Name != "restart-one" && arm.Name != "overwrite" && arm.Name != "transfer-idle" {
			continue
		}
		t.Run(arm.Name, func(t *testing.T) {
			o, err := session.Trial(t.Context(), cell(arm, "5000"))
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range o.Values {
				if !declared[name] {
					t.Errorf("%s is not declared", name)
				}
				t.Logf("%s %g", name, v)
			}
			for _, c := range e.Claims {
				if _, ok := o.Values[c.Metric]; c.Arm == arm.Name && !ok {
					t.Errorf("claim %s: no %s", c.Name, c.Metric)
				}
			}
		})
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsMissing(t *testing.T) {
	var missing *packet.ErrUnavailable
	if _, err := (Driver{}).Open(t.Context(), factorial.Env{Bin: t.TempDir()}); !errors.As(err, &missing) {
		t.Errorf("without the program: %v", err)
	}
}

func TestWhatAGeneratorSays(t *testing.T) {
	for _, text := range []string{"", "{}", `{"latency_hdr": "AAAA"}`, `{"latency_hdr": "?"}`} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// Space is counted in blocks, and files may go meanwhile.
func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snapshot-00000000000000000007")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := onDisk(dir); err != nil || n < 1<<20 || n > 1<<20+1<<16 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if found, size := snapshot(dir); found != path || size != 1<<20 {
		t.Errorf("%s, %d bytes", found, size)
	}
	if n, err := onDisk(filepath.Join(dir, "gone")); err != nil || n != 0 {
		t.Errorf("a folder that is gone: %d bytes, %v", n, err)
	}
}
