package history

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A history survives its file, whatever is in it.
func TestFileRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		f := File{History: *random(seed, 60), Notes: []json.RawMessage{json.RawMessage(`{"kind":"kill"}`)}}
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := Read(&b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(got.Operations, f.Operations) || !reflect.DeepEqual(got.Log, f.Log) ||
			got.Start != f.Start || got.Limits != f.Limits || len(got.Notes) != 1 {
			t.Errorf("seed %d: a history changes in its file", seed)
		}
	}
}

// Whatever is wrong with a file is named with its line.
func TestBadFiles(t *testing.T) {
	const first = `{"header":{"format":"metronome history 1","start":1,"limits":{}}}` + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":       {"", "empty"},
		"no history":  {"{\"header\":{\"format\":\"x\"}}\n", "line 1: this is no history"},
		"cut short":   {first + `{"operation":{"conn`, "line 2"},
		"not in time": {first + opLine(5) + opLine(4), "line 3: it was invoked before"},
		"nothing":     {first + "{}\n", "line 2: neither"},
		"outcome":     {first + `{"operation":{"outcome":"maybe"}}`, `line 2: outcome "maybe"`},
		"operation": {first + `{"operation":{"call":{"op":"steal"},"outcome":"unknown"}}`,
			`unknown operation "steal"`},
	} {
		if _, err := Read(strings.NewReader(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func opLine(at int64) string {
	b, _ := json.Marshal(line{Operation: &Operation{Call: read("k"), Invoked: at, Returned: Never}})
	return string(b) + "\n"
}

// FuzzRead: no text makes the reader panic, and what it reads it can write.
func FuzzRead(f *testing.F) {
	f.Add([]byte(opLine(1)))
	for _, path := range goldens(f) {
		b, _ := os.ReadFile(path)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := h.Write(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
	})
}

func goldens(t testing.TB) []string {
	paths, err := filepath.Glob("testdata/bad/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatal("no known-bad histories in testdata/bad: go test -update", err)
	}
	return paths
}

// The known-bad histories as files: written by clients that saw what no store may show. Each is to be
// found wrong by the judges together, though there is no log in it.
func TestKnownBadFiles(t *testing.T) {
	if *update {
		writeBad(t)
	}
	for _, path := range goldens(t) {
		f := readFile(t, path)
		r := Judge(&f.History, Standard())
		if r.Verdict != Illegal || r.What() == "" {
			t.Errorf("%s: %v", path, &r)
		}
		if r.Finding.Key == "" {
			continue
		}
		var page bytes.Buffer
		err := Visualize(&page, &f.History, &r.Finding)
		if err != nil || !bytes.Contains(page.Bytes(), []byte("<html")) {
			t.Errorf("%s: a page of %d bytes, %v", path, page.Len(), err)
		}
	}
}

func readFile(t *testing.T, path string) *File {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f, err := Read(in)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

// writeBad writes the negative controls that can be known without a log.
func writeBad(t *testing.T) {
	for i := range bad {
		h := &History{Operations: slices.Clone(bad[i].ops), Start: 1}
		slices.SortStableFunc(h.Operations, func(a, b Operation) int { return int(a.Invoked - b.Invoked) })
		if r := Judge(h, Standard()); r.Verdict != Illegal {
			continue
		}
		name := strings.NewReplacer(" ", "-", "'", "").Replace(bad[i].name) + ".jsonl"
		var b bytes.Buffer
		if err := (&File{History: *h}).Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", "bad", name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
