package page

import (
	"io"
	"net/http"
	"net/http/httptest"

	"regexp"
	"strings"
	"testing"
	"time"

	"metronome/system/master/api"
	"metronome/system/master/phi"
	"metronome/system/master/vault"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// example is a master with an edge of each kind.
func example() api.Status {
	backups := []vault.Summary{
		{Number: 6, Readable: false},
		{Number: 7, Readable: true, Received: noon.Add(-26 * time.Hour), Revision: 100, Reach: 48_000, Keys: 900,
			Bytes: 5 << 20, LogBytes: 900 << 10, LogPieces: 12, Missing: 2},
		{Number: 8, Readable: true, Received: noon.Add(-2 * time.Hour), Revision: 48_000, Reach: 51_234, Keys: 1234,
			Bytes: 6 << 20, LogBytes: 80 << 10, LogPieces: 3},
	}
	well := api.Edge{Name: "hallway", Level: api.Good, LastSeen: noon.Add(-3 * time.Second),
		Passive: api.Liveness{State: phi.Fresh, Silence: 3 * time.Second, Interval: 10 * time.Second,
			Why: phi.WhyPromise},
		Report: &api.Report{QueueDepth: 2, CertDays: 61.4, DiskFree: 7 << 30, DiskFloor: 256 << 20,
			Revision: 51_234,
			Keys:     1234, Bytes: 99_000, Backup: api.BackupState{State: "shipping"}, Store: "local",
			Incarnation: "0123456789abcdef",
			Software:    "abc1234"},
		BackupAge: 800 * time.Millisecond, Newest: &backups[2], Backups: backups, Stored: 9 << 20,
		Proof: &api.Proof{Backup: 8, Revision: 51_000, At: noon.Add(-41 * time.Minute),
			Took:   1800 * time.Millisecond,
			Digest: "00ff00ff00ff00ff", Compared: true},
		Drill:      &api.Drill{At: noon.Add(-41 * time.Minute), Good: true},
		Heartbeat:  &api.Liveness{State: phi.Fresh, Silence: time.Second},
		Restorable: "backup 8 leads to any revision from 48000 to 51234"}
	late := well
	late.Name, late.Level, late.Passive.State = "kitchen", api.Warn, phi.Late
	late.Findings = []api.Finding{{Level: api.Warn, Code: "late",
		Text: "silent for 11s, and it speaks every 10s: its silence compared with its past gaps"}}
	gone := api.Edge{Name: "a-very-long-name-of-an-edge-in-the-cellar-behind-the-boiler-room-7", Level: api.Bad,
		LastSeen: noon.Add(-49 * time.Hour), BackupAge: 49 * time.Hour,
		Passive: api.Liveness{State: phi.Gone, Silence: 49 * time.Hour, Why: phi.WhyGone},
		Findings: []api.Finding{{Level: api.Bad, Code: "gone",
			Text: "silent for 49h0m0s. Its newest backup can be restored elsewhere: metronome master restore cellar"}}}
	never := api.Edge{Name: "garage", Level: api.Warn, BackupAge: -1, Passive: api.Liveness{State: phi.Never,
		Why: phi.WhyNever},
		Findings: []api.Finding{{Level: api.Warn, Code: "never-seen", Text: "it was enrolled and has not been " +
			"heard yet"}}}
	evil := never
	evil.Name = "evil"
	evil.Findings = []api.Finding{{Level: api.Warn, Code: "edge",
		Text: `<script>alert(1)</script><img src=x onerror=alert(2)>`}}
	return api.Status{Home: "villa", Master: "main", Software: "abc1234", Now: noon,
		Started:     noon.Add(-72 * time.Hour),
		Destination: "/var/lib/metronome/master/vault", DiskFree: 40 << 30, DiskFloor: 1 << 30, CertDays: 71,
		CADays:    3600,
		Retention: "3 last, 24 hourly, 7 daily, 4 weekly, 12 monthly", Heartbeats: "off",
		Edges: []api.Edge{gone, evil, never, well, late},
		Findings: []api.Finding{{Level: api.Warn, Code: "disk", Text: "1500 MiB of disk are free; below 1024 " +
			"MiB nothing is taken in"}}}
}

func get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	New(example).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(b)
}

func TestHome(t *testing.T) {
	resp, body := get(t, "/")
	for _, want := range []string{
		"5 edges", "villa", "hallway", "fresh", "late", "gone", "never", "heard 3 s ago", "up to date",
		"51\u202f234", "41 min ago",
		"61 days", "7.0 GiB", `http-equiv="refresh" content="5"`, `href="/edges/kitchen"`, "it speaks every 10s",
		"1500 MiB of disk are free", `name="viewport"`, `lang="en"`, "24 hourly",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "onerror=alert(2)>", "style=", "http://", "https://"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}

func TestEdgePage(t *testing.T) {
	_, body := get(t, "/edges/hallway")
	for _, want := range []string{"All is well", "φ 0.0", "backup 8 to revision 51\u202f000 in 1 s",
		"as the edge reported", "2 chunks missing",
		"its manifest is damaged", "3 backups, 9.0 MiB", "shipping", "0123456789abcdef"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if _, body := get(t, "/edges/garage"); !strings.Contains(body, "never") {
		t.Error("an edge of which nothing is known")
	}
	if resp, body := get(t, "/edges/<b>x"); resp.StatusCode != http.StatusNotFound ||
		strings.Contains(body, "<b>x") {
		t.Errorf("an unknown edge: %d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, "/nothing"); resp.StatusCode != http.StatusNotFound {
		t.Error(resp.Status)
	}
}

func TestNobodyIsEnrolled(t *testing.T) {
	w := httptest.NewRecorder()
	New(func() api.Status { return api.Status{} }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(w.Body.String(), "metronome master enroll") {
		t.Error(w.Body)
	}
}

func TestStatusAsJSON(t *testing.T) {
	resp, body := get(t, "/status.json")
	if resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"name":"hallway"`) {
		t.Error(body)
	}
}

// TestEveryTagIsClosed: browsers forgive, people who read the source should not have to.
func TestEveryTagIsClosed(t *testing.T) {
	tag := regexp.MustCompile(`<(/?)([a-z0-9]+)[^>]*>`)
	void := map[string]bool{"meta": true, "link": true}
	for _, path := range []string{"/", "/edges/hallway", "/edges/garage", "/edges/none"} {
		_, body := get(t, path)
		var open []string
		for _, m := range tag.FindAllStringSubmatch(body, -1) {
			switch {
			case void[m[2]]:
			case m[1] == "":
				open = append(open, m[2])
			case len(open) == 0 || open[len(open)-1] != m[2]:
				t.Fatalf("%s: </%s> closes %v", path, m[2], open)
			default:
				open = open[:len(open)-1]
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: %v stay open", path, open)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "never", 0: "now", 999 * time.Millisecond: "now",
		time.Second:       "1 s ago",
		119 * time.Second: "119 s ago", 2 * time.Minute: "2 min ago", 3 * time.Hour: "3 h ago",
		72 * time.Hour: "3 days ago"} {
		if got := Ago(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 150 << 10: "150 KiB",
		1 << 30: "1.0 GiB",
		5 << 40: "5.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{1: "1", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
