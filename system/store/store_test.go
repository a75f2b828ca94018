package store

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"metronome/system/wire"
)

func newStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small makes every bound near enough to be met.
func small(parts int) Config {
	return Config{Slots: 64, Parts: parts, MaxSessions: 5, SessionWindow: 16, MaxResultBytes: 600,
		SessionTTL: 30, MaxReplyBytes: 3000, Seed: 5}
}

// parallel applies a batch with all parts at once.
func parallel(s *Store, b *Batch) []Answer {
	s.Prepare(b)
	var wg sync.WaitGroup
	for i := range s.parts {
		wg.Go(func() { s.Execute(i) })
	}
	wg.Wait()
	return s.Finish()
}

func same(a, b *wire.Result) bool {
	return a.Status == b.Status && a.Existed == b.Existed && a.More == b.More && a.Revision == b.Revision &&
		a.Number == b.Number && bytes.Equal(a.Value, b.Value)
}

// Goal: the store does what the model does, whatever the number of parts and wherever batches end, and
// a store restored from a snapshot taken in the middle goes on as if nothing had happened. Method: the
// same random items for the model and for stores that differ in all that must not matter; after every
// batch answers and hashes are compared. A failure's name is its seed: go test -run 'Model/seed=N$'.
func TestStoreIsTheModel(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	w := newWorkload(seed)
	m := newModel(small(1))
	var stores []*Store
	for _, parts := range []int{1, 2, 3, 8} {
		stores = append(stores, newStore(t, small(parts)))
	}
	snaps := make([]*Snapshot, len(stores))
	apart := newStore(t, small(1)) // every span a batch of its own
	now := uint64(1)
	for batch := range 60 {
		now += w.rng.Uint64N(3)
		if w.chance(20) {
			now += w.rng.Uint64N(60)
		}
		b := Batch{Index: m.index + 1, Time: now}
		if w.chance(15) {
			b.ExpireBefore = now - min(now, w.rng.Uint64N(10))
		}
		items := make([]wire.Item, 1+w.rng.IntN(120))
		for i := range items {
			items[i] = w.item(t)
		}
		b.Spans = w.spans(t, items)
		want := m.batch(t, w, &b, items)
		for i, s := range stores {
			got := parallel(s, &b)
			if i == 0 {
				got = append([]Answer(nil), got...)
			}
			compare(t, fmt.Sprintf("batch %d, %d parts", batch, len(s.parts)), items, b.Index, got, want)
			if s.Hash() != stores[0].Hash() || s.Len() != len(m.keys) || s.Index() != m.index {
				t.Fatalf("batch %d, %d parts: hash %x, want %x; %d keys, want %d", batch, len(s.parts),
					s.Hash(), stores[0].Hash(), s.Len(), len(m.keys))
			}
		}
		for _, sp := range b.Spans {
			one := b
			one.Index, one.Spans = apart.Index()+1, []Span{sp}
			apart.Apply(&one)
		}
		if apart.Hash() != stores[0].Hash() {
			t.Fatalf("batch %d: the division into batches changes the state", batch)
		}
		stepSnapshots(t, w, stores, snaps)
		verify(t, stores[batch%len(stores)])
	}
}

// batch is what the model answers.
func (m *model) batch(t *testing.T, w *workload, b *Batch, items []wire.Item) (want []Answer) {
	t.Helper()
	m.begin(b.Time, b.ExpireBefore)
	i := 0
	for n, sp := range b.Spans {
		for k := 0; k < count(sp.Payloads); k++ {
			r, answered := m.apply(&items[i], sp.Answer)
			if answered {
				want = append(want, Answer{Span: n, Number: sp.First + uint64(k), Index: m.index, Result: r})
			}
			w.learn(&items[i], &r)
			i++
		}
	}
	if i != len(items) {
		t.Fatalf("%d items packed, %d found", len(items), i)
	}
	return want
}

func count(payloads [][]byte) (n int) {
	for _, b := range payloads {
		for len(b) > 0 {
			var it wire.Item
			k, _ := wire.DecodeItem(b, &it)
			if it.Completes() {
				n++
			}
			b = b[k:]
		}
	}
	return n
}

func compare(t *testing.T, what string, items []wire.Item, first uint64, got, want []Answer) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		g, w := &got[i], &want[i]
		if g.Span != w.Span || g.Number != w.Number || g.Index != w.Index || !same(&g.Result, &w.Result) {
			t.Fatalf("%s, answer %d to %.300s:\n%s, want\n%s", what, i, fmt.Sprintf("%+v", items[w.Index-first]),
				show(g), show(w))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d answers, want %d", what, len(got), len(want))
	}
}

func show(a *Answer) string {
	r := a.Result
	r.Value = nil
	return fmt.Sprintf("span %d, number %d, index %d: %+v, %d bytes: %.300q", a.Span, a.Number, a.Index, r,
		len(a.Result.Value), a.Result.Value)
}

// stepSnapshots takes snapshots at the same indexes everywhere, at a different pace at each store, and
// now and then replaces all stores by restored ones.
func stepSnapshots(t *testing.T, w *workload, stores []*Store, snaps []*Snapshot) {
	t.Helper()
	if snaps[0] == nil {
		if w.chance(4) {
			for i, s := range stores {
				snaps[i] = s.Capture()
			}
		}
		return
	}
	done := true
	for i, sn := range snaps {
		sn.Step(1 + w.rng.IntN(3000*(i+1)))
		done = done && sn.Done()
	}
	if !done {
		if w.chance(30) {
			for i, sn := range snaps {
				sn.Release()
				snaps[i] = nil
			}
		}
		return
	}
	streams := make([][]byte, len(snaps))
	for i, sn := range snaps {
		streams[i] = stream(w, sn)
		if !bytes.Equal(streams[i], streams[0]) {
			t.Fatalf("%d parts: the snapshot at %d differs", len(stores[i].parts), sn.Index())
		}
		sn.Release()
		snaps[i] = nil
	}
	for i, s := range stores {
		restored, err := Restore(s.cfg, cutUp(w, streams[i]))
		if err != nil {
			t.Fatal(err)
		}
		verify(t, restored)
		if restored.Index() == s.Index() {
			if restored.Hash() != s.Hash() {
				t.Fatal("restored to another hash")
			}
			stores[i] = restored
		}
	}
}

func stream(w *workload, sn *Snapshot) (b []byte) {
	for len(b) < sn.Size() {
		b = append(b, sn.Read(len(b), 1+w.rng.IntN(2000))...)
	}
	return b
}

func cutUp(w *workload, b []byte) (parts [][]byte) {
	for len(b) > 0 {
		n := min(len(b), w.rng.IntN(5000))
		parts = append(parts, b[:n])
		b = b[n:]
	}
	return parts
}

// verify checks what is kept incrementally against what a full look finds.
func verify(t testing.TB, s *Store) {
	t.Helper()
	for i := range s.parts {
		p := &s.parts[i]
		keys, live, bigs, sum := 0, 0, 0, uint64(0)
		for n := range p.slots {
			sl := &p.slots[n]
			count := 0
			for _, e := range sl.table {
				if e == 0 {
					continue
				}
				count++
				rec := p.at(ref(e & refMask))
				hash := p.hashOf(keyOf(rec))
				if p.slotNumber(hash) != n+p.first || metaOf(rec)&flagDead != 0 {
					t.Fatalf("part %d: a key in the wrong slot, or dead", i)
				}
				if _, r, ok := p.find(sl, hash, keyOf(rec)); !ok || r != ref(e&refMask) {
					t.Fatalf("part %d: a key that cannot be found", i)
				}
				live += metaOf(rec).capacity()
				bigs += int(metaOf(rec) >> 62 & 1)
				sum += p.termOf(hash, rec)
			}
			if count != int(sl.count) {
				t.Fatalf("part %d, slot %d: %d entries, count says %d", i, n, count, sl.count)
			}
			keys += count
		}
		if p.snap == nil {
			verifyArena(t, p, bigs)
		}
		if p.snap == nil && live != p.living || keys != p.keys || sum != p.sum {
			t.Fatalf("part %d: %d bytes live of %d, %d keys of %d, sum %x of %x", i, live, p.living, keys,
				p.keys, sum, p.sum)
		}
	}
	verifySessions(t, s)
}

// verifyArena checks a part's memory: large values are held once each, and no chunk is free twice.
func verifyArena(t testing.TB, p *part, bigs int) {
	t.Helper()
	held, bytes := 0, 0
	for _, b := range p.bigs {
		if b != nil {
			held++
			bytes += cap(b)
		}
	}
	if held != bigs || len(p.freeBigs) != len(p.bigs)-bigs || bytes != p.bigBytes {
		t.Fatalf("%d large values of %d bytes held, %d and %d known of", held, bytes, bigs, p.bigBytes)
	}
	free := slices.Sorted(slices.Values(p.empty))
	if len(slices.Compact(free)) != len(p.empty) || slices.Contains(p.empty, p.current) {
		t.Fatalf("chunks %v are free, %d is in use", p.empty, p.current)
	}
	used := 0
	for c := 1; c < len(p.fill); c++ {
		used += int(p.fill[c])
		if free := slices.Contains(p.empty, uint32(c)); free && p.fill[c] > 0 || !free && p.chunks[c] == nil {
			t.Fatalf("chunk %d: free %v, %d bytes used", c, free, p.fill[c])
		}
	}
	if used != p.used {
		t.Fatalf("%d bytes used, %d known of", used, p.used)
	}
}

func verifySessions(t testing.TB, s *Store) {
	t.Helper()
	n, sum := 0, uint64(0)
	for at := s.table.oldest; at != nil; at = at.newer {
		n++
		sum += at.head + at.sum
		bytes, terms := 0, uint64(0)
		for i := range at.results.items {
			if e := &at.results.items[i]; e.number != 0 {
				bytes += len(e.result.Value)
				terms += e.term(at.id)
				if !at.has(e.number) {
					t.Fatalf("session %d: a result of a number never executed", at.id)
				}
			}
		}
		if bytes != at.bytes || bytes > s.cfg.MaxResultBytes || terms != at.sum {
			t.Fatalf("session %d: %d bytes of %d, sum %x of %x", at.id, bytes, at.bytes, terms, at.sum)
		}
	}
	if n != len(s.table.byID) || sum != s.table.sum {
		t.Fatalf("%d sessions of %d, sum %x of %x", n, len(s.table.byID), sum, s.table.sum)
	}
}
