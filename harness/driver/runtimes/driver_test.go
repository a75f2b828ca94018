package runtimes

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"metronome/harness/driver/edgeproc/edgeproctest"
	"metronome/harness/driver/runtimes/wait4"
	"metronome/harness/driver/runtimes/workload"
	"metronome/harness/factorial"
	"metronome/internal/require"
	"metronome/system/packet"
)

var update = flag.Bool("update", false, "write testdata/wire.golden anew")

const root = "../../.."

// built is what TestMain made once for all tests.
var built struct {
	dir, launcher string
	languages     map[string]language
}

// liar makes this program a client that says what it is told to, and fails if that is long.
const liar = "liar"

// TestMain makes this program an edge when it is called as one, and builds the clients.
func TestMain(m *testing.M) {
	os.Exit(edgeproctest.Main(func() int { return testMain(m) }))
}

func testMain(m *testing.M) int {
	if len(os.Args) > 2 && os.Args[1] == liar {
		_, _ = fmt.Fprintln(os.Stdout, os.Args[2])
		return len(os.Args[2]) / 100
	}
	status := 1
	dir, err := os.MkdirTemp("", "runtimes-")
	if err == nil {
		built.dir = dir
		built.launcher, built.languages, err = build(context.Background(), root, filepath.Join(dir, "clients"))
	}
	if err == nil {
		status = m.Run()
	} else {
		_, _ = fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	return status
}

// atOnce is each, the clients at the same time: where nothing is measured.
func atOnce(t *testing.T, test func(t *testing.T, name string, l *language)) {
	each(t, func(t *testing.T, name string, l *language) {
		t.Parallel()
		test(t, name, l)
	})
}

// each runs a test for every client.
func each(t *testing.T, test func(t *testing.T, name string, l *language)) {
	for _, name := range slices.Sorted(maps.Keys(built.languages)) {
		t.Run(name, func(t *testing.T) {
			l := built.languages[name]
			var un *packet.ErrUnavailable
			switch {
			case errors.As(l.err, &un):
				require.Skip(t, name, l.err)
			case l.err != nil:
				t.Fatal(l.err)
			}
			test(t, name, &l)
		})
	}
}

// wire records what a client sends and answers as an edge would.
type wire struct {
	mu    sync.Mutex
	value map[string][]byte
	trace []string
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s body %08x\n", r.Method, r.RequestURI, r.Proto, crc32.ChecksumIEEE(body))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "  %s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
	w.trace = append(w.trace, b.String())
	switch key := strings.TrimPrefix(r.URL.Path, "/v1/kv/"); r.Method {
	case http.MethodPut:
		w.value[key] = body
		rw.WriteHeader(http.StatusCreated)
	case http.MethodGet:
		_, _ = rw.Write(w.value[key])
	default:
		rw.WriteHeader(http.StatusNoContent)
	}
}

// serve starts a recorder and returns what a client is to be told of it.
func serve(t *testing.T, w http.Handler) (s *httptest.Server, ca, secret string) {
	t.Helper()
	s = httptest.NewUnstartedServer(w)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	ca, secret = filepath.Join(dir, "ca"), filepath.Join(dir, "secret")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	err := errors.Join(os.WriteFile(ca, cert, 0o600), os.WriteFile(secret, []byte("lamp:pass word\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return s, ca, secret
}

func file(t *testing.T, n int) (*workload.Workload, string) {
	t.Helper()
	w, err := workload.New(workload.Spec{Seed: 3, Prefix: "p/", N: n, Value: 256})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "workload")
	if err := w.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return w, path
}

func run(t *testing.T, l *language, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(l.argv[0], append(l.argv[1:len(l.argv):len(l.argv)], args...)...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, complaints.String())
	}
	return string(out), err
}

// All clients say the same on the wire, byte for byte but for the order of headers.
func TestOneGoldenWireTrace(t *testing.T) {
	golden := filepath.Join("testdata", "wire.golden")
	atOnce(t, func(t *testing.T, name string, l *language) {
		_, path := file(t, 3)
		w := &wire{value: map[string][]byte{}}
		s, ca, secret := serve(t, w)
		for _, verb := range []string{"write", "read", "delete"} {
			if _, err := run(t, l, verb, "https", path, s.URL, ca, secret); err != nil {
				t.Fatal(verb, err)
			}
		}
		got := strings.Join(w.trace, "")
		if *update && name == "cpp" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("other requests than testdata/wire.golden:\n%s", got)
		}
	})
}

func TestChecksumsAreTheWorkloads(t *testing.T) {
	atOnce(t, func(t *testing.T, _ string, l *language) {
		for _, n := range []int{1, 333} {
			w, path := file(t, n)
			for _, verb := range []string{"write", "read", "delete"} {
				out, err := run(t, l, verb, "store", path)
				want := fmt.Sprintf("%08x", w.Checksum(verb == "delete"))
				if err != nil || !strings.Contains(out, want) {
					t.Errorf("%s of %d: %s, %v, want checksum %s", verb, n, out, err, want)
				}
			}
		}
	})
}

// A client that cannot do its work ends badly and says why; none goes on as if nothing were.
func TestClientsThatCannot(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "slow down")
	})
	atOnce(t, func(t *testing.T, _ string, l *language) {
		_, path := file(t, 3)
		s, ca, secret := serve(t, refuse)
		short := filepath.Join(t.TempDir(), "short")
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(short, b[:len(b)-1], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			want string
			args []string
		}{
			{"429 ", []string{"write", "https", path, s.URL, ca, secret}},
			{"429 ", []string{"read", "https", path, s.URL, ca, secret}},
			{"", []string{"write", "store", short}},
			{"write|read|delete", []string{"write", "elsewhere", path}},
		} {
			if out, err := run(t, l, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %s, %v", c.args, out, err)
			}
		}
		if _, err := run(t, l, "read", "https", path, s.URL, secret, secret); err == nil {
			t.Error("a CA that is none was taken")
		}
	})
}

func open(t *testing.T) *session {
	t.Helper()
	dir := t.TempDir()
	d := Driver{Root: root, Edge: []string{os.Args[0], "edge"}}
	s, err := d.Open(t.Context(), factorial.Env{Bin: built.dir, Dir: dir, Logs: dir, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*session)
}

func cell(runtime, op, place, n string, set ...string) factorial.Cell {
	c := factorial.Cell{Arm: runtime, Block: 1, Set: map[string]string{"runtime": runtime},
		Factors: map[string]string{"op": op, "place": place, "n": n, "value": "128"}}
	if len(set) > 0 {
		c.Set["under"] = set[0]
	}
	return c
}

func TestTrials(t *testing.T) {
	s := open(t)
	each(t, func(t *testing.T, name string, _ *language) {
		for _, c := range []factorial.Cell{
			cell(name, "noop", "https", "100"), cell(name, "delete", "https", "150"),
			cell(name, "write", "https", "150"), cell(name, "read", "https", "150"),
			cell(name, "read", "store", "2000"), cell(name, "read", "https", "150", "time"),
		} {
			o, err := s.Trial(t.Context(), c)
			if err != nil {
				t.Fatal(c.Factors, err)
			}
			v := o.Values
			if v["wall_ms"] <= 0 || v["cpu_ms"] <= 0 || v["cpu_percent"] > 250 || v["memory"] < 2 {
				t.Errorf("%v: implausible: %v", c.Factors, v)
			}
			if r := v["memory_ratio"]; r < 0.8 || r > 1.25 {
				t.Errorf("%v: wait4 and the client differ in memory: %v", c.Factors, v)
			}
			if op := c.Factors["op"]; (op == "noop") != (v["run_ms"] == 0) || op != "noop" && len(o.Timeline) < 40 {
				t.Errorf("%v: %v, %d points", c.Factors, v, len(o.Timeline))
			}
		}
	})
}

// Anchors §9: the slides' tool and wait4 must agree, on the same process.
func TestTimeAgrees(t *testing.T) {
	if err := missing(gnuTime); err != nil {
		require.Skip(t, "time", err)
	}
	s := open(t)
	o, err := s.Trial(t.Context(), cell("cpython", "read", "store", "100000", "time"))
	if err != nil {
		t.Fatal(err)
	}
	v := o.Values
	// The launcher's wall time has time's own start in it, which is as long as the machine is busy.
	if gap := v["time_wall_ms"] - v["wall_ms"]; gap > 11 {
		t.Errorf("wall time: %v by time and %v ms by wait4", v["time_wall_ms"], v["wall_ms"])
	}
	if v["time_cpu_gap_ms"] > 25 || v["time_memory_ratio"] < 0.99 || v["time_memory_ratio"] > 1.01 {
		t.Errorf("time and wait4 differ: %v", v)
	}
}

// A client that lies about what it did, or did something else, makes no row.
func TestOtherWorkIsNoRow(t *testing.T) {
	s := open(t)
	st, err := s.workload(work{20, 128})
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%08x", st.loaded.Checksum(false))
	for want, says := range map[string]string{
		"other work":      `{"operations":20,"checksum":"00000000","peak_kib":3000}`,
		"operations with": `{"operations":19,"checksum":"` + sum + `","peak_kib":3000}`,
		"the edge holds":  `{"operations":20,"checksum":"` + sum + `","peak_kib":3000}`,
		"the client said": `nonsense`,
		"status 4":        strings.Repeat("too long ", 50),
	} {
		s.languages[liar] = language{argv: []string{os.Args[0], liar, says}}
		_, err := s.Trial(t.Context(), cell(liar, "write", "https", "20"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", says, err, want)
		}
	}
}

func TestWhatIsMissingIsTyped(t *testing.T) {
	s := open(t)
	s.languages["cpp"] = language{err: &packet.ErrUnavailable{What: "g++", Why: "not installed"}}
	var un *packet.ErrUnavailable
	if _, err := s.Trial(t.Context(), cell("cpp", "noop", "https", "1")); !errors.As(err, &un) {
		t.Fatal(err)
	}
	if _, err := s.Trial(t.Context(), cell("fortran", "noop", "https", "1")); err == nil || errors.As(err, &un) {
		t.Fatal(err)
	}
	d := Driver{Root: root}
	if _, err := d.Open(t.Context(), factorial.Env{Bin: t.TempDir(), Dir: t.TempDir()}); !errors.As(err, &un) {
		t.Fatal(err)
	}
	if l := interpreted("there-is-no-such-python", "x"); !errors.As(l.err, &un) {
		t.Fatal(l.err)
	}
}

// The launcher keeps a client on one core, so that runtimes with helper threads pay for them.
func TestClientIsPinned(t *testing.T) {
	l := wait4.Launcher{Path: built.launcher, CPU: usable()[0]}
	out, _, err := l.Run(t.Context(), "/usr/bin/env", "cat", "/proc/self/status")
	want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", usable()[0])
	if err != nil && !errors.Is(err, wait4.ErrFloor) || !strings.Contains(string(out), want) {
		t.Fatalf("%v: %s", err, out)
	}
}
