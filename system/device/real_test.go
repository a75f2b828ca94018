package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/device/queue"
	"metronome/system/disk/fault"
	"metronome/system/edge"
	"metronome/system/edge/local"
)

// realEdge is the edge of package edge over its own store, on a loopback.
type realEdge struct {
	t      *testing.T
	name   string
	dir    string
	url    string
	access access
	store  *local.Store
	server *edge.Server
	done   chan struct{}
}

// access lets the device do anything but under "bad".
type access struct{ home string }

func (a access) Authorize(r *http.Request) (edge.Principal, error) {
	user, _, _ := r.BasicAuth()
	return edge.Principal{Name: user, Home: a.home, May: func(_ edge.Verb, key []byte) bool {
		return !strings.HasPrefix(string(key), "bad")
	}}, nil
}

func newRealEdge(t *testing.T) *realEdge {
	e := &realEdge{t: t, name: "hall", dir: filepath.Join(t.TempDir(), "edge")}
	e.start("127.0.0.1:0")
	t.Cleanup(e.stop)
	return e
}

func (e *realEdge) start(address string) {
	e.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	e.store, err = local.Open(local.Config{Dir: e.dir, BackedUp: true, MinFree: 1, Cache: 8 << 20,
		MemTable: 4 << 20, Log: quiet})
	if err == nil {
		e.server, err = edge.New(edge.Config{Name: e.name, Store: e.store, Access: e.access, Log: quiet})
	}
	if err != nil {
		e.t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); { // somebody has it for a moment
		time.Sleep(10 * time.Millisecond)
		l, err = net.Listen("tcp", address)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	e.url = "http://" + l.Addr().String()
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		_ = e.server.Serve(l, nil)
	}()
}

func (e *realEdge) stop() {
	if e.store == nil {
		return
	}
	_ = e.server.Close()
	<-e.done
	_ = e.store.Close()
	e.store = nil
}

// restart stops the edge, lets do change its directory, and starts it again at the same address.
func (e *realEdge) restart(do func()) {
	address := strings.TrimPrefix(e.url, "http://")
	e.stop()
	do()
	e.start(address)
}

// values returns all that the edge holds.
func (e *realEdge) values() map[string]string {
	e.t.Helper()
	got := map[string]string{}
	for l := (edge.Listing{Limit: edge.MaxPage, Client: "test"}); ; {
		page, err := e.store.List(context.Background(), l)
		if err != nil {
			e.t.Fatal(err)
		}
		for _, item := range page.Items {
			got[string(item.Key)] = string(item.Value)
		}
		if page.Next == "" {
			return got
		}
		l = edge.Listing{Client: "test", Cursor: page.Next}
	}
}

func (b *bench) onReal() *realEdge {
	e := newRealEdge(b.t)
	b.cfg.Edges = []string{e.url}
	return e
}

// lossy loses one request in five on its way, or its answer on the way back.
type lossy struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	fate := l.rng.IntN(10)
	l.mu.Unlock()
	if fate == 0 {
		return nil, errors.New("lost on the way there")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if fate == 1 && err == nil {
		_ = resp.Body.Close()
		return nil, errors.New("lost on the way back")
	}
	return resp, err
}

func TestAgainstTheRealEdge(t *testing.T) {
	b := newBench(t)
	e := b.onReal()
	b.cfg.HTTP = &http.Client{Transport: &lossy{rng: rand.New(rand.NewPCG(1, 2))}}
	b.cfg.BatchOps = 16
	d := b.open()
	want := map[string]string{}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 600 {
		key := fmt.Sprintf("home/%d/\x01\xff\"%d", rng.IntN(3), rng.IntN(20))
		if rng.IntN(5) == 0 {
			if _, err := d.Delete(b.patient(), key); err != nil {
				t.Fatal(err)
			}
			delete(want, key)
			continue
		}
		want[key] = fmt.Sprintf("%d\x00\xfe", i)
		b.put(key, want[key])
		if i%200 == 199 {
			b.close()
			d = b.open()
		}
	}
	b.flush(queue.Edge)
	if got := e.values(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the edge holds\n%q, want\n%q", got, want)
	}
	ctx := b.patient()
	for key, value := range want {
		v, err := d.Get(ctx, key)
		for errors.Is(err, ErrUnreachable) || v.Stale { // lossy
			v, err = d.Get(ctx, key)
		}
		if err != nil || string(v.Value) != value {
			t.Fatalf("get %q: %+v, %v", key, v, err)
		}
	}
}

// The largest value there is passes alone, among small ones.
func TestLargestValues(t *testing.T) {
	b := newBench(t)
	e := b.onReal()
	b.open()
	largest := strings.Repeat("\x00", queue.MaxValue)
	for i := range 4 {
		b.put(fmt.Sprint("small", i), "x")
		b.put(fmt.Sprint("large", i), largest)
	}
	b.flush(queue.Edge)
	got := e.values()
	if len(got) != 8 || got["large3"] != largest {
		t.Fatalf("%d keys at the edge", len(got))
	}
	if _, err := b.dev.Put(b.patient(), "k", make([]byte, queue.MaxValue+1)); !errors.Is(err, ErrInput) {
		t.Fatalf("a value too large: %v", err)
	}
}

// A disk that takes its time to make the journal's next segment is waited for, and not called full.
func TestASlowDiskIsNotFull(t *testing.T) {
	b := newBench(t)
	fs := fault.New(1)
	b.onFault(fs)
	b.edge.Answer(down)
	var slow, paused atomic.Bool
	fs.Hook = func(op fault.Op) error {
		if op.Kind == fault.Allocate && slow.CompareAndSwap(true, false) {
			time.Sleep(fullFor + 200*time.Millisecond)
			paused.Store(true)
		}
		return nil
	}
	b.open()
	slow.Store(true)
	for n := 0; n < 10_000 && !paused.Load(); n++ {
		if err := b.enqueue(Write{Key: fmt.Sprint("k", n), Value: make([]byte, 1000)}); err != nil {
			t.Fatalf("put %d: %v", n, err)
		}
	}
	if !paused.Load() {
		t.Error("no segment was made")
	}
}

// The disk is full under the journal: operations are refused, what is durable stays, and room helps.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	fs := fault.New(1)
	fs.Capacity = 2 << 20
	b.onFault(fs)
	b.edge.Answer(down)
	d := b.open()
	n, err := 0, error(nil)
	for ; err == nil && n < 10000; n++ {
		_, err = d.Put(b.patient(), fmt.Sprint("k", n), make([]byte, 1000))
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d puts: %v", n, err)
	}
	b.close()
	roomy := fs.Kill()
	roomy.Capacity = 1 << 40
	b.onFault(roomy)
	b.open()
	b.put("more", "")
	b.edge.Answer(nil)
	b.flush(queue.Edge)
	b.once()
	if got := len(b.edge.Backup().Values); got != n {
		t.Fatalf("%d keys at the edge, want %d", got, n)
	}
}

func TestConditionsAgainstTheRealEdge(t *testing.T) {
	b := newBench(t)
	e := b.onReal()
	d := b.open()
	ctx := b.patient()
	first, err := d.Do(ctx, Write{Key: "a", Value: []byte("1"), If: queue.IfAbsent}, queue.Edge)
	if err != nil || first.Revision == 0 {
		t.Fatalf("create: %+v, %v", first, err)
	}
	_, err = d.Do(ctx, Write{Key: "a", Value: []byte("x"), If: queue.IfAbsent}, queue.Edge)
	if !errors.Is(err, ErrRefused) {
		t.Fatalf("create what is there: %v", err)
	}
	swap := Write{Key: "a", Value: []byte("2"), If: queue.IfMatch, Revision: first.Revision}
	if _, err = d.Do(ctx, swap, queue.Edge); err != nil {
		t.Fatal(err)
	}
	if _, err = d.Do(ctx, swap, queue.Edge); !errors.Is(err, ErrRefused) {
		t.Fatalf("an old revision: %v", err)
	}
	absent := Write{Key: "b", Delete: true, If: queue.IfPresent}
	if _, err = d.Do(ctx, absent, queue.Edge); !errors.Is(err, ErrRefused) {
		t.Fatalf("delete what is not there: %v", err)
	}
	if _, err = d.Do(ctx, Write{Key: "bad/x", Value: []byte("1")}, queue.Edge); !errors.Is(err, ErrRefused) {
		t.Fatalf("no right: %v", err)
	}
	if _, err = d.Do(ctx, Write{Key: "a/../b", Value: []byte("1")}, queue.Edge); !errors.Is(err, ErrRefused) {
		t.Fatalf("a key that no edge takes: %v", err)
	}
	if got := e.values(); len(got) != 1 || got["a"] != "2" {
		t.Fatalf("the edge holds %q", got)
	}
	if n := d.Status().DeadLetters; n != 5 {
		t.Fatalf("%d dead letters, want 5", n)
	}
}

// The edge's disk is set back to an older backup; devices make up the difference.
func TestRestoredRealEdge(t *testing.T) {
	b := newBench(t)
	e := b.onReal()
	d := b.open()
	b.puts(0, 50)
	b.flush(queue.Edge)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := e.store.Checkpoint(backup); err != nil {
		t.Fatal(err)
	}
	b.puts(50, 100)
	b.flush(queue.Edge)
	e.restart(func() { e.dir = backup })
	b.puts(100, 110)
	b.flush(queue.Edge)
	if got := e.values(); len(got) != 110 {
		t.Fatalf("%d of 110 keys at the edge; %+v", len(got), d.Status())
	}
	if c := d.Status().Counters; c.Replayed < 50 || c.Lost > 0 {
		t.Fatalf("%+v", c)
	}
}

func TestMarksOfTheRealEdge(t *testing.T) {
	b := newBench(t)
	e := b.onReal()
	d := b.open()
	b.puts(0, 10)
	b.flush(queue.Edge)
	if err := d.Flush(b.patient(), queue.Quorum); !errors.Is(err, ErrMarkUnavailable) {
		t.Fatalf("quorum from a local store: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Flush(b.patient(), queue.BackedUp) }()
	select {
	case err := <-done:
		t.Fatalf("backed up before any backup: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := e.store.MarkBackedUp(context.Background(), e.store.Status().Revision); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestHomeOfTheRealEdge(t *testing.T) {
	b := newBench(t)
	other := newRealEdge(t)
	home := b.onReal()
	other.restart(func() { other.access.home = home.url })
	b.cfg.Edges = []string{other.url, home.url}
	b.open()
	b.puts(0, 10)
	b.flush(queue.Edge)
	if n, m := len(home.values()), len(other.values()); n != 10 || m != 0 {
		t.Fatalf("%d keys at home and %d elsewhere", n, m)
	}
}

// TestHomeIsKnownByItsName: credential files name edges, not addresses.
func TestHomeIsKnownByItsName(t *testing.T) {
	b := newBench(t)
	var edges []*realEdge
	b.cfg.Edges = nil
	for _, name := range []string{"attic", "cellar", "hall"} {
		e := newRealEdge(t)
		e.restart(func() { e.name, e.access.home = name, "hall" })
		edges = append(edges, e)
		b.cfg.Edges = append(b.cfg.Edges, e.url)
	}
	d := b.open()
	b.puts(0, 10) // asks around
	b.flush(queue.Edge)
	if n := len(edges[2].values()); n != 10 || len(edges[0].values())+len(edges[1].values()) > 0 {
		t.Fatalf("%d keys at home", n)
	}
	for range 3 { // wherever it has strayed: it was told once what its home is called
		d.remote.move(&queue.Reply{})
		d.remote.move(&queue.Reply{Home: "hall"})
		if base := d.remote.base(); base != edges[2].url {
			t.Errorf("it went to %s", base)
		}
	}
}

func TestZombieAgainstTheRealEdge(t *testing.T) {
	b := newBench(t)
	b.onReal()
	b.cfg.Place = func() string { return "here" }
	d := b.open()
	b.puts(0, 5)
	b.flush(queue.Edge)
	twin := *b
	twin.cfg.Dir = copyDir(t, b.cfg.Dir)
	twin.open()
	twin.puts(5, 6)
	twin.flush(queue.Edge)
	r := b.put("k6", "v6")
	if _, err := d.Wait(b.patient(), r.Number, queue.Edge); !errors.Is(err, ErrFenced) {
		t.Fatalf("a zombie's write: %v", err)
	}
}
