package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
)

// cell is a cell of edge-liveness.
func cell(arm string, on map[string]string) factorial.Cell {
	f := map[string]string{"threshold": "3", "interval": "10s", "loss": "0.01", "delay": "50ms", "stall": "5s",
		"stall_every": "2h", "bursts": "60", "hours": "6", "crashes": "10"}
	for k, v := range on {
		f[k] = v
	}
	return factorial.Cell{Arm: arm, Factors: f, Seed: 1}
}

func live(t *testing.T, arm string, on map[string]string) factorial.Outcome {
	t.Helper()
	o, err := liveness{}.Trial(t.Context(), cell(arm, on))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Without losses and stalls nobody is accused, and silence is noticed when the rule says.
func TestDetectorsOnAPerfectLink(t *testing.T) {
	perfect := map[string]string{"loss": "0", "stall_every": "10000h", "delay": "1ms", "bursts": "0"}
	for _, arm := range []string{"phi", "silence", "heartbeat", "heartbeat-phi"} {
		perfect["threshold"] = map[string]string{"phi": "8", "heartbeat-phi": "8"}[arm]
		if perfect["threshold"] == "" {
			perfect["threshold"] = "3"
		}
		o := live(t, arm, perfect)
		if o.Values["false_alarms_per_day"] != 0 || o.Values["wrongly_s_per_day"] != 0 {
			t.Errorf("%s: %v", arm, o.Values)
		}
		// The last sign came up to 11 s before the crash; three intervals after it is suspect at the latest.
		if d := o.Values["detection_max_s"]; d <= 3 || d > 30.5 {
			t.Errorf("%s: detected after %g s", arm, d)
		}
		asked := 720. // questions and answers
		if arm == "phi" || arm == "silence" {
			asked = 0
		}
		if o.Values["extra_messages_per_hour"] != asked {
			t.Errorf("%s: %v", arm, o.Values)
		}
	}
}

// A higher threshold is slower and accuses less; more loss accuses more. The same seed gives the same life.
func TestDetectorsTradeOff(t *testing.T) {
	quick := live(t, "silence", map[string]string{"threshold": "1.2", "bursts": "0", "loss": "0.05"})
	slow := live(t, "silence", map[string]string{"threshold": "4", "bursts": "0", "loss": "0.05"})
	if quick.Values["detection_s"] >= slow.Values["detection_s"] ||
		quick.Values["false_alarms_per_day"] <= slow.Values["false_alarms_per_day"] {
		t.Errorf("threshold 1.2: %v; 4: %v", quick.Values, slow.Values)
	}
	again := live(t, "silence", map[string]string{"threshold": "4", "bursts": "0", "loss": "0.05"})
	if again.Values["detection_s"] != slow.Values["detection_s"] ||
		!slices.Equal(again.Timeline, slow.Timeline) {
		t.Error("the same seed gave another life")
	}
}

// Who is never suspected is a lower bound.
func TestUnseenCrashesAreCensored(t *testing.T) {
	o := live(t, "silence", map[string]string{"threshold": "1000", "crashes": "1"})
	if !slices.Contains(o.AtLeast, "detection_s") || o.Values["detection_s"] != 1200 {
		t.Errorf("%+v", o)
	}
}

func TestLivenessRefusesNonsense(t *testing.T) {
	for _, c := range []factorial.Cell{cell("phy", nil), cell("phi", map[string]string{"interval": "0s"}),
		cell("phi", map[string]string{"loss": "1"}), cell("phi", map[string]string{"delay": "soon"})} {
		if _, err := (liveness{}).Trial(t.Context(), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// A stall holds everything back until its end, and nothing else.
func TestStalls(t *testing.T) {
	stalls := []stall{{10, 20}, {30, 31}}
	for at, want := range map[float64]float64{5: 5, 10: 20, 15: 20, 20: 20, 25: 25, 30.5: 31, 40: 40} {
		if got := past(stalls, at); math.Abs(got-want) > 1e-12 {
			t.Errorf("what arrives at %g does at %g, want %g", at, got, want)
		}
	}
}

// parsed is a request as a server would read it.
func parsed(t *testing.T, d dialect, ops ...kv.Op) (r *http.Request, body string) {
	t.Helper()
	raw := d.request(nil, &kv.Batch{Ops: ops})
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(b)
}

func TestDialects(t *testing.T) {
	put := kv.Op{Key: []byte("00000001"), Value: []byte{0, 1, 0xff}}
	get := kv.Op{Read: true, Key: []byte("00000001")}
	value := base64.StdEncoding.EncodeToString(put.Value)
	key := base64.StdEncoding.EncodeToString(put.Key)
	edge := newEdgeDialect("h:1", "lamp", "secret")
	r, body := parsed(t, edge, put)
	if user, password, _ := r.BasicAuth(); r.Method != "PUT" || r.URL.Path != "/v1/kv/00000001" ||
		body != string(put.Value) || user != "lamp" || password != "secret" {
		t.Errorf("%v %q", r, body)
	}
	if r, body = parsed(t, edge, get); r.Method != "GET" || r.URL.Path != "/v1/kv/00000001" || body != "" {
		t.Errorf("%v %q", r, body)
	}
	r, body = parsed(t, edge, put, put)
	if r.URL.Path != "/v1/batch" || strings.Count(body, `"value_base64":"`+value+`"`) != 2 ||
		!json.Valid([]byte(body)) {
		t.Errorf("%v %q", r, body)
	}
	etcd := etcdDialect{"h:1"}
	if r, body = parsed(t, etcd, put); r.URL.Path != "/v3/kv/put" ||
		body != `{"key":"`+key+`","value":"`+value+`"}` {
		t.Errorf("%v %q", r, body)
	}
	if r, body = parsed(t, etcd, get); r.URL.Path != "/v3/kv/range" || body != `{"key":"`+key+`"}` {
		t.Errorf("%v %q", r, body)
	}
	other := kv.Op{Key: put.Key, Value: []byte("last")}
	r, body = parsed(t, etcd, put, other)
	if r.URL.Path != "/v3/kv/txn" || strings.Count(body, "request_put") != 1 || !json.Valid([]byte(body)) ||
		!strings.Contains(body, base64.StdEncoding.EncodeToString([]byte("last"))) {
		t.Errorf("a transaction with a key twice: %v %q", r, body)
	}
}

// What a server answers is told apart: done, refused, failed, gone.
func TestHTTPTarget(t *testing.T) {
	var mu sync.Mutex
	seen := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen++
		turn := seen
		mu.Unlock()
		switch turn % 4 {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	target := &httpTarget{u.Host, s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(),
		newEdgeDialect(u.Host, "a", "b")}
	l := kv.Default()
	l.Keys, l.Connections, l.WarmupNS, l.WindowNS = 100, 3, 0, int64(200*time.Millisecond)
	var r *kv.Result
	for range 10 { // on a busy machine the window may be over before all kinds of answers have come
		if r, err = kv.Run(t.Context(), target, l, nil); err != nil {
			t.Fatal(err)
		}
		if r.Answered > 0 && r.Busy > 0 && r.Failed > 0 {
			break
		}
		l.WindowNS *= 2
	}
	if r.Answered == 0 || r.Busy == 0 || r.Failed == 0 || r.Balance() != nil {
		t.Errorf("%+v", r.Counts)
	}
	if o := told(r); o.Void == "" || o.Values["ops_per_s"] <= 0 {
		t.Errorf("%+v", o)
	}
	l.Outstanding = 2
	if _, err := kv.Run(t.Context(), target, l, nil); err == nil {
		t.Error("two requests in flight on a connection")
	}
	target.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if _, err := target.Connect(context.Background(), 0, kv.Default()); err == nil {
		t.Error("an unknown CA was trusted")
	}
}

// A cell that means nothing is refused before anything starts.
func TestLoadRefusesNonsense(t *testing.T) {
	base := map[string]string{"op": "put", "batch": "1", "connections": "2", "value_bytes": "8", "keys": "10",
		"rate": "0"}
	for name, value := range map[string]string{"op": "delete", "batch": "x", "rate": "fast"} {
		f := map[string]string{}
		for k, v := range base {
			f[k] = v
		}
		f[name] = value
		if _, err := loadOf(factorial.Cell{Arm: "edge", Factors: f}); err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
	}
	if _, err := loadOf(factorial.Cell{Factors: map[string]string{"op": "get", "batch": "2", "connections": "1",
		"value_bytes": "1", "keys": "1", "rate": "0"}}); err == nil {
		t.Error("gets in batches")
	}
	s := &loadSession{}
	if err := s.serve(t.Context(), "mongodb"); err == nil || !strings.Contains(err.Error(), "use edge") {
		t.Error(err)
	}
}
