package resp_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"metronome/system/proxy/resp"
)

// recorder keeps what is submitted and answers when told to.
type recorder struct {
	mu      sync.Mutex
	ops     []string
	waiting []func()
	pins    map[uint64]bool
}

func (r *recorder) Submit(pin uint64, ops []resp.Op, c resp.Completer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range ops {
		tag := op.Tag
		r.ops = append(r.ops, fmt.Sprintf("%d %s %t", op.Item.Op, op.Item.Key, op.Barrier))
		r.waiting = append(r.waiting, func() { c.Complete([]resp.Done{{Tag: tag}}) })
	}
	if r.pins == nil {
		r.pins = make(map[uint64]bool)
	}
	r.pins[pin] = true
}

// seen is what has been submitted since the last call, once it is n operations.
func (r *recorder) seen(t *testing.T, n int) string {
	t.Helper()
	var got []string
	eventually(t, fmt.Sprintf("%d operations are submitted", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = r.ops
		return len(got) >= n
	})
	r.mu.Lock()
	r.ops = nil
	r.mu.Unlock()
	return strings.Join(got, ", ")
}

func (r *recorder) answer() {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}

// R20 and R26: on one connection a barrier read overtakes no item before it, and no item overtakes a
// barrier read before it: reads become items, or items wait.
func TestBarrierReadsKeepProgramOrder(t *testing.T) {
	backend := &recorder{}
	address, _ := serve(t, backend, resp.Options{BarrierReads: true})
	p := connect(t, address)
	say := func(line string) { p.send(strings.ReplaceAll(line, "; ", "\r\n") + "\r\n") }
	expect := func(what string, n int, want string) {
		t.Helper()
		if got := backend.seen(t, n); got != want {
			t.Errorf("%s: %s; want %s", what, got, want)
		}
	}
	say("GET a; MGET b; SET a 1; GET a; PING")
	expect("reads at first are barrier reads, and the write waits for them", 2, "2 a true, 7  true")
	backend.answer()
	expect("the read after the write is an item", 2, "1 a false, 2 a false")
	backend.answer()
	for range 5 {
		p.reply()
	}
	say("MT.READ ITEM GET a; GET b")
	expect("reads asked for as items, and what follows them", 2, "2 a false, 2 b false")
	backend.answer()
	p.reply()
	p.reply()
	say("GET b; MT.READS ITEM; GET a")
	expect("a barrier read", 1, "2 b true")
	backend.answer()
	expect("then an item", 1, "2 a false")
	say("MT.READ BARRIER GET b")
	expect("a barrier read behind an item is an item", 1, "2 b false")
	backend.answer()
	say("MT.READ BARRIER GET b")
	expect("a barrier read alone", 1, "2 b true")
	backend.answer()
}

// R20: all that a connection submits carries its own pin.
func TestEveryConnectionHasItsPin(t *testing.T) {
	backend := &recorder{}
	address, _ := serve(t, backend, resp.Options{})
	for i := range 3 {
		p := connect(t, address)
		for range 2 {
			p.send("SET a 1\r\n")
			backend.seen(t, 1)
		}
		if len(backend.pins) != i+1 {
			t.Errorf("%d pins after %d connections", len(backend.pins), i+1)
		}
		backend.answer()
	}
}

// Commands wait unread at the bound of commands outstanding, and go on when there is room.
func TestInflightIsBounded(t *testing.T) {
	for name, l := range map[string]resp.Limits{
		"operations": {InflightOps: 10},
		"bytes":      {InflightBytes: 10 * (3 + 1 + 1000 + 3*16)},
	} {
		t.Run(name, func(t *testing.T) {
			backend := &recorder{}
			address, _ := serve(t, backend, resp.Options{Limits: l})
			p := connect(t, address)
			go p.send(strings.Repeat(array("SET", "k", strings.Repeat("v", 1000)), 95))
			for range 9 {
				if got := strings.Count(backend.seen(t, 10), "1 k false"); got != 10 {
					t.Fatalf("%d operations outstanding, want 10", got)
				}
				backend.answer()
			}
			backend.seen(t, 5)
			backend.answer()
			for range 95 {
				if got := p.reply(); got != "+OK\r\n" {
					t.Fatal(got)
				}
			}
		})
	}
}

// What the backend answers late, to a client that has left, harms nobody.
func TestAnswersAfterTheClientLeft(t *testing.T) {
	backend := &recorder{}
	address, s := serve(t, backend, resp.Options{})
	p := connect(t, address)
	p.send("SET a 1\r\nSET b 1\r\n")
	backend.seen(t, 2)
	late := backend.waiting
	_ = p.Close()
	backend.answer()
	eventually(t, "the connection is gone", func() bool { return s.Stats().Connections == 0 })
	for _, f := range late {
		f()
	}
	if got := s.Stats(); got.Buffers != 0 || got.Closed["client"]+got.Closed["broken"] != 1 {
		t.Errorf("%+v", got)
	}
}
