package peer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/load/kv"
	"metronome/internal/require"
	"metronome/system/packet"
)

// bin is where make peers puts the servers.
const bin = "../../bin/peers"

func openHost(t *testing.T) *Host {
	t.Helper()
	h, err := OpenHost(bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// startPeer starts a peer, or skips for want of what it needs.
func startPeer(t *testing.T, h *Host, p Peer, l kv.Load) Instance {
	t.Helper()
	i, err := p.Start(t.Context(), h, l)
	var lacking *packet.ErrUnavailable
	if errors.As(err, &lacking) {
		require.Skip(t, lacking.What, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// few is a load that takes a moment: every key once, then puts.
func few(m Mode) kv.Load {
	l := m.Of(kv.Default())
	l.Keys, l.Preload = 50, true
	l.WarmupNS, l.WindowNS, l.DrainNS = 0, 200e6, 30e9
	return l
}

// Every peer is brought up, loaded in every mode, read back and stopped; nothing of it stays.
func TestPeers(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			h := openHost(t)
			i := startPeer(t, h, p, few(p.Modes[0]))
			info := i.Info()
			if info.Version == "" || strings.Contains(info.Version, "unknown") && len(info.PIDs) != 1 {
				t.Errorf("version %q", info.Version)
			}
			if _, err := i.Get(t.Context(), key(7)); !errors.Is(err, ErrNoKey) {
				t.Errorf("a key that was never written: %v", err)
			}
			for _, m := range p.Modes {
				loadAndCheck(t, i, few(m))
			}
			readBack(t, i, strings.HasPrefix(p.Name, "nats-") && p.Name != natsKV.name)
			var dirs []string
			for _, d := range h.dirs {
				dirs = append(dirs, d.path)
			}
			if err := i.Stop(); err != nil {
				t.Fatal(err)
			}
			nothingIsLeft(t, info.PIDs, dirs)
		})
	}
}

func key(i uint64) []byte {
	b := make([]byte, 16)
	kv.PutKey(b, i)
	return b
}

func loadAndCheck(t *testing.T, i Instance, l kv.Load) {
	t.Helper()
	var r *kv.Result
	for try := 1; ; try++ { // on a busy machine the window may be over before much has happened
		var err error
		if r, err = measured(t.Context(), i, l); err != nil {
			t.Fatal(err)
		}
		if try == 6 || r.Void == "" && r.Answered > 0 && r.Answered == r.Due {
			break
		}
		t.Logf("try %d: answered %d of %d, void %q, errors %q", try, r.Answered, r.Due, r.Void, r.Errors)
		l.WindowNS *= 2
	}
	if r.Void != "" || r.Answered == 0 || r.Answered != r.Due {
		t.Errorf("batches of %d: answered %d of %d, void %q, errors %q", l.Batch, r.Answered, r.Due, r.Void,
			r.Errors)
	}
	busy := r.Cost.WallNS < l.WindowNS/2 // this machine, with other things
	if r.Cost.TargetCPUNS == 0 && !busy || r.Cost.TargetPeakBytes == 0 || len(r.Cost.Gone) > 0 {
		t.Errorf("cost %+v", r.Cost)
	}
}

// readBack finds every key, or, in a log, the latest.
func readBack(t *testing.T, i Instance, isLog bool) {
	t.Helper()
	found := 0
	for k := range uint64(50) {
		value, err := i.Get(t.Context(), key(k))
		switch {
		case err == nil && len(value) == 64 && bytes.HasSuffix(value, []byte("ijkl")):
			found++
		case !errors.Is(err, ErrNoKey):
			t.Fatalf("key %d: %q, %v", k, value, err)
		}
	}
	if want := map[bool]int{true: 1, false: 50}[isLog]; found != want {
		t.Errorf("%d of 50 keys are there, want %d", found, want)
	}
}

func nothingIsLeft(t *testing.T, pids []int, dirs []string) {
	t.Helper()
	for _, pid := range pids {
		if pid != os.Getpid() && alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

// alive reports whether a process runs; one that nobody has waited for yet does not.
func alive(pid int) bool {
	b, err := exec.Command("ps", "-o", "stat=", "-p", itoa(pid)).Output()
	return err == nil && len(b) > 0 && !strings.HasPrefix(strings.TrimSpace(string(b)), "Z")
}

// A server that is killed is noticed, by the check and in the load's result.
func TestADeadServerIsNoticed(t *testing.T) {
	h := openHost(t)
	p, err := Find(All(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	i := startPeer(t, h, p, few(p.Modes[0]))
	if err := unix.Kill(i.Info().PIDs[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := i.Check(ctx); err == nil || !strings.Contains(err.Error(), "redis-0 ended") {
		t.Errorf("the check says %v", err)
	}
}

func TestAStartThatFailsLeavesNothing(t *testing.T) {
	h := openHost(t)
	var pids []int
	start := func(g *group) error {
		for range 2 {
			c, err := h.start("sleeper", "/bin/sleep", "600")
			if err != nil {
				return err
			}
			g.children = append(g.children, c)
		}
		pids = append(pids, g.pids()...)
		return nil
	}
	ctx, giveUp := context.WithCancel(t.Context())
	_, err := h.bringUp(ctx, diskDir, start, func(context.Context) error {
		giveUp()
		return errors.New("not yet")
	})
	if err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("error %v", err)
	}
	nothingIsLeft(t, pids, []string{h.dirs[0].path})
}

func TestAProcessThatEndsIsStartedAgain(t *testing.T) {
	h := openHost(t)
	tries := 0
	start := func(g *group) error {
		tries++
		c, err := h.start("failing", "/bin/sh", "-c", "echo address already in use; exit 1")
		if err == nil {
			g.children = append(g.children, c)
		}
		return err
	}
	never := func(context.Context) error { return errors.New("not yet") }
	_, err := h.bringUp(t.Context(), diskDir, start, never)
	if tries != starts || err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%d tries, error %v", tries, err)
	}
}

func TestFoldersOfTheDeadAreSwept(t *testing.T) {
	h := openHost(t)
	living, err := h.newDir(diskDir)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(os.TempDir(), dirPrefix+"test-"+itoa(os.Getpid()))
	if err := os.MkdirAll(filepath.Join(dead, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(dead); err == nil {
		t.Error("a folder without an owner stays")
	}
	if _, err := os.Stat(living.path); err != nil {
		t.Error("a folder in use is gone")
	}
}

func TestPortsDiffer(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 20 {
		t.Errorf("ports %v", ports)
	}
}

func TestTheListIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if seen[p.Name] || p.What == "" || p.Durable == "" || len(p.Modes) == 0 || p.Start == nil {
			t.Errorf("peer %+v", p)
		}
		seen[p.Name] = true
		for _, m := range p.Modes {
			if err := m.Of(kv.Default()).Check(); err != nil {
				t.Errorf("%s, mode %s: %v", p.Name, m.Name, err)
			}
		}
	}
	if _, err := Find(All(), "etc"); err == nil || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("error %v", err)
	}
	p := All()[0]
	if m, err := p.Mode(""); err != nil || m != p.Modes[0] {
		t.Errorf("mode %v, %v", m, err)
	}
	if _, err := p.Mode("warp"); err == nil {
		t.Error("a mode that is none")
	}
}

// In a transaction, etcd refuses two puts of one key; the last one counts.
func TestEtcdTransactionsPutAKeyOnce(t *testing.T) {
	ops := etcdOps([]kv.Op{
		{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("2")},
		{Read: true, Key: []byte("a")}, {Key: []byte("a"), Value: []byte("3")}})
	if len(ops) != 3 || string(ops[0].ValueBytes()) != "3" || !ops[2].IsGet() {
		t.Errorf("operations %v", ops)
	}
}
