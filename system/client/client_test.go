package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/client"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

// proxy is a server over a store that can be stopped and started again at its address.
type proxy struct {
	t       testing.TB
	backend resp.Backend
	options resp.Options
	address string
	*resp.Server
	cancel context.CancelFunc
	ended  chan error
}

func newProxy(t testing.TB, backend resp.Backend, o resp.Options) *proxy {
	t.Helper()
	if o.Drain == 0 {
		o.Drain = 100 * time.Millisecond
	}
	p := &proxy{t: t, backend: backend, options: o, address: "127.0.0.1:0"}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) start() {
	p.Server = resp.NewServer(p.backend, p.options)
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err = p.Listen(p.address); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		p.t.Error(err)
		return
	}
	p.address = p.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan error, 1)
	go func(s *resp.Server, ended chan error) { ended <- s.Serve(ctx) }(p.Server, p.ended)
}

func (p *proxy) stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	if err := <-p.ended; err != nil {
		p.t.Errorf("Serve: %v", err)
	}
	p.cancel = nil
}

func connect(t testing.TB, c client.Config, proxies ...*proxy) *client.Client {
	t.Helper()
	for _, p := range proxies {
		c.Addresses = append(c.Addresses, p.address)
	}
	db, err := client.Dial(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestOperations(t *testing.T) {
	for _, barrier := range []bool{false, true} {
		t.Run(fmt.Sprintf("barrier=%t", barrier), func(t *testing.T) {
			store := resptest.New()
			db := connect(t, client.Config{BarrierReads: barrier}, newProxy(t, store, resp.Options{}))
			operations(t, db)
			if got := store.Barriers() > 0; got != barrier {
				t.Errorf("barrier reads happened: %t", got)
			}
		})
	}
}

func operations(t *testing.T, db *client.Client) {
	ctx := patient(t)
	check := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	_, err := db.Get(ctx, "a")
	if !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	check("Put", "", "", db.Put(ctx, "a", []byte("1")))
	e, err := db.Get(ctx, "a")
	check("Get", e.Key+"="+string(e.Value), "a=1", err)
	revision, err := db.CAS(ctx, "a", e.Revision, []byte("2"))
	check("CAS", revision > e.Revision, true, err)
	_, err = db.CAS(ctx, "a", e.Revision, []byte("3"))
	var mismatch *client.Mismatch
	if !errors.As(err, &mismatch) || mismatch.Revision != revision || !errors.Is(err, client.ErrMismatch) ||
		client.MayHaveHappened(err) {
		t.Errorf("CAS of an old revision: %v", err)
	}
	n, err := db.Incr(ctx, "n", -5)
	check("Incr", n, -5, err)
	n, err = db.Append(ctx, "a", []byte("xy"))
	check("Append", n, 3, err)
	check("MSet", "", "", db.MSet(ctx, client.Entry{Key: "p/1", Value: []byte("x")}, client.Entry{Key: "p/2"}))
	values, err := db.MGet(ctx, "p/1", "nope", "p/2")
	check("MGet", fmt.Sprintf("%q", values), `["x" "" ""]`, err)
	if values[1] != nil || values[2] == nil {
		t.Errorf("MGet: absent is nil, empty is not: %v", values)
	}
	n, err = db.Count(ctx)
	check("Count", n, 4, err)
	n, err = db.Delete(ctx, "p/1", "nope", "p/2")
	check("Delete", n, 2, err)
	_, err = db.Incr(ctx, "a", 1)
	var refused *client.ServerError
	if !errors.As(err, &refused) || client.MayHaveHappened(err) {
		t.Errorf("Incr of text: %v", err)
	}
	for what, err := range map[string]error{
		"MSet of nothing": db.MSet(ctx), "an empty key": db.Put(ctx, "", nil),
		"a long key":   db.Put(ctx, strings.Repeat("k", 2000), nil),
		"a long value": db.Put(ctx, "k", make([]byte, 2<<20)),
	} {
		if err == nil || client.MayHaveHappened(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestScan(t *testing.T) {
	db := connect(t, client.Config{}, newProxy(t, resptest.New(), resp.Options{}))
	ctx := patient(t)
	var want []string
	pipe := db.Pipeline()
	for i := range 250 {
		key := fmt.Sprintf("k%03d", i)
		pipe.Put(key, []byte(key))
		if i >= 10 {
			want = append(want, key)
		}
	}
	pipe.Put("other", nil)
	if err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []bool{false, true} {
		var got []string
		for e, err := range db.Scan(ctx, client.Range{Prefix: "k", After: "k009", Page: 7, Keys: keys}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Revision == 0 || keys != (e.Value == nil) || !keys && string(e.Value) != e.Key {
				t.Errorf("%+v", e)
			}
			got = append(got, e.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Scan: %d keys, want %d", len(got), len(want))
		}
	}
	for _, err := range db.Scan(ctx, client.Range{Page: 5000}) {
		if err == nil {
			t.Error("a page of 5000 keys")
		}
	}
}

// A pipeline's commands are executed in order and each has its own answer.
func TestPipeline(t *testing.T) {
	db := connect(t, client.Config{Window: 10}, newProxy(t, resptest.New(), resp.Options{}))
	pipe := db.Pipeline()
	var sums []*client.Future[int64]
	for range 100 {
		sums = append(sums, pipe.Incr("n", 1))
	}
	got := pipe.Get("n")
	wrong := pipe.CAS("n", 12345, nil)
	gone := pipe.Delete("n")
	long := pipe.Append("n", []byte("four"))
	if _, err := got.Result(); err == nil {
		t.Error("a result before Exec")
	}
	if err := pipe.Exec(patient(t)); err != nil || pipe.Len() != 0 {
		t.Fatal(err, pipe.Len())
	}
	for i, f := range sums {
		if n, err := f.Result(); n != int64(i+1) || err != nil {
			t.Errorf("Incr %d: %d, %v", i, n, err)
		}
	}
	e, err1 := got.Result()
	_, err2 := wrong.Result()
	n, err3 := gone.Result()
	length, err4 := long.Result()
	if string(e.Value) != "100" || !errors.Is(err2, client.ErrMismatch) || n != 1 || length != 4 ||
		errors.Join(err1, err3, err4) != nil {
		t.Errorf("%s %v, %v, %d %v, %d %v", e.Value, err1, err2, n, err3, length, err4)
	}
}

// stuck is a backend that executes, and answers only when told to.
type stuck struct {
	*resptest.Store
	mu       sync.Mutex
	waiting  []func() // batches of answers
	executed atomic.Int64
}

func newStuck() *stuck {
	s := &stuck{Store: resptest.New()}
	s.After = func(*resp.Op, *wire.Result) { s.executed.Add(1) }
	s.Defer = func(deliver func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = append(s.waiting, deliver)
	}
	return s
}

func (s *stuck) outstanding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

func (s *stuck) answer() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, deliver := range waiting {
		deliver()
	}
}

// A write whose context ends after it was sent has an unknown outcome; the connection goes on, and the
// late answer is given to nobody else.
func TestContextEnds(t *testing.T) {
	store := newStuck()
	db := connect(t, client.Config{}, newProxy(t, store, resp.Options{}))
	sent := func(n int64) context.Context { return until(t, func() bool { return store.executed.Load() == n }) }
	err := db.Put(sent(1), "a", []byte("1"))
	if !errors.Is(err, client.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put: %v", err)
	}
	if _, err = db.Get(sent(2), "a"); client.MayHaveHappened(err) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
	pipe := db.Pipeline()
	put, get := pipe.Put("b", nil), pipe.Get("b")
	err = pipe.Exec(sent(4))
	_, err1 := put.Result()
	_, err2 := get.Result()
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err1, client.ErrUnknown) ||
		client.MayHaveHappened(err2) {
		t.Errorf("Exec: %v, %v, %v", err, err1, err2)
	}
	var e client.Entry
	done := make(chan struct{})
	go func() {
		defer close(done)
		e, err = db.Get(patient(t), "a")
	}()
	eventually(t, "an answer", func() bool {
		store.answer()
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if string(e.Value) != "1" || err != nil {
		t.Errorf("Get after the late answers: %q, %v", e.Value, err)
	}
}

// What is outstanding is bounded: the next one waits, and gives up with its context, unsent.
func TestWindow(t *testing.T) {
	for name, c := range map[string]client.Config{"commands": {Window: 3}, "bytes": {WindowBytes: 3 * 60}} {
		t.Run(name, func(t *testing.T) {
			store := newStuck()
			db := connect(t, c, newProxy(t, store, resp.Options{}))
			var answered atomic.Int64
			for range 3 {
				err := db.PutAsync(patient(t), "a", make([]byte, 30), func(error) { answered.Add(1) })
				if err != nil {
					t.Fatal(err)
				}
			}
			soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			err := db.Put(soon, "b", make([]byte, 30))
			if !errors.Is(err, client.ErrUnavailable) || client.MayHaveHappened(err) {
				t.Errorf("the fourth: %v", err)
			}
			eventually(t, "three are answered", func() bool {
				store.answer()
				return answered.Load() == 3
			})
		})
	}
}

// A proxy that dies takes what is outstanding into the unknown, once; then the client goes on with
// another, where reads had been waiting.
func TestProxyDies(t *testing.T) {
	store, second := newStuck(), resptest.New()
	a, b := newProxy(t, store, resp.Options{}), newProxy(t, second, resp.Options{})
	db := connect(t, client.Config{}, a, b)
	ctx := patient(t)
	var put, pipelined error
	var value client.Entry
	var all sync.WaitGroup
	all.Go(func() { put = db.Put(ctx, "a", []byte("1")) })
	all.Go(func() { value, _ = db.Get(ctx, "seen") })
	all.Go(func() {
		pipe := db.Pipeline()
		pipe.Put("b", nil)
		pipelined = pipe.Exec(ctx)
	})
	eventually(t, "three are executed, and none is answered", func() bool { return store.executed.Load() == 3 })
	other := connect(t, client.Config{}, b)
	if err := other.Put(ctx, "seen", []byte("yes")); err != nil {
		t.Fatal(err)
	}
	a.stop()
	all.Wait()
	if !errors.Is(put, client.ErrUnknown) {
		t.Errorf("Put: %v", put)
	}
	if pipelined != nil && !errors.Is(pipelined, client.ErrUnknown) {
		t.Errorf("Exec: %v", pipelined)
	}
	if string(value.Value) != "yes" {
		t.Errorf("Get through the other proxy: %q", value.Value)
	}
	if _, err := other.Get(ctx, "a"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("the write was sent again: %v", err)
	}
}

// A broken connection, without a word from the proxy, is an unknown outcome for what was sent.
func TestConnectionBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var commands atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			for {
				n, err := c.Read(buf)
				if err != nil {
					break
				}
				if strings.Contains(string(buf[:n]), "HELLO") {
					_, _ = io.WriteString(c, "*0\r\n")
					continue
				}
				commands.Add(1)
				_ = c.Close()
			}
		}
	}()
	db, err := client.Dial(t.Context(), client.Config{Addresses: []string{l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Put(patient(t), "a", nil)
	if !errors.Is(err, client.ErrUnknown) || commands.Load() != 1 {
		t.Errorf("Put: %v, sent %d times", err, commands.Load())
	}
	_, err = db.Get(until(t, func() bool { return commands.Load() >= 3 }), "a")
	if client.MayHaveHappened(err) || !errors.Is(err, context.DeadlineExceeded) || commands.Load() < 3 {
		t.Errorf("Get: %v, sent %d times", err, commands.Load()-1)
	}
}

// Definite refusals reach the caller at once, and an unavailable proxy is left for the next command.
func TestRefusals(t *testing.T) {
	var status atomic.Uint32
	sick := resptest.New()
	sick.Answer = func(*resp.Op) (wire.Result, bool) {
		return wire.Result{Status: wire.Status(status.Load())}, false
	}
	a, b := newProxy(t, sick, resp.Options{}), newProxy(t, resptest.New(), resp.Options{})
	db := connect(t, client.Config{}, a, b)
	ctx := patient(t)
	for _, c := range []struct {
		status wire.Status
		want   error
		maybe  bool
	}{
		{wire.StatusBusy, client.ErrBusy, false}, {wire.StatusUnknown, client.ErrUnknown, true},
		{wire.StatusSessionUnknown, client.ErrSessionLost, false},
		{wire.StatusResultGone, client.ErrResultGone, true}, {wire.StatusSessionAhead, client.ErrBusy, false},
		{wire.StatusUnavailable, client.ErrUnavailable, false},
	} {
		status.Store(uint32(c.status))
		if err := db.Put(ctx, "k", nil); !errors.Is(err, c.want) || client.MayHaveHappened(err) != c.maybe {
			t.Errorf("status %d: %v, may have happened %t", c.status, err, client.MayHaveHappened(err))
		}
	}
	if err := db.Put(ctx, "k", nil); err != nil {
		t.Errorf("after an unavailable proxy: %v", err)
	}
}

// R20: a client moves to another proxy only when nothing is outstanding on the one it leaves.
func TestMovesWhenNothingIsOutstanding(t *testing.T) {
	store := newStuck()
	store.Answer = func(op *resp.Op) (wire.Result, bool) {
		return wire.Result{Status: wire.StatusUnavailable}, string(op.Item.Key) != "sick"
	}
	other := resptest.New()
	db := connect(t, client.Config{}, newProxy(t, store, resp.Options{}), newProxy(t, other, resp.Options{}))
	ctx := patient(t)
	var all sync.WaitGroup
	var first, sick, last error
	refused := make(chan struct{})
	all.Go(func() {
		defer close(refused)
		sick = db.Put(ctx, "sick", nil)
	})
	eventually(t, "one is outstanding", func() bool { return store.outstanding() == 1 })
	all.Go(func() { first = db.Put(ctx, "first", nil) })
	eventually(t, "two are outstanding", func() bool { return store.outstanding() == 2 })
	store.mu.Lock()
	refuse := store.waiting[0]
	store.waiting = store.waiting[1:]
	store.mu.Unlock()
	refuse()
	<-refused
	all.Go(func() { last = db.Put(ctx, "last", nil) })
	check := connect(t, client.Config{}, newProxy(t, other, resp.Options{}))
	for range 10 {
		if _, err := check.Get(ctx, "last"); !errors.Is(err, client.ErrNotFound) {
			t.Fatalf("moved with a write outstanding: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	store.answer()
	all.Wait()
	if !errors.Is(sick, client.ErrUnavailable) || first != nil || last != nil {
		t.Errorf("%v, %v, %v", sick, first, last)
	}
	if _, err := check.Get(ctx, "last"); err != nil {
		t.Errorf("the last write did not go to the other proxy: %v", err)
	}
}

func TestDialFails(t *testing.T) {
	guarded := newProxy(t, resptest.New(), resp.Options{Auth: resp.RequirePass("secret")})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, c := range map[string]client.Config{
		"set Config.Addresses": {},
		"connection refused":   {Addresses: []string{closed.Addr().String()}},
		"WRONGPASS":            {Addresses: []string{guarded.address}, Password: "wrong"},
		"NOAUTH":               {Addresses: []string{guarded.address}},
	} {
		if _, err := client.Dial(patient(t), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	db := connect(t, client.Config{Password: "secret", Addresses: []string{closed.Addr().String()}}, guarded)
	if err := db.Put(patient(t), "k", nil); err != nil {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	pool := x509.NewCertPool()
	pool.AddCert(certified.Certificate())
	p := newProxy(t, resptest.New(), resp.Options{TLS: &tls.Config{Certificates: certified.TLS.Certificates}})
	db := connect(t, client.Config{TLS: &tls.Config{RootCAs: pool}}, p) // 127.0.0.1 is in the certificate
	if err := db.Put(patient(t), "k", make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if e, err := db.Get(patient(t), "k"); err != nil || len(e.Value) != 1<<20 {
		t.Errorf("%d bytes, %v", len(e.Value), err)
	}
	stranger := client.Config{Addresses: []string{p.address}, TLS: &tls.Config{}}
	if _, err := client.Dial(patient(t), stranger); err == nil {
		t.Error("a proxy with an unknown certificate is believed")
	}
}

func TestClose(t *testing.T) {
	store := newStuck()
	db := connect(t, client.Config{}, newProxy(t, store, resp.Options{}))
	var put error
	done := make(chan struct{})
	go func() {
		defer close(done)
		put = db.Put(context.Background(), "a", nil)
	}()
	eventually(t, "it is outstanding", func() bool { return store.outstanding() == 1 })
	db.Close()
	db.Close()
	<-done
	if !errors.Is(put, client.ErrUnknown) || !errors.Is(put, client.ErrClosed) {
		t.Errorf("Put: %v", put)
	}
	_, err := db.Get(context.Background(), "a")
	if !errors.Is(err, client.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if err := db.PutAsync(context.Background(), "a", nil, nil); !errors.Is(err, client.ErrClosed) {
		t.Errorf("PutAsync: %v", err)
	}
}
