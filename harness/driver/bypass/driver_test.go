package bypass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/vswitch/vswitchd"
	"metronome/internal/buildtest"
	"metronome/internal/require"
	"metronome/system/cluster"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// The test binary is also "lab vswitch".
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "vswitch" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	cmd := vswitchd.Command()
	cmd.SetArgs(os.Args[2:])
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cell(port string) factorial.Cell {
	return factorial.Cell{Arm: port, Block: 1, Seed: 7, Length: time.Second,
		Set: map[string]string{"port": port},
		Factors: map[string]string{"replicas": "3", "burst": "32", "keys": "1000", "value_bytes": "64",
			"outstanding": "64"}}
}

// Both kinds of port, end to end: every put is acknowledged, and what it cost is told by role.
func TestTrials(t *testing.T) {
	dir := t.TempDir()
	tags := ""
	if dpdk.Version() != "" {
		tags = "dpdk"
	}
	programs, err := buildtest.Programs(tags, "metronome/system/cmd/metronome")
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"gro", memif} {
		t.Run(port, func(t *testing.T) {
			s := session{env: factorial.Env{Dir: t.TempDir(), Logs: filepath.Join(dir, "logs")},
				metronome: filepath.Join(programs, "metronome"), lab: os.Args[0]}
			names := []string{"items_per_s", "p99_us", "cpu_replica", "cpu_proxy", "memory_replica", "memory_proxy"}
			if port == memif {
				names = append(names, "cpu_switch", "memory_switch", "switch_packets")
			}
			o := await(t, &s, cell(port), func(o factorial.Outcome) error {
				for _, name := range names {
					if !(o.Values[name] > 0) {
						return fmt.Errorf("%s is %v", name, o.Values[name])
					}
				}
				if o.Values["failed"] != 0 || o.Void != "" {
					return fmt.Errorf("%+v", o)
				}
				return nil
			})
			_, judged := o.Values["judged_items_per_s"]
			if over := slices.Contains(o.Flags, "oversubscribed"); over == judged {
				t.Errorf("oversubscribed %v, judged %v", over, judged)
			}
			t.Logf("%+v", o)
		})
	}
}

// await repeats a trial until good has nothing to say against it: on a machine whose processes starve, a
// second may bring nothing. Each trial is twice as long as the last.
func await(t *testing.T, s *session, c factorial.Cell, good func(factorial.Outcome) error) factorial.Outcome {
	t.Helper()
	const tries = 6
	for n := 1; ; n++ {
		o, err := s.Trial(t.Context(), c)
		if missing := (*packet.ErrUnavailable)(nil); errors.As(err, &missing) {
			require.Skip(t, "dpdk", err)
		}
		if err == nil {
			err = good(o)
		}
		if err == nil {
			return o
		}
		t.Logf("try %d: %v", n, err)
		if n == tries {
			t.Fatalf("%d times; at last: %v", tries, err)
		}
		c.Attempt++
		c.Length *= 2
	}
}

func TestPlanOfReads(t *testing.T) {
	s := readsSession{session{env: factorial.Env{Dir: "/d", Logs: "/l"}}}
	c := cell("")
	c.Set = map[string]string{"reads": "barrier"}
	p, err := s.planReads(c)
	if err != nil || !p.load.Barrier || p.load.Reads != 1 || p.replicas != 3 {
		t.Errorf("%+v, %v", p, err)
	}
	c.Set["reads"] = "stale"
	if _, err := s.planReads(c); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Error(err)
	}
}

func TestPlan(t *testing.T) {
	s := session{env: factorial.Env{Dir: "/d", Logs: "/l"}}
	p, err := s.plan(cell(memif))
	if err != nil || p.burst != 32 || p.load.Outstanding != 64 || p.load.Length != time.Second {
		t.Errorf("%+v, %v", p, err)
	}
	bad := cell(memif)
	bad.Factors["burst"] = "many"
	if _, err := s.plan(bad); err == nil || !strings.Contains(err.Error(), "burst") {
		t.Error(err)
	}
	c, err := cluster.Dev(t.TempDir(), cluster.DevOptions{Change: p.change})
	if err != nil || c.Durability != "memory" || c.Port.Burst != 32 {
		t.Error(err)
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	_, err := Driver{}.Open(t.Context(), factorial.Env{Bin: t.TempDir()})
	var missing *packet.ErrUnavailable
	if !errors.As(err, &missing) || missing.Next != "make build" {
		t.Error(err)
	}
}
