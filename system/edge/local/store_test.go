package local

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/edge"
)

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = 1
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(key, value string) edge.Op {
	return edge.Op{Kind: edge.Put, Key: []byte(key), Value: []byte(value), Type: "text/plain"}
}

func del(key string) edge.Op { return edge.Op{Kind: edge.Delete, Key: []byte(key)} }

func apply(t *testing.T, s *Store, ops ...edge.Op) *edge.Outcome {
	t.Helper()
	out, err := s.Apply(t.Context(), &edge.Batch{Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPutGetDelete(t *testing.T) {
	s := open(t, Config{})
	out := apply(t, s, put("a/b", "1"), put("a/b", "2"), put("c", "3"), del("c"), del("nothing"))
	want := []edge.Verdict{edge.Created, edge.Replaced, edge.Created, edge.Deleted, edge.Deleted}
	for i, r := range out.Results {
		if r.Verdict != want[i] {
			t.Errorf("operation %d: verdict %d, want %d", i, r.Verdict, want[i])
		}
	}
	e, err := s.Get(t.Context(), []byte("a/b"), edge.Read{})
	if err != nil || string(e.Value) != "2" || e.Revision != 2 || e.Type != "text/plain" {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := s.Get(t.Context(), []byte("c"), edge.Read{}); !errors.Is(err, edge.ErrNotFound) {
		t.Fatal(err)
	}
	if st := s.Status(); st.Revision != 4 || st.Keys != 1 || st.Bytes != 4 {
		t.Fatalf("%+v", st)
	}
}

// clock is a time that tests turn.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1e9+c.seconds.Load(), 0) }

func (c *clock) turn(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }
