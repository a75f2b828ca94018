package workload

import (
	"bytes"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func file(t *testing.T, s Spec) (*Workload, []byte) {
	t.Helper()
	w, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := w.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, b.Len(), err)
	}
	return w, b.Bytes()
}

func TestSameSeedSameFile(t *testing.T) {
	s := Spec{Seed: 7, Prefix: "p/", N: 1000, Value: 1024}
	w, one := file(t, s)
	_, two := file(t, s)
	if !bytes.Equal(one, two) {
		t.Fatal("the same seed makes another file")
	}
	s.Seed++
	if _, other := file(t, s); bytes.Equal(one, other) {
		t.Fatal("another seed makes the same file")
	}
	keys := slices.Clone(w.Keys)
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 1000 || !strings.HasPrefix(keys[0], "p/") {
		t.Fatal("keys are not distinct")
	}
	least, most := 1<<30, 0
	for i := range w.Keys {
		least, most = min(least, len(w.Value(i))), max(most, len(w.Value(i)))
	}
	if least < 64 || least > 80 || most > 1024 || most < 1008 {
		t.Fatalf("values of %d to %d bytes", least, most)
	}
}

// The checksum's definition in other words: all keys and values, one behind the other.
func TestChecksum(t *testing.T) {
	w, _ := file(t, Spec{Seed: 1, N: 10, Value: 100})
	var all, keys []byte
	for i, k := range w.Keys {
		keys = append(keys, k...)
		all = append(append(all, k...), w.Value(i)...)
	}
	if w.Checksum(false) != crc32.ChecksumIEEE(all) || w.Checksum(true) != crc32.ChecksumIEEE(keys) {
		t.Fatal("other checksums")
	}
}

func TestBounds(t *testing.T) {
	for _, s := range []Spec{{}, {N: 1}, {Value: 1}, {N: MaxN + 1, Value: 1}, {N: 1, Value: MaxValue + 1}} {
		if _, err := New(s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	w, _ := file(t, Spec{N: 1, Value: 1})
	path := filepath.Join(t.TempDir(), "w")
	if err := w.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if w.WriteFile(path) == nil {
		t.Fatal("a file was overwritten")
	}
}
