package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestLoadsOutOfBoundsAreRefused(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*Load){
		"keys":         func(l *Load) { l.Keys = 0 },
		"key_bytes":    func(l *Load) { l.KeyBytes = 7 },
		"value_bytes":  func(l *Load) { l.ValueBytes = MaxValueBytes + 1 },
		"read_ratio":   func(l *Load) { l.ReadRatio = math.NaN() },
		"distribution": func(l *Load) { l.Distribution = "pareto" },
		"theta":        func(l *Load) { l.Distribution, l.Theta = Zipf, 1 },
		"rate_ops":     func(l *Load) { l.RateOPS = math.Inf(1) },
		"arrivals":     func(l *Load) { l.Arrivals = "" },
		"connections":  func(l *Load) { l.Connections = MaxConnections + 1 },
		"outstanding":  func(l *Load) { l.Outstanding = 0 },
		"batch":        func(l *Load) { l.Batch = MaxBatch + 1 },
		"may hold":     func(l *Load) { l.Connections, l.Outstanding, l.Batch = 256, 1<<16, 4096 },
		"window_ns":    func(l *Load) { l.WindowNS = 0 },
		"intervals":    func(l *Load) { l.IntervalNS = 1 },
		"at most":      func(l *Load) { l.RateOPS = 1e9 },
	}
	for what, change := range cases {
		l := Default()
		change(&l)
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func TestKeysAreNumbers(t *testing.T) {
	key := make([]byte, 16)
	seen := map[string]bool{}
	for _, i := range []uint64{0, 1, 0xbeef, MaxKeys - 1} {
		PutKey(key, i)
		seen[string(key)] = true
	}
	if !seen["000000000000beef"] || len(seen) != 4 {
		t.Errorf("keys %v", seen)
	}
}

// drawn counts the keys of n operations.
func drawn(w Workload, n int) (counts map[string]int, reads int) {
	var z *zipf
	if w.Distribution == Zipf {
		z = newZipf(w.Keys, w.Theta)
	}
	s := newSource(w, z, 7, 0)
	op := Op{Key: make([]byte, w.KeyBytes), Value: make([]byte, w.ValueBytes)}
	counts = map[string]int{}
	for range n {
		s.draw(&op)
		counts[string(op.Key)]++
		if op.Read {
			reads++
		}
	}
	return counts, reads
}

func TestUniformKeys(t *testing.T) {
	w := Default().Workload
	w.Keys, w.ReadRatio = 100, 0.25
	counts, reads := drawn(w, 100_000)
	if len(counts) != 100 {
		t.Errorf("%d keys", len(counts))
	}
	for key, n := range counts {
		if n < 800 || n > 1200 { // 6 standard deviations
			t.Errorf("key %s was drawn %d times of 100000", key, n)
		}
	}
	near(t, "reads", int64(reads), 25_000, 0.05)
}

// The r-th most frequent key's share is about 1/(r^theta zeta(n)).
func TestZipfKeys(t *testing.T) {
	const n = 400_000
	z := newZipf(1000, 0.99)
	counts := make([]float64, 1000)
	s := newSource(Workload{Keys: 1000}, nil, 3, 0)
	for range n {
		counts[z.rank(s.random.Float64())]++
	}
	for _, r := range []int{1, 2, 10, 100} {
		want := n / math.Pow(float64(r), 0.99) / z.zeta
		near(t, "the frequency of a rank", counts[r-1], want, 0.25)
	}
	if last := z.rank(math.Nextafter(1, 0)); last > 999 {
		t.Errorf("rank %d of 1000", last)
	}
	w := Default().Workload
	w.Keys, w.Distribution = 1000, Zipf
	got, _ := drawn(w, n)
	most := 0
	for _, c := range got {
		most = max(most, c)
	}
	near(t, "the hottest key's share", float64(most), n/z.zeta, 0.2)
}

func TestZipfOfFewKeys(t *testing.T) {
	for n := 1; n <= 3; n++ {
		z := newZipf(n, 0.99)
		for u := 0.0; u < 1; u += 0.001 {
			if r := z.rank(u); r >= uint64(n) {
				t.Fatalf("rank %d of %d at u=%g", r, n, u)
			}
		}
	}
}

func TestTheSameSeedDrawsTheSame(t *testing.T) {
	draw := func(seed uint64, connection int) (all []byte) {
		w := Default().Workload
		s := newSource(w, nil, seed, connection)
		op := Op{Key: make([]byte, 16), Value: make([]byte, 64)}
		for range 100 {
			s.draw(&op)
			all = append(append(all, op.Key...), op.Value...)
		}
		return all
	}
	if !bytes.Equal(draw(1, 0), draw(1, 0)) {
		t.Error("not replayable")
	}
	if bytes.Equal(draw(1, 0), draw(2, 0)) || bytes.Equal(draw(1, 0), draw(1, 1)) {
		t.Error("seed or connection makes no difference")
	}
}

func TestPoissonGapsVaryAsTheyShould(t *testing.T) {
	s := newSchedule(Load{RateOPS: 1e6, Arrivals: Poisson, Connections: 1, Seed: 5}, 0, 1000)
	var sum, squares, n float64
	for last := int64(1000); n < 100_000; n++ {
		gap := float64(s.due(0) - last)
		last = s.due(0)
		sum, squares = sum+gap, squares+gap*gap
		s.advance()
	}
	mean := sum / n
	near(t, "mean", mean, 1000, 0.02)
	near(t, "standard deviation", math.Sqrt(squares/n-mean*mean), 1000, 0.02)
}

func TestConstantGapsDoNotDrift(t *testing.T) {
	const start = int64(3e15) // a month after boot
	s := newSchedule(Load{RateOPS: 3e6, Arrivals: Constant, Connections: 7}, 6, start)
	for range 1_000_000 {
		s.advance()
	}
	want := float64(start) + (6+7e6)*1e9/3e6
	if d := math.Abs(float64(s.due(0)) - want); d > 2 {
		t.Errorf("off by %g ns after a million", d)
	}
}

// nowhere answers at once.
type nowhere struct{}

func (nowhere) Send(b *Batch) { b.Done(len(b.Ops), nil) }
func (nowhere) Close() error  { return nil }

func TestTheHotPathAllocatesNothing(t *testing.T) {
	l := small(func(l *Load) { l.Batch, l.Outstanding, l.ReadRatio = 64, 4, 0.3 })
	at := int64(0)
	w := newWorker(t.Context(), l, 0, nowhere{}, newZipf(l.Keys, 0.9), func() int64 { at += 100; return at })
	w.end = math.MaxInt64
	w.schedule = newSchedule(l, 0, 0)
	w.record = newRecorder(0, math.MaxInt64, newSeries(0, 1e9, 10))
	if n := testing.AllocsPerRun(1000, func() {
		b := w.take(w.end)
		w.fill(b)
		w.send(b)
	}); n != 0 {
		t.Errorf("%g allocations a batch", n)
	}
}

func BenchmarkWorker(b *testing.B) {
	l := small(func(l *Load) { l.Batch, l.Outstanding, l.Keys = 64, 4, 1_000_000 })
	at := int64(0)
	w := newWorker(b.Context(), l, 0, nowhere{}, nil, func() int64 { at += 100; return at })
	w.end = math.MaxInt64
	w.schedule = newSchedule(l, 0, 0)
	w.record = newRecorder(0, math.MaxInt64, newSeries(0, 1e9, 10))
	for range b.N {
		x := w.take(w.end)
		w.fill(x)
		w.send(x)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/operation")
}

func TestServe(t *testing.T) {
	var asked []Load
	run := func(_ context.Context, l Load) (*Result, error) {
		asked = append(asked, l)
		if l.RateOPS > 100 {
			return nil, errors.New("too fast")
		}
		return &Result{Load: l, AchievedOPS: l.RateOPS}, nil
	}
	in := strings.NewReader(`{"cmd":"run","load":{"rate_ops":50}}
{"cmd":"run","load":{"batch":9,"rate_ops":200}}
{"cmd":"run"}
`)
	var out bytes.Buffer
	err := Serve(t.Context(), in, &out, map[string]string{"event": "ready"}, Default(), run)
	if err == nil || len(asked) != 2 || asked[0].Keys != Default().Keys || asked[1].Batch != 9 {
		t.Errorf("error %v, loads %+v", err, asked)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || lines[0] != `{"event":"ready"}` {
		t.Fatalf("said %q", lines)
	}
	var done Done
	if err := json.Unmarshal([]byte(lines[1]), &done); err != nil || done.Event != "done" ||
		done.AchievedOPS != 50 {
		t.Errorf("said %s", lines[1])
	}
	if lines[2] != `{"event":"done","error":"too fast"}` {
		t.Errorf("said %s", lines[2])
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	in, hold := io.Pipe() // nothing ever comes
	defer hold.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, in, &bytes.Buffer{}, nil, Default(), nil); err != nil {
		t.Error(err)
	}
}

func TestServeRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{"{", `{"cmd":"walk"}`} {
		if err := Serve(t.Context(), strings.NewReader(line), &bytes.Buffer{}, nil, Default(), nil); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
	if err := Serve(t.Context(), strings.NewReader(`{"cmd":"stop"}`+"\n{"), &bytes.Buffer{}, nil, Default(),
		nil); err != nil {
		t.Errorf("stop: %v", err)
	}
}
