package device

import (
	"context"
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
)

// bench is a device in a directory of the test, and an edge.
type bench struct {
	t    *testing.T
	cfg  Config
	edge *edgetest.Edge
	http *httptest.Server
	dev  *Device
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, edge: edgetest.New("hall")}
	b.http = httptest.NewServer(b.edge)
	t.Cleanup(b.http.Close)
	b.cfg = Config{Dir: t.TempDir(), Client: "lamp", Edges: []string{b.http.URL}, Linger: time.Millisecond,
		RetryLeast: time.Millisecond, RetryMost: 20 * time.Millisecond, MaxBytes: 64 << 20, SegmentBytes: 1 << 20,
		FreeFloor: 1}
	return b
}

// open opens the device; it is closed at the test's end.
func (b *bench) open() *Device {
	b.t.Helper()
	d, err := Open(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.dev = d
	b.t.Cleanup(func() { _ = d.Close() })
	return d
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.dev.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) put(key, value string) Receipt {
	b.t.Helper()
	r, err := b.dev.Put(context.Background(), key, []byte(value))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// enqueue does not wait until an operation is durable, only for a disk that is behind.
func (b *bench) enqueue(w Write) error {
	_, err := b.dev.Enqueue(w)
	for turn := (waiting{}); turn.worth(err); {
		if err = b.dev.catchUp(b.patient(), &turn); err == nil {
			_, err = b.dev.Enqueue(w)
		}
	}
	return err
}

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

// patient is a context for what must happen, however slow the machine.
func (b *bench) patient() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

// until waits for what must come, however slow the machine.
func (b *bench) until(what string, come func() bool) {
	b.t.Helper()
	for start := time.Now(); !come(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			b.t.Fatalf("%s: not within %v: %+v", what, patience, b.dev.Status())
		}
	}
}

func (b *bench) flush(mark queue.Mark) {
	b.t.Helper()
	if err := b.dev.Flush(b.patient(), mark); err != nil {
		b.t.Fatalf("%v; %+v", err, b.dev.Status())
	}
}

// holds compares the edge's values.
func (b *bench) holds(want map[string]string) {
	b.t.Helper()
	got := map[string]string{}
	for k, e := range b.edge.Backup().Values {
		got[k] = e.Value
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("the edge holds %v, want %v", got, want)
	}
}

// once checks that each number was executed at most once and in order.
func (b *bench) once() {
	b.t.Helper()
	last := map[string]uint64{}
	for _, a := range b.edge.Backup().History {
		if a.Seq <= last[a.Session] {
			b.t.Fatalf("number %d was executed after %d", a.Seq, last[a.Session])
		}
		last[a.Session] = a.Seq
	}
}

// refuseBad refuses what has such a key.
func refuseBad(op *edgetest.Op) int {
	if strings.HasPrefix(op.Name(), "bad") {
		return http.StatusForbidden
	}
	return 0
}

// down is an edge that cannot serve.
func down(w http.ResponseWriter, _ *http.Request) { edgetest.Problem(w, 503, "busy", nil) }

func TestPutsArriveInOrder(t *testing.T) {
	b := newBench(t)
	b.open()
	for i := range 1000 {
		b.put(fmt.Sprint("k", i), fmt.Sprint(i))
	}
	b.flush(queue.Edge)
	h := b.edge.Backup().History
	if len(h) != 1000 {
		t.Fatalf("%d executed of 1000", len(h))
	}
	for i, a := range h {
		if a.Value != fmt.Sprint(i) {
			t.Fatalf("at %d came %s", i, a.Value)
		}
	}
	b.once()
}

func TestOfflineThenOnline(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.open()
	for i := range 500 {
		b.put(fmt.Sprint("k", i%5), fmt.Sprint(i))
	}
	b.close()
	b.open() // and a restart
	if s := b.dev.Status(); s.Pending != 500 {
		t.Fatalf("%d pending of 500 after a restart", s.Pending)
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.holds(map[string]string{"k0": "495", "k1": "496", "k2": "497", "k3": "498", "k4": "499"})
	b.once()
	if c := b.dev.Status().Counters; c.Sent+c.Coalesced != 500 || c.Coalesced < 400 {
		t.Fatalf("sent %d, skipped %d of 500 puts of 5 keys", c.Sent, c.Coalesced)
	}
}

func TestGetOverlaysWhatWaits(t *testing.T) {
	b := newBench(t)
	d := b.open()
	ctx := b.patient()
	b.put("a", "1")
	b.flush(queue.Edge)
	v, err := d.Get(ctx, "a")
	if err != nil || string(v.Value) != "1" || v.Source != FromEdge || v.Revision == 0 {
		t.Fatalf("from the edge: %+v, %v", v, err)
	}
	b.edge.Answer(down)
	b.put("a", "2")
	b.put("b", "1")
	if _, err := d.Delete(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Get(ctx, "a"); err != nil || string(v.Value) != "2" || v.Source != FromQueue || v.Stale {
		t.Fatalf("pending put: %+v, %v", v, err)
	}
	if v, err := d.Get(ctx, "b"); !errors.Is(err, ErrNotFound) || v.Source != FromQueue {
		t.Fatalf("pending delete: %+v, %v", v, err)
	}
	if _, err := d.Get(ctx, "c"); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("unknown key offline: %v", err)
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.edge.Answer(down)
	if v, err := d.Get(ctx, "a"); err != nil || string(v.Value) != "2" || !v.Stale || v.Source != FromSeen {
		t.Fatalf("last seen: %+v, %v", v, err)
	}
	if v, err := d.Get(ctx, "b"); !errors.Is(err, ErrNotFound) || !v.Stale {
		t.Fatalf("last seen as deleted: %+v, %v", v, err)
	}
	b.close()
	d = b.open()
	if v, err := d.Get(ctx, "a"); err != nil || string(v.Value) != "2" || !v.Stale {
		t.Fatalf("last seen, after a restart: %+v, %v", v, err)
	}
}

func TestRefusedOperationsBecomeDeadLetters(t *testing.T) {
	b := newBench(t)
	var posts atomic.Int32
	b.edge.Break(func(r *http.Request, after bool) bool {
		if r.Method == http.MethodPost && after {
			posts.Add(1)
		}
		return false
	})
	b.edge.Refuse(refuseBad)
	b.edge.Answer(down)
	d := b.open()
	for i := range 20 {
		b.put(fmt.Sprint("good", i), "x")
		b.put(fmt.Sprint("bad", i), "x")
	}
	r := b.put("bad", "x")
	b.edge.Answer(nil)
	if _, err := d.Wait(b.patient(), r.Number, queue.Edge); !errors.Is(err, ErrRefused) {
		t.Fatalf("waiting for a refused one: %v", err)
	}
	b.flush(queue.Edge)
	b.once()
	if n := len(b.edge.Backup().Values); n != 20 {
		t.Fatalf("%d values at the edge, want 20", n)
	}
	if n := posts.Load(); n > 4 {
		t.Errorf("%d requests: refusals are to be told at once", n)
	}
	b.close()
	d = b.open()
	var letters []DeadLetter
	for l, err := range d.DeadLetters() {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	if l := letters[0]; len(letters) != 21 || l.Key != "bad0" || l.Status != 403 || string(l.Value) != "x" {
		t.Fatalf("%d letters, the first %+v", len(letters), letters)
	}
	b.edge.Refuse(nil)
	if _, err := d.Retry(letters[0].Number); err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(letters[1].Number); err != nil {
		t.Fatal(err)
	}
	b.flush(queue.Edge)
	if _, ok := b.edge.Backup().Values["bad0"]; !ok || d.Status().DeadLetters != 19 {
		t.Fatalf("a retried letter: %v, %d letters left", ok, d.Status().DeadLetters)
	}
}

func TestMarkUnavailable(t *testing.T) {
	b := newBench(t)
	d := b.open()
	b.put("a", "1")
	b.flush(queue.Edge)
	if err := d.Flush(b.patient(), queue.BackedUp); !errors.Is(err, ErrMarkUnavailable) {
		t.Fatalf("a mark that this edge has not: %v", err)
	}
	b.flush(queue.Local)
}
