package queue

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// op reads "put a", "del a", "bar", "cas a" (conditional), "put! a" (awaited).
func (w *world) op(text string) {
	verb, key, _ := strings.Cut(text, " ")
	op := Op{Kind: KindPut, Key: []byte(key), Value: []byte("v")}
	switch verb {
	case "del":
		op.Kind, op.Value = KindDelete, nil
	case "bar":
		op = Op{Kind: KindBarrier}
	case "cas":
		op.Cond = IfPresent
	}
	record := AppendOp(nil, &op)
	op.Number = w.log.append(record)
	w.core.Enqueue(w.now, &op, len(record))
	if strings.HasSuffix(verb, "!") {
		w.core.Await(w.now, op.Number, Edge)
	}
}

// The written rules, one by one: which of these operations are in the request.
func TestSkipping(t *testing.T) {
	for _, c := range []struct{ rule, ops, sent string }{
		{"the later stays at its own place", "put a,put b,put a", "2 3"},
		{"put then delete keeps the delete", "put a,del a", "2"},
		{"delete then put keeps the put", "del a,put a", "2"},
		{"never across a barrier", "put a,bar,put a", "1 3"},
		{"never across a conditional one", "put a,cas a,put a", "1 2 3"},
		{"a conditional one is never removed", "cas a,put a,put a", "1 3"},
		{"a conditional one on another key is no hindrance", "put a,cas b,put a", "2 3"},
		{"never an awaited one", "put! a,put a", "1 2"},
		{"an awaited one may displace", "put a,put! a", "2"},
		{"never under history", "put h/a,put h/a", "1 2"},
		{"three in a row", "put a,put a,put a", "3"},
	} {
		w := newWorld(t, 1)
		w.cfg.Ops = 100
		w.core.limit = 100
		for op := range strings.SplitSeq(c.ops, ",") {
			w.op(op)
		}
		w.sync()
		b, err := w.core.plan().Build(w.log, &w.cfg.Rules)
		if err != nil {
			t.Fatal(err)
		}
		var sent []string
		for i := range b.Ops {
			sent = append(sent, fmt.Sprint(b.Ops[i].Number))
		}
		if got := strings.Join(sent, " "); got != c.sent {
			t.Errorf("%s: of %q %s are sent, want %s", c.rule, c.ops, got, c.sent)
		}
		if b.Raw != b.Skipped+len(b.Ops) || b.Last != w.core.last {
			t.Errorf("%s: %d operations, %d skipped, %d sent, up to %d", c.rule, b.Raw, b.Skipped, len(b.Ops), b.Last)
		}
	}
}

func TestNoSkippingWhenSwitchedOff(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.Rules = Rules{SendAll: true}
	w.core.limit = 100
	for range 5 {
		w.op("put a")
	}
	w.sync()
	if b, err := w.core.plan().Build(w.log, &w.cfg.Rules); err != nil || len(b.Ops) != 5 {
		t.Fatalf("%d sent of 5, %v", len(b.Ops), err)
	}
}

// Requests are bounded by operations, bytes and how far a plan looks.
func TestRequestsAreBounded(t *testing.T) {
	w := newWorld(t, 1)
	w.core.limit, w.core.cfg.Bytes = 256, 1<<20
	for i := range scanRecords + 10 {
		w.op(fmt.Sprint("put ", i%3))
	}
	w.sync()
	b, err := w.core.plan().Build(w.log, &w.cfg.Rules)
	if err != nil || b.Last != scanRecords || len(b.Ops) != 3 {
		t.Fatalf("up to %d with %d operations, %v", b.Last, len(b.Ops), err)
	}
	w = newWorld(t, 1)
	w.cfg.Bytes, w.core.limit = 1000, 256
	w.core.cfg.Bytes = 1000
	for i := range 100 {
		w.op(fmt.Sprint("put ", i))
	}
	w.sync()
	b, err = w.core.plan().Build(w.log, &w.cfg.Rules)
	if n := 1000 / (requestOverhead + 3); err != nil || len(b.Ops) > n+1 || len(b.Ops) < n-1 {
		t.Fatalf("%d operations in 1000 bytes, want about %d, %v", len(b.Ops), n, err)
	}
}

// The index finds the newest of every key, whatever the size of the backlog, and forgets what is
// trimmed.
func TestIndexIsAMap(t *testing.T) {
	x := NewIndex(7)
	rng := rand.New(rand.NewPCG(1, 1))
	truth := map[string]uint64{}
	const n = 4 * tableKeys
	for number := uint64(1); number <= n; number++ {
		key := fmt.Sprint(rng.IntN(3 * tableKeys))
		x.Add(x.Hash([]byte(key)), number)
		truth[key] = number
	}
	wrong := 0
	for key, number := range truth {
		found := false
		x.Find(x.Hash([]byte(key)), func(from, to uint64) bool {
			if found = from <= number && number <= to; !found {
				wrong++
			}
			return found
		})
		if !found {
			t.Fatalf("%s at %d is not found", key, number)
		}
	}
	if limit := len(truth) / 2; wrong > limit {
		t.Errorf("%d stretches looked at for nothing, for %d keys", wrong, len(truth))
	}
	x.Trim(n + 1)
	x.Find(x.Hash([]byte("1")), func(from, to uint64) bool {
		t.Fatal("found after all was trimmed")
		return true
	})
}

// Beyond its bound the index unites neighbours and still finds everything.
func TestIndexIsBounded(t *testing.T) {
	x := NewIndex(7)
	for number := uint64(1); len(x.old) < maxStretches; number++ {
		x.old = append(x.old, stretch{from: number, to: number, filter: make([]uint64, filterWords)})
		x.old[number-1].add(number << 32)
	}
	x.Add(1, maxStretches+1)
	x.seal()
	if len(x.old) != maxStretches/2+1 {
		t.Fatalf("%d stretches", len(x.old))
	}
	for number := uint64(1); number <= maxStretches; number++ {
		found := false
		x.Find(number<<32, func(from, to uint64) bool { found = from <= number && number <= to; return found })
		if !found {
			t.Fatalf("%d is lost", number)
		}
	}
}

func TestEnqueueAllocatesNothing(t *testing.T) {
	w := newWorld(t, 1)
	op := Op{Kind: KindPut, Key: []byte("key"), Value: []byte("value")}
	var record []byte
	if n := testing.AllocsPerRun(500, func() {
		op.Number++
		record = AppendOp(record[:0], &op)
		w.core.Enqueue(0, &op, len(record))
	}); n > 0 {
		t.Fatalf("%v allocations an operation", n)
	}
}

// Full jitter: every wait is below the doubling bound, and not below what the edge asked for.
func TestRetryIsJittered(t *testing.T) {
	r := retry{least: 100, most: 10000, state: 3}
	seen := map[int64]bool{}
	for i := range 100 {
		bound := int64(10000)
		if i < 7 {
			bound = min(bound, 100<<i)
		}
		d := r.fail(50)
		if d <= 50 || d > 50+bound {
			t.Fatalf("try %d waits %d, bound %d", i, d, bound)
		}
		seen[d] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different waits of 100", len(seen))
	}
}

// Under LatestOnly an operation is skipped on account of one in a later request, too, by the same
// rules, and only once that one is durable.
func TestSkippingAcrossRequests(t *testing.T) {
	for _, c := range []struct{ rule, durable, more, first string }{
		{"the newest alone", "put l/a,put x,put l/a", "", "2"},
		{"not on account of what is not durable", "put l/a,put x", "put l/a", "1"},
		{"never across a barrier", "put l/a,put x,bar,put l/a", "", "1"},
		{"never across a conditional one", "put l/a,put x,cas l/a,put l/a", "", "1"},
		{"never an awaited one", "put! l/a,put x,put l/a", "", "1"},
		{"elsewhere within a request only", "put a,put x,put a", "", "1"},
	} {
		w := newWorld(t, 1)
		w.core.limit = 1
		for op := range strings.SplitSeq(c.durable, ",") {
			w.op(op)
		}
		w.sync()
		if c.more != "" {
			w.op(c.more)
		}
		b, err := w.core.plan().Build(w.log, &w.cfg.Rules)
		if err != nil || len(b.Ops) != 1 || fmt.Sprint(b.Ops[0].Number) != c.first {
			t.Errorf("%s: the first request of %q holds %+v, want %s (%v)", c.rule, c.durable, b.Ops, c.first, err)
		}
	}
}

// countedLog counts how often it is opened.
type countedLog struct {
	Log
	reads int
}

func (l *countedLog) Read(from uint64, visit func(uint64, []byte) bool) error {
	l.reads++
	return l.Log.Read(from, visit)
}

// To skip a thousand operations under LatestOnly the log is opened once a key, not once an operation.
func TestSkippingReadsTheLogOnceAKey(t *testing.T) {
	w := newWorld(t, 1)
	counted := &countedLog{Log: w.log}
	w.core.log = counted
	w.core.limit = 1
	for i := range 1000 {
		w.op(fmt.Sprintf("put l/%d", i%10))
	}
	w.op("put x")
	for i := range 10 {
		w.op(fmt.Sprintf("put l/%d", i))
	}
	w.sync()
	counted.reads = 0
	b, err := w.core.plan().Build(w.log, &w.cfg.Rules)
	if err != nil || b.Skipped != 1000 || len(b.Ops) != 1 || string(b.Ops[0].Key) != "x" {
		t.Fatalf("%d skipped, sent %+v, %v", b.Skipped, b.Ops, err)
	}
	if counted.reads > 10 {
		t.Fatalf("the log was opened %d times for 10 keys", counted.reads)
	}
}

// What is remembered of keys is bounded, and forgetting costs time only.
func TestWhatIsRememberedOfKeysIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	w.core.provenSize = maxProven - 3*(provenBytes+len("l/0"))
	w.core.limit = 1
	for range 2 {
		for i := range 8 {
			w.op(fmt.Sprintf("put l/%d", i))
		}
	}
	w.sync()
	b, err := w.core.plan().Build(w.log, &w.cfg.Rules)
	if err != nil || b.Skipped != 8 || w.core.provenSize > maxProven || len(w.core.proven) > 5 {
		t.Fatalf("%d skipped, %d keys remembered, %d bytes, %v", b.Skipped, len(w.core.proven),
			w.core.provenSize, err)
	}
}
