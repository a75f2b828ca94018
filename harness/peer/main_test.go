package peer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/harness/load/kv"
	"metronome/internal/require"
)

// asMain makes the test binary the command, for the test that kills it.
const asMain = "METRONOME_TEST_PEERS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// command runs Main and returns its lines.
func command(t *testing.T, in string, args ...string) (lines []string, status int) {
	t.Helper()
	var out bytes.Buffer
	status = Main(args, strings.NewReader(in), &out)
	return strings.Split(strings.TrimSpace(out.String()), "\n"), status
}

func TestListIsLinesOfJSON(t *testing.T) {
	lines, status := command(t, "", "list")
	if status != 0 || len(lines) != len(All()) {
		t.Fatalf("status %d, %d lines", status, len(lines))
	}
	for _, line := range lines {
		var p Peer
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.Name == "" || p.Durable == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestWrongArgumentsSayWhatIsRight(t *testing.T) {
	cases := map[string][]string{
		"usage":                  {},
		"peers run NAME":         {"walk", "etcd"},
		"there is: etcd":         {"run", "nothing"},
		"-seconds":               {"run", "etcd", "-warp", "9"},
		"one too many":           {"run", "etcd", "more"},
		"unknown mode":           {"run", "etcd", "-mode", "warp"},
		"key_bytes 3: use 8 to ": {"run", "etcd", "-key-bytes", "3"},
	}
	for want, args := range cases {
		lines, status := command(t, "", args...)
		if status != 2 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], `"event":"error"`) {
			t.Errorf("%v: status %d, %s; want %q", args, status, lines[0], want)
		}
	}
}

func TestWhatIsMissingIsTold(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "bin")
	lines, status := command(t, "", "run", "etcd", "-bin", nowhere, "-logs", t.TempDir())
	if status != 3 || !strings.Contains(lines[0], `"event":"unavailable"`) ||
		!strings.Contains(lines[0], "make peers") {
		t.Errorf("status %d: %s", status, lines[0])
	}
}

func TestRun(t *testing.T) {
	lines, status := command(t, "", "run", "etcd-raft", "-mode", "64", "-seconds", "0.2", "-warmup", "0.1",
		"-rate", "2000", "-arrivals", "poisson", "-distribution", "zipf", "-keys", "1000", "-read-ratio", "0.2",
		"-logs", t.TempDir())
	if status != 0 || len(lines) != 2 || !strings.Contains(lines[0], `"event":"ready"`) {
		t.Fatalf("status %d: %s", status, lines)
	}
	var done kv.Done
	if err := json.Unmarshal([]byte(lines[1]), &done); err != nil {
		t.Fatal(err)
	}
	if done.Event != "done" || done.Void != "" || done.Answered == 0 || done.Reads.Count == 0 {
		t.Errorf("said %s", lines[1])
	}
	if !done.Cost.SharedProcess || done.Cost.GeneratorCPUNS != 0 {
		t.Errorf("cost %+v", done.Cost)
	}
}

func TestServeOffersLoadAfterLoad(t *testing.T) {
	lines, status := command(t, `{"cmd":"run","load":{"rate_ops":500}}
{"cmd":"run","load":{"rate_ops":1000,"seed":2}}
{"cmd":"stop"}
`, "serve", "hashicorp-raft", "-mode", "64", "-seconds", "0.2", "-warmup", "0", "-logs", t.TempDir())
	if status != 0 || len(lines) != 3 {
		t.Fatalf("status %d: %s", status, lines)
	}
	for i, rate := range []float64{500, 1000} {
		var done kv.Done
		if err := json.Unmarshal([]byte(lines[i+1]), &done); err != nil {
			t.Fatal(err)
		}
		if done.Load.RateOPS != rate || done.Due != uint64(rate/5) || done.Void != "" {
			t.Errorf("said %s", lines[i+1])
		}
	}
}

// Servers end with the process that started them, even if it could not say goodbye, and the next one
// removes their data.
func TestKillingTheHostKillsItsServers(t *testing.T) {
	if _, err := installed("redis", "redis-server"); err != nil {
		require.Skip(t, "redis", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "serve", "redis-wait", "-logs", t.TempDir())
	cmd.Env = append(os.Environ(), asMain+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readyPIDs(t, out)
	data, err := os.Readlink(filepath.Join("/proc", itoa(pids[0]), "cwd"))
	if err != nil || !strings.HasPrefix(data, filepath.Join(shm, dirPrefix)) {
		t.Fatalf("the server works in %s: %v", data, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for _, pid := range pids {
		for end := time.Now().Add(3 * time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d outlives its host", pid)
			}
		}
	}
	openHost(t)
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", data, err)
	}
}

func readyPIDs(t *testing.T, out io.Reader) []int {
	t.Helper()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ready Ready
	if err := json.Unmarshal(line, &ready); err != nil || ready.Event != "ready" || len(ready.PIDs) != 3 {
		t.Fatalf("said %s: %v", line, err)
	}
	return ready.PIDs
}
