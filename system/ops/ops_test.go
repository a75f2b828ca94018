package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n(-update rewrites %s)", got, want, path)
	}
}

func serve(t *testing.T, log io.Writer) (s *Server, url string) {
	t.Helper()
	s = New(slog.New(slog.NewTextHandler(log, nil)))
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + addr.String()
}

func get(t *testing.T, url string, accept ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accept {
		req.Header.Set("Accept", a)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

var table = Table{
	{Name: "metronome_lane_frames_total", Help: "Frames placed.", Labels: []string{"lane"}},
	{Name: "metronome_lane_gap_frames", Help: "Frames missing.", Labels: []string{"lane"}},
	{Name: "metronome_peer_item_bytes_total", Help: "Bytes of items between servers.", Labels: []string{"peer"}},
}

// lines are the lines of a page that speak of our metrics.
func lines(page, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.Contains(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	s, url := serve(t, io.Discard)
	frames := 0.0
	counters, err := Counters(table, func(emit Emit) {
		frames++
		emit("metronome_lane_frames_total", frames, "0")
		emit("metronome_lane_frames_total", 7, "1")
		emit("metronome_lane_gap_frames", 2, "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	commit := Table{{Name: "metronome_order_commit_seconds", Help: "From proposal to commit."}}
	latencies, err := Histograms(commit, func(emit EmitHistogram) {
		emit("metronome_order_commit_seconds", 3, 0.25, map[float64]uint64{0.1: 2, 1: 3})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Register(counters, latencies); err != nil {
		t.Fatal(err)
	}
	status, page := get(t, url+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, page)
	}
	golden(t, "metrics.txt", lines(page, "metronome_lane")+lines(page, "metronome_order"))
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes",
		`metronome_build_info{version="`} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
	if _, page = get(t, url+"/metrics"); !strings.Contains(page, `metronome_lane_frames_total{lane="0"} 2`) {
		t.Error("the second scrape does not read anew")
	}
	problems, err := promlint.New(strings.NewReader(lines(page, "metronome_"))).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// TestBrokenMetrics: one wrong value is told to the log, and the rest is served.
func TestBrokenMetrics(t *testing.T) {
	var log syncBuffer
	s, url := serve(t, &log)
	counters, err := Counters(table, func(emit Emit) {
		emit("metronome_lane_frames_total", 1, "0")
		emit("metronome_lane_lost_total", 1, "0")
		emit("metronome_lane_gap_frames", 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Register(counters); err != nil {
		t.Fatal(err)
	}
	status, page := get(t, url+"/metrics")
	if status != http.StatusOK || !strings.Contains(page, `metronome_lane_frames_total{lane="0"} 1`) {
		t.Errorf("status %d, page %s", status, page)
	}
	for _, want := range []string{"metronome_lane_lost_total", "is not in its table",
		"metronome_lane_gap_frames"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s: %s", want, log.String())
		}
	}
	if err := s.Register(counters); err == nil {
		t.Error("registered twice")
	}
}

func TestTableErrors(t *testing.T) {
	bad := Table{
		{Name: "lane_frames_total", Help: "No prefix."},
		{Name: "metronome_frames", Help: "No subsystem."},
		{Name: "metronome_lane_Frames_total", Help: "A capital."},
		{Name: "metronome_lane__frames", Help: "Two underscores."},
		{Name: "metronome_lane_delay_ms", Help: "A unit that is no base unit."},
		{Name: "metronome_lane_frames_count", Help: "A reserved suffix."},
		{Name: "metronome_lane_frames_total", Help: "no full stop"},
		{Name: "metronome_lane_frames_total", Help: "Described twice.",
			Labels: []string{"lane", "lane", "le", "A-B"}},
	}
	golden(t, "table.txt", fmt.Sprintln(bad.Check()))
	if _, err := Counters(bad, nil); err == nil {
		t.Error("Counters takes a bad table")
	}
	if _, err := Histograms(bad, nil); err == nil {
		t.Error("Histograms takes a bad table")
	}
	if err := table.Check(); err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	s, url := serve(t, io.Discard)
	var reasons []Reason
	var mu sync.Mutex
	check := func() []Reason {
		mu.Lock()
		defer mu.Unlock()
		return reasons
	}
	s.Ready(func() []Reason { return nil })
	s.Ready(check)
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, url+path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	mu.Lock()
	reasons = []Reason{{"no_leader", "no leader since 3s"}, {"behind", "12 rounds behind"}}
	mu.Unlock()
	status, body := get(t, url+"/readyz")
	if want := "no_leader: no leader since 3s\nbehind: 12 rounds behind\n"; status != 503 || body != want {
		t.Errorf("%d %q, want %q", status, body, want)
	}
	if status, _ := get(t, url+"/livez"); status != http.StatusOK {
		t.Errorf("a process that is not ready lives: %d", status)
	}
	for _, accept := range []string{"application/json", ""} {
		path := url + "/readyz"
		if accept == "" {
			path += "?format=json"
		}
		status, body := get(t, path, accept)
		var got struct {
			OK      bool     `json:"ok"`
			Reasons []Reason `json:"reasons"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if status != 503 || got.OK || len(got.Reasons) != 2 || got.Reasons[0] != reasons[0] {
			t.Errorf("%d %s", status, body)
		}
	}
	s.Live(check)
	if status, _ := get(t, url+"/livez"); status != 503 {
		t.Errorf("livez %d", status)
	}
}

func TestProfilesAreOffUnlessAskedFor(t *testing.T) {
	s, url := serve(t, io.Discard)
	if status, _ := get(t, url+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	s.Profile()
	status, body := get(t, url+"/debug/pprof/goroutine?debug=1")
	if status != http.StatusOK || !strings.Contains(body, "goroutine") {
		t.Errorf("status %d", status)
	}
}

func TestOtherRequests(t *testing.T) {
	_, url := serve(t, io.Discard)
	if status, body := get(t, url+"/"); status != 200 || !strings.Contains(body, "/readyz") {
		t.Errorf("index: %d %s", status, body)
	}
	if status, _ := get(t, url+"/secret"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	res, err := http.Post(url+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// TestCrowd: more connections than places wait, and are served when places come free.
func TestCrowd(t *testing.T) {
	_, url := serve(t, io.Discard)
	var conns []net.Conn
	for range maxConnections + 10 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	if status, _ := get(t, url+"/livez"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestListenErrors(t *testing.T) {
	_, url := serve(t, io.Discard)
	_, err := New(slog.New(slog.DiscardHandler)).Listen(strings.TrimPrefix(url, "http://"))
	if err == nil || !strings.Contains(err.Error(), "run here already") {
		t.Errorf("got %v", err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var _ prometheus.Collector = (*source)(nil)
