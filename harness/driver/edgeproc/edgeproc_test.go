package edgeproc

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"metronome/harness/driver/edgeproc/edgeproctest"
)

// TestMain makes this program an edge when it is called as one.
func TestMain(m *testing.M) { os.Exit(edgeproctest.Main(m.Run)) }

func start(t *testing.T, dir string) *Edge {
	t.Helper()
	e, err := Start(t.Context(), Config{Command: []string{os.Args[0], "edge"}, Dir: dir, CPU: 0})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	return e
}

func TestStory(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	e := start(t, dir)
	var ops []Op
	for i := range 1500 {
		ops = append(ops, Op{Key: fmt.Sprintf("a/%04d", i), Value: []byte{byte(i), 0xff}})
	}
	ops = append(ops, Op{Delete: true, Key: "a/0007"}, Op{Delete: true, Key: "not there"},
		Op{Key: "b", Value: []byte("text")})
	if err := e.Batch(ctx, ops); err != nil {
		t.Fatal(err)
	}
	check := func(e *Edge) {
		t.Helper()
		n := 0
		if err := e.List(ctx, "a/", func(x Entry) {
			if n == 7 {
				n++
			}
			if x.Key != ops[n].Key || string(x.Value) != string(ops[n].Value) {
				t.Fatalf("entry %d is %s %v", n, x.Key, x.Value)
			}
			n++
		}); err != nil || n != 1500 {
			t.Fatalf("%d listed, %v", n, err)
		}
	}
	check(e)
	n, last := 0, uint64(0)
	if err := e.Changes(ctx, "", 1, func(x Entry) {
		if x.Revision <= last || n < 1500 && x.Key != ops[n].Key || n == 1500 && !x.Deleted {
			t.Fatalf("change %d is %+v", n, x)
		}
		n, last = n+1, x.Revision
	}); err != nil || n != 1502 {
		t.Fatalf("%d changes, %v", n, err)
	}
	if m, err := e.Metrics(ctx); err != nil || m["metronome_edge_operations_total"] < 1502 {
		t.Fatal(m["metronome_edge_operations_total"], err)
	}
	if e.CPU() <= 0 {
		t.Fatal("it took no time")
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.Password != e.Password {
		t.Fatal("other credentials after a restart")
	}
	check(again)
}

func TestWhatKeepsItFromStarting(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Config{Command: []string{os.Args[0], "edge"}, Dir: dir, CPU: -1,
		Flags: []string{"--store=moon"}})
	if err == nil || !strings.Contains(err.Error(), "store") {
		t.Fatalf("%v does not say why", err)
	}
	if _, err = Start(t.Context(), Config{Command: []string{dir + "/no"}, Dir: dir}); err == nil ||
		!strings.Contains(err.Error(), "make build") {
		t.Fatalf("%v does not say what to do", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Start(ctx, Config{Command: []string{"/bin/sleep", "60"}, Dir: dir, CPU: -1}); err == nil {
		t.Fatal("a program that is no edge was taken for one")
	}
}
