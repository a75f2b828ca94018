package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"metronome/system/edge"
)

// model is what the store should hold: revisions by key, and one session's mark.
type model struct {
	values    map[string]string
	revisions map[string]uint64
	revision  uint64
	mark      uint64
	refused   map[uint64]edge.Verdict
}

func newModel() *model {
	return &model{values: map[string]string{}, revisions: map[string]uint64{},
		refused: map[uint64]edge.Verdict{}}
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.values), maps.Clone(m.revisions), m.revision, m.mark, maps.Clone(m.refused)}
}

// apply executes a batch, and returns the verdicts or that it is refused.
func (m *model) apply(b *edge.Batch) (verdicts []edge.Verdict, refused bool) {
	was := m.clone()
	before := m.revision
	for i := range b.Ops {
		op := &b.Ops[i]
		key := string(op.Key)
		if b.Sender != nil && op.Seq <= was.mark {
			v := edge.Taken
			if r, ok := m.refused[op.Seq]; ok {
				v = r
			}
			verdicts = append(verdicts, v)
			continue
		}
		v := op.Decide(m.revisions[key])
		if v != 0 {
			refused = true
			m.refused[op.Seq] = v
			verdicts = append(verdicts, v)
			continue
		}
		_, there := m.values[key]
		switch op.Kind {
		case edge.Delete:
			if v = edge.Deleted; there {
				m.revision++
			}
			delete(m.values, key)
			delete(m.revisions, key)
		default:
			if v = edge.Created; there {
				v = edge.Replaced
			}
			m.revision++
			m.values[key], m.revisions[key] = string(op.Value), m.revision
		}
		verdicts = append(verdicts, v)
	}
	if b.Atomic && refused {
		*m = *was
		return verdicts, true
	}
	if b.Sender != nil && b.Sender.Last > m.mark {
		m.mark = b.Sender.Last
		if m.revision == before {
			m.revision++
		}
	}
	return verdicts, false
}

// check compares everything.
func (m *model) check(t *testing.T, s *Store) {
	t.Helper()
	page, err := s.List(context.Background(), edge.Listing{Limit: edge.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range page.Items {
		got[string(e.Key)] = string(e.Value)
		if m.revisions[string(e.Key)] != e.Revision {
			t.Fatalf("key %s has revision %d, want %d", e.Key, e.Revision, m.revisions[string(e.Key)])
		}
	}
	if !maps.Equal(got, m.values) {
		t.Fatalf("holds %v, want %v", got, m.values)
	}
	if st := s.Status(); st.Revision != m.revision || st.Keys != uint64(len(m.values)) {
		t.Fatalf("status %+v, want revision %d, %d keys", st, m.revision, len(m.values))
	}
	if m.mark > 0 {
		state, err := s.Session(context.Background(), "lamp", "q")
		if err != nil || state.Mark != m.mark {
			t.Fatalf("session %+v, %v, want mark %d", state, err, m.mark)
		}
	}
}

func randomCondition(rng *rand.Rand, m *model, key string) (c edge.Condition) {
	switch rng.IntN(3) {
	case 0:
		c.Any = true
	case 1:
		c.Revisions = []uint64{1 + rng.Uint64N(10)}
	default:
		if r := m.revisions[key]; r > 0 {
			c.Revisions = []uint64{r}
		}
	}
	return c
}

func randomBatch(rng *rand.Rand, m *model) *edge.Batch {
	b := &edge.Batch{Atomic: rng.IntN(2) == 0}
	seq := uint64(0)
	if rng.IntN(4) > 0 {
		prev := m.mark - rng.Uint64N(min(m.mark, 5)+1)
		b.Sender = &edge.Sender{Client: "lamp", Session: "q", Epoch: 1, Prev: prev, Last: prev,
			Digest: rng.Uint64()}
		seq = prev
	}
	for range 1 + rng.IntN(8) {
		op := edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "k%d", rng.IntN(12)),
			Value: fmt.Append(nil, rng.Uint32())}
		if rng.IntN(3) == 0 {
			op.Kind, op.Value = edge.Delete, nil
		}
		if rng.IntN(4) == 0 {
			op.IfMatch = randomCondition(rng, m, string(op.Key))
		}
		if rng.IntN(6) == 0 {
			op.IfNoneMatch = randomCondition(rng, m, string(op.Key))
		}
		if b.Sender != nil {
			seq += 1 + rng.Uint64N(2)
			op.Seq, b.Sender.Last = seq, seq
		}
		b.Ops = append(b.Ops, op)
	}
	return b
}

func TestTheStoreIsTheModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewMem()
			cfg := Config{Dir: "d", FS: fs, LogBytes: 4 << 10, MinFree: 1}
			s, m := open(t, cfg), newModel()
			for range 150 {
				b := randomBatch(rng, m)
				verdicts, refused := m.apply(b)
				out, err := s.Apply(t.Context(), b)
				var e *edge.RefusedError
				switch {
				case errors.Is(err, edge.ErrReused) && b.Sender != nil && b.Sender.Last <= m.mark:
					continue
				case refused != errors.As(err, &e) || !refused && err != nil:
					t.Fatalf("%v, want refused=%v", err, refused)
				case refused:
					out = &edge.Outcome{Results: e.Results}
				}
				for i, r := range out.Results {
					if r.Verdict != verdicts[i] && !r.Duplicate {
						t.Fatalf("operation %d: verdict %d, want %d", i, r.Verdict, verdicts[i])
					}
				}
				if rng.IntN(10) == 0 {
					m.check(t, s)
				}
				if rng.IntN(40) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, cfg)
				}
			}
			m.check(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func keysOf(p *edge.Page) string {
	var all []string
	for _, e := range p.Items {
		all = append(all, string(e.Key))
	}
	for _, k := range p.Prefixes {
		all = append(all, string(k)+"*")
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
