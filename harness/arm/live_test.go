package arm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/harness/testbed"
	"metronome/internal/buildtest"
	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/wire"
)

// binaries builds lab and metronome, and returns their folder.
func binaries(t *testing.T) string {
	t.Helper()
	tags := ""
	if exec.Command("pkg-config", "--exists", "libdpdk").Run() == nil {
		tags = "dpdk"
	}
	dir, err := buildtest.Programs(tags, "metronome/harness/cmd/lab", "metronome/system/cmd/metronome")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func env(t *testing.T) *Env {
	t.Helper()
	bed, err := testbed.Open(fmt.Sprint("arm-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	e, err := NewEnv(bed, binaries(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// mostAllocs are heap objects a frame. There are the runtime's own: some dozens a trial, whatever its rate.
const mostAllocs = 0.02

// modest is a trial at 20,000 frames/s that may be used. On a busy machine its processes wait for a core: the
// harness is late, and voids it, or few frames come through. It is repeated then, as in an experiment, and
// with more time.
func modest(t *testing.T, s *Session) record.Trial {
	t.Helper()
	const tries, most = 20, 5 * time.Second
	for try, window := 1, 300*time.Millisecond; ; try, window = try+1, min(2*window, most) {
		row, err := s.Trial(context.Background(), Ask{FPS: 20_000, Window: window})
		switch {
		case err != nil:
			t.Fatal(err)
		case row.Status == record.StatusOK && row.Balance() == nil && row.AcceptedFrames >= 3000 &&
			!(row.AllocsPerFrame > mostAllocs): // not known of programs in C
			return row
		case try == tries:
			t.Fatalf("%s %s: %d of %d frames accepted, %g heap objects a frame", row.Status, row.Reason,
				row.AcceptedFrames, row.EmittedFrames, row.AllocsPerFrame)
		}
		t.Logf("try %d: %s %s: %d of %d frames accepted, %g heap objects a frame", try, row.Status, row.Reason,
			row.AcceptedFrames, row.EmittedFrames, row.AllocsPerFrame)
	}
}

// Every arm takes a modest rate without loss, its ledger balances, and it allocates nothing a
// frame.
func TestEveryArmTakesAModestRate(t *testing.T) {
	e := env(t)
	f := spec.Factors{KeyBytes: 8, ValueBytes: 8, Items: 1, Burst: 32, Mode: wire.ModeXXH3, Lanes: 2}
	for _, a := range All() {
		t.Run(a.Name, func(t *testing.T) {
			s, err := e.Open(context.Background(), a.Name, record.PlacementSame, f)
			var un *packet.ErrUnavailable
			if errors.As(err, &un) {
				require.Skip(t, un.What, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			row := modest(t, s)
			if held := row.MemTotalBytes(); !a.Testpmd && held > row.MemBoundBytes {
				t.Errorf("%.0f bytes held, bounded to %.0f", held, row.MemBoundBytes)
			}
		})
	}
	if left, _ := filepath.Glob("/tmp/mtn-arm-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
