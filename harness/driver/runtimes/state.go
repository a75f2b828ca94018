package runtimes

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/driver/runtimes/workload"
)

// work names a workload of the session.
type work struct{ n, value int }

// state is a workload's file, and what the edge holds of it.
type state struct {
	work
	path   string
	prefix string
	full   bool // all keys are there; else none
	loaded *workload.Workload
}

// workload makes the file, once, and has its keys and values in memory, of one workload at a time.
func (s *session) workload(w work) (*state, error) {
	st := s.made[w]
	if st == nil {
		name := fmt.Sprintf("n%d-v%d", w.n, w.value)
		st = &state{work: w, path: filepath.Join(s.dir, name+".workload"), prefix: name + "/"}
	}
	if st.loaded == nil {
		if s.newest != nil {
			s.newest.loaded = nil
		}
		var err error
		spec := workload.Spec{Seed: s.seed, Prefix: st.prefix, N: w.n, Value: w.value}
		if st.loaded, err = workload.New(spec); err != nil {
			return nil, err
		}
		s.newest = st
	}
	if s.made[w] == nil {
		if err := st.loaded.WriteFile(st.path); err != nil {
			return nil, err
		}
		s.made[w] = st
	}
	return st, nil
}

// prepare brings the edge into the state that a verb starts from: a write from none of the keys, the others
// from all. It asks the edge something in any case, so that the edge knows the password.
func (s *session) prepare(ctx context.Context, st *state, verb string) error {
	if full := verb != "write"; st.full != full {
		if err := s.put(ctx, st, full); err != nil {
			return err
		}
	}
	return s.edge.List(ctx, "no key begins so", func(edgeproc.Entry) {})
}

// put writes all keys, or deletes them.
func (s *session) put(ctx context.Context, st *state, full bool) error {
	ops := make([]edgeproc.Op, len(st.loaded.Keys))
	for i, key := range st.loaded.Keys {
		ops[i] = edgeproc.Op{Key: key, Delete: !full}
		if full {
			ops[i].Value = st.loaded.Value(i)
		}
	}
	if err := s.edge.Batch(ctx, ops); err != nil {
		return err
	}
	st.full = full
	return nil
}

// after notes what a verb has made of the keys, and looks whether it did.
func (s *session) after(ctx context.Context, st *state, verb string) error {
	if verb == "read" {
		return nil // its checksum says what it read
	}
	st.full = verb == "write"
	return s.verify(ctx, st, st.full)
}

// verify compares what the edge holds with what it should.
func (s *session) verify(ctx context.Context, st *state, full bool) error {
	want := map[string][]byte{}
	if full {
		for i, key := range st.loaded.Keys {
			want[key] = st.loaded.Value(i)
		}
	}
	wrong, found := 0, 0
	err := s.edge.List(ctx, st.prefix, func(e edgeproc.Entry) {
		found++
		if value, ok := want[e.Key]; !ok || !bytes.Equal(value, e.Value) {
			wrong++
		}
	})
	if err == nil && (wrong > 0 || found != len(want)) {
		err = fmt.Errorf("the edge holds %d keys, of which %d are wrong, not %d: the client did other work "+
			"than it said", found, wrong, len(want))
	}
	return err
}
