package backup

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"metronome/system/store"
)

func sample() *Manifest {
	var layout []byte
	for _, p := range []part{{1, 112}, {3, 70000}, {4, 0}} {
		layout = appendLayout(layout, p)
	}
	var sum [32]byte
	return &Manifest{ID: "20260820T160000.000Z-0123abcd", Time: time.Date(2026, 8, 20, 16, 0, 0, 0, time.UTC),
		Software: "v1", Cluster: "orders", Tag: 7, Replica: "replica-1", Life: 257, Position: 9, Term: 2, Epoch: 1,
		Index: 12, Keys: 3, Hash: "00000000000000ff", Bytes: 100 + 112 + 70000 + 3*store.SectionHead,
		SHA256: strings.Repeat("ab", 32), Head: 100, Sections: encodeLayout(layout),
		Chunks: []Chunk{{chunkName(sum, "20260820T160000.000Z-0123abcd"), 212}, {chunkName(sum,
			"20260820T150000.000Z-00000000"), 70000}}}
}

func encoded(t testing.TB) []byte {
	t.Helper()
	b, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAManifestIsReadAsItWasWritten(t *testing.T) {
	want := sample()
	b, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeManifest(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; written was %+v", got, err, want)
	}
}

// TestEveryChangedByteOfAManifestIsFound flips, cuts and adds at every place.
func TestEveryChangedByteOfAManifestIsFound(t *testing.T) {
	b := encoded(t)
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if _, err := decodeManifest(b); err == nil {
			t.Errorf("%s at %d: accepted", what, at)
		}
	}
	for i := range b {
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			refused("a flipped bit", i, c)
		}
		refused("cut off", i, b[:i])
		refused("a space", i, append(append(bytes.Clone(b[:i]), ' '), b[i:]...))
		c := bytes.Clone(b)
		c[i] = 0
		refused("a zero", i, c)
	}
	refused("a line's end", len(b), append(bytes.Clone(b), '\n'))
}

func TestManifestsThatDoNotFitTogether(t *testing.T) {
	for name, spoil := range map[string]func(*Manifest){
		"bytes":       func(m *Manifest) { m.Bytes++ },
		"head":        func(m *Manifest) { m.Head-- },
		"chunk bytes": func(m *Manifest) { m.Chunks[0].Bytes++ },
		"empty chunk": func(m *Manifest) { m.Chunks[0].Bytes = 0 },
		"large chunk": func(m *Manifest) { m.Chunks[0].Bytes = maxChunk + 1 },
		"a path":      func(m *Manifest) { m.Chunks[0].Name = "../../etc/passwd" },
		"id":          func(m *Manifest) { m.ID = "../x" },
		"layout":      func(m *Manifest) { m.Sections = "%%" },
		"kind 0":      func(m *Manifest) { m.Sections = encodeLayout([]byte{0}) },
		"no end":      func(m *Manifest) { m.Sections = encodeLayout([]byte{0x80}) },
	} {
		m := sample()
		spoil(m)
		b, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAManifestOfALaterVersionIsNotCalledDamaged(t *testing.T) {
	b := bytes.Replace(encoded(t), []byte(`"version":1`), []byte(`"version":2`), 1)
	if _, err := decodeManifest(b); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(),
		"version 2") {
		t.Error(err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(encoded(f))
	f.Add([]byte(`{"format":"metronome-backup","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("read, and written otherwise: %v", err)
		}
		if _, err := newJoiner(m, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestIDsAndNames(t *testing.T) {
	now := time.Date(2026, 8, 20, 16, 0, 0, 5, time.UTC)
	id := newID(now)
	if !began(id).Equal(now.Truncate(time.Millisecond)) || CheckID(id) != nil || newID(now) == id {
		t.Errorf("id %s", id)
	}
	for _, bad := range []string{"", "x", id + "0", "20269920T160000.000Z-0123abcd",
		"20260820T160000.000Z-0123ABCD", "../" + id} {
		if CheckID(bad) == nil {
			t.Errorf("%q passes for an id", bad)
		}
	}
	sum := [32]byte{1, 2, 3}
	name := chunkName(sum, id)
	if got, ok := chunkSum(name); !ok || got != sum || !age(name).Equal(began(id)) ||
		!age(name+unfinishedExt).Equal(began(id)) || !age(id+manifestExt+unfinishedExt).Equal(began(id)) {
		t.Errorf("chunk %s", name)
	}
	for _, bad := range []string{"", name + unfinishedExt, name[1:], name[:sumDigits], "a/" + name} {
		if _, ok := chunkSum(bad); ok {
			t.Errorf("%q passes for a chunk", bad)
		}
	}
}
