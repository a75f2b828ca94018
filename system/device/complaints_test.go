package device

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/device/edgetest"
	"metronome/system/device/queue"
	"metronome/system/disk"
	"metronome/system/disk/fault"
)

// The tests here bear the names of what users complain about elsewhere (anchors §2 and §11).

// §11, 4: "new data overtakes old". Through any outage, loss, restart and refusal, each key's
// operations and the device's as a whole are executed in the order of enqueueing.
func TestNewDataNeverOvertakesOld(t *testing.T) {
	b := newBench(t)
	b.edge.Break(flaky(11))
	b.cfg.BatchOps = 8
	b.open()
	for i := range 300 {
		if _, err := b.dev.Enqueue(Write{Key: fmt.Sprint("k", i%40), Value: fmt.Append(nil, "1.", i)}); err != nil {
			t.Fatal(err)
		}
		switch i % 60 {
		case 20:
			b.edge.Answer(down)
		case 40:
			b.edge.Answer(nil)
		case 59:
			b.close()
			b.open()
		}
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.once()
	b.ascending()
}

// §11, 5: "disk fills". The bound on what waits holds, and says so at once.
func TestTheSizeBoundHolds(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.cfg.MaxBytes, b.cfg.SegmentBytes = 1<<20, 64<<10
	d := b.open()
	value := make([]byte, 1000)
	var err error
	n := 0
	for ; err == nil && n < 5000; n++ {
		err = b.enqueue(Write{Key: fmt.Sprint("k", n), Value: value})
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "Next:") {
		t.Fatalf("after %d: %v", n, err)
	}
	if s := d.Status(); s.PendingBytes > 1<<20 || s.PendingBytes < 900<<10 {
		t.Fatalf("%d bytes pending of 1 MiB", s.PendingBytes)
	}
	room := make(chan error, 1)
	go func() { room <- d.Room(b.patient()) }()
	b.edge.Answer(nil)
	if err := <-room; err != nil {
		t.Fatal(err)
	}
	b.put("fits", "again")
	b.flush(queue.Edge)
	b.once()
}

// §4: drop_oldest, opt-in by prefix, counted; others are not touched.
func TestDropOldestGivesWay(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.cfg.MaxBytes, b.cfg.SegmentBytes = 1<<20, 64<<10
	b.cfg.Rules.DropOldest = []string{"log/"}
	d := b.open()
	value := make([]byte, 1000)
	for n := range 3000 {
		if err := b.enqueue(Write{Key: fmt.Sprint("log/", n), Value: value}); err != nil {
			t.Fatalf("at %d: %v", n, err)
		}
	}
	if c := d.Status().Counters; c.Dropped < 1500 || c.Dropped > 2500 {
		t.Fatalf("%d dropped of 3000, a third of which fits", c.Dropped)
	}
	b.close()
	d = b.open()
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	c := d.Status().Counters
	if got := len(b.edge.Backup().History); uint64(got)+c.Dropped != 3000 {
		t.Fatalf("%d executed and %d dropped of 3000", got, c.Dropped)
	}
	if _, ok := b.edge.Backup().Values["log/2999"]; !ok {
		t.Fatal("the newest is not there")
	}
}

// §4: latest_only makes room and skips across requests; the newest of each key arrives.
func TestLatestOnlyKeepsTheNewest(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.cfg.MaxBytes, b.cfg.SegmentBytes, b.cfg.BatchOps = 1<<20, 64<<10, 4
	b.cfg.Rules.LatestOnly = []string{"now/"}
	d := b.open()
	value := make([]byte, 1000)
	for n := range 3000 {
		w := Write{Key: fmt.Sprint("now/", n%10), Value: fmt.Append(value[:900], n)}
		if err := b.enqueue(w); err != nil {
			t.Fatalf("at %d: %v", n, err)
		}
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	values := b.edge.Backup().Values
	for k := range 10 {
		if v := values[fmt.Sprint("now/", k)].Value; !strings.HasSuffix(v, fmt.Sprint(2990+k)) {
			t.Fatalf("now/%d ends in %q", k, v[len(v)-4:])
		}
	}
	if c := d.Status().Counters; c.Dropped != 0 || c.Coalesced < 2900 {
		t.Fatalf("%+v", c)
	}
}

// §11, 6: "config change or bad config ate my queue".
func TestBadConfigTouchesNothing(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	fs := fault.New(1)
	b.onFault(fs)
	b.open()
	b.puts(0, 10)
	b.close()
	before := fmt.Sprintf("%x", snapshot(fs))
	for name, spoil := range map[string]func(*Config){
		"client":  func(c *Config) { c.Client = "other" },
		"edge":    func(c *Config) { c.Edges = []string{"edge:7443"} },
		"user":    func(c *Config) { c.Edges = []string{"https://me:secret@edge"} },
		"ops":     func(c *Config) { c.BatchOps = -1 },
		"bytes":   func(c *Config) { c.MaxBytes = 5 },
		"times":   func(c *Config) { c.RetryLeast = time.Hour },
		"no dir":  func(c *Config) { c.Dir = "" },
		"too big": func(c *Config) { c.BatchBytes = 2 << 20 },
	} {
		c := b.cfg
		spoil(&c)
		if _, err := Open(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if fmt.Sprintf("%x", snapshot(fs)) != before {
			t.Fatalf("%s: something was written", name)
		}
	}
	// A change of rules is no reason to lose anything.
	b.cfg.Rules = queue.Rules{History: []string{"k"}, DropOldest: []string{"k"}}
	b.cfg.BatchOps, b.cfg.MaxBytes = 1, 1<<16
	b.open()
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.exactly(10)
}

func snapshot(fs *fault.FS) (all []byte) {
	for _, name := range fs.Names() {
		if !strings.HasSuffix(name, "lock") {
			all = append(append(all, name...), fs.Bytes(name)...)
		}
	}
	return all
}

// §4: the free-disk floor refuses operations, and acknowledgements still go through.
func TestFreeDiskFloor(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	var free atomic.Uint64
	free.Store(1 << 40)
	b.cfg.FS, b.cfg.FreeFloor = &shrinking{disk.OS(), &free}, 1<<30
	d := b.open()
	b.puts(0, 5)
	free.Store(1 << 20)
	var err error
	for i := 0; err == nil && i < 3000; i++ {
		err = b.enqueue(Write{Key: "filler", Value: make([]byte, 1<<10)})
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "free") {
		t.Fatalf("below the floor: %v", err)
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	free.Store(1 << 40)
	if err := d.Room(b.patient()); err != nil {
		t.Fatal(err)
	}
	b.put("more", "x")
}

// shrinking is a file system whose free space the test decides.
type shrinking struct {
	disk.FS
	free *atomic.Uint64
}

func (s *shrinking) Free(string) (uint64, error) { return s.free.Load(), nil }

// A login page answers every request with 200, 302, 403 or 404: it refuses nothing.
func TestALoginPageIsAnOutage(t *testing.T) {
	b := newBench(t)
	var n atomic.Int32
	b.edge.Answer(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			_, _ = w.Write([]byte("<html>please log in</html>"))
		case 1:
			http.Redirect(w, r, "/login", http.StatusFound)
		case 2:
			http.Error(w, "forbidden", http.StatusForbidden)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"type":"about:blank","title":"captive"}`))
		}
	})
	d := b.open()
	b.puts(0, 10)
	b.until("12 requests", func() bool { return n.Load() >= 12 })
	if s := d.Status(); s.DeadLetters != 0 || s.Counters.Refused != 0 || s.Pending != 10 {
		t.Fatalf("a login page was believed: %+v", s)
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.exactly(10)
}

// Wrong credentials are a state, no reason to bury operations.
func TestWrongPasswordLosesNothing(t *testing.T) {
	b := newBench(t)
	b.edge.User, b.edge.Password = "lamp", "right"
	b.cfg.Password = "wrong"
	d := b.open()
	b.puts(0, 10)
	b.until("a refusal", func() bool {
		return b.edge.Requests() >= 3 && strings.Contains(d.Status().Why, "401")
	})
	if s := d.Status(); s.DeadLetters != 0 || s.Pending != 10 {
		t.Fatalf("%+v", s)
	}
	b.close()
	b.cfg.Password = "right"
	b.open()
	b.flush(queue.Edge)
	b.exactly(10)
}

// A request that the edge finds too large, or does not understand, is halved until the culprit is
// alone.
func TestOneBadOperationDoesNotHoldUpTheRest(t *testing.T) {
	b := newBench(t)
	b.edge.Break(func(r *http.Request, after bool) bool { return false })
	inner := b.edge
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		if strings.Contains(string(body), `"poison"`) {
			w.Header().Set("X-Edge-Incarnation", "x")
			edgetest.Problem(w, 400, "invalid-batch", nil)
			return
		}
		r.Body = http.NoBody
		r2 := r.Clone(r.Context())
		r2.Body = readCloser{strings.NewReader(string(body))}
		inner.ServeHTTP(w, r2)
	}))
	defer proxy.Close()
	b.cfg.Edges = []string{proxy.URL}
	inner.Answer(down)
	d := b.open()
	b.puts(0, 20)
	b.put("poison", "x")
	b.puts(20, 40)
	inner.Answer(nil)
	b.flush(queue.Edge)
	b.exactly(40)
	if s := d.Status(); s.DeadLetters != 1 {
		t.Fatalf("%d dead letters", s.DeadLetters)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// Two processes never have one directory open.
func TestOneProcessADirectory(t *testing.T) {
	b := newBench(t)
	b.open()
	if _, err := Open(b.cfg); !errors.Is(err, disk.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
}

// Who enqueues waits for no network: with an edge that never answers, puts return.
func TestPutNeverWaitsForTheNetwork(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	b.edge.Break(func(*http.Request, bool) bool { <-release; return false })
	defer close(release)
	d := b.open()
	ctx := b.patient()
	for i := range 50 {
		if _, err := d.Put(ctx, fmt.Sprint("k", i), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A dead-letter store that is full stops sending, loses nothing, and goes on once there is room.
func TestDeadLettersAreBounded(t *testing.T) {
	b := newBench(t)
	b.edge.Refuse(refuseBad)
	b.cfg.DeadBytes = 4 << 10
	d := b.open()
	for i := range 30 {
		b.put(fmt.Sprint("bad", i), strings.Repeat("x", 300))
	}
	b.puts(0, 5)
	b.until("dead letters are full", func() bool { return d.Status().State == "dead-letters-full" })
	b.close()
	d = b.open() // and over a restart
	b.until("the good ones arrive", func() bool {
		for l, err := range d.DeadLetters() {
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Discard(l.Number); err != nil {
				t.Fatal(err)
			}
		}
		return len(b.edge.Backup().Values) == 5
	})
	b.flush(queue.Edge)
	if n := d.Status().Counters.Refused; n < 30 {
		t.Fatalf("%d refused of 30", n)
	}
}
