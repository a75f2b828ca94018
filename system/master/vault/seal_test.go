package vault

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// testKey is the same in every run.
func testKey(t testing.TB) Key {
	t.Helper()
	var k Key
	for i := range k.b {
		k.b[i] = byte(i * 7)
	}
	return k
}

func testSealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 9))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestKeyText(t *testing.T) {
	k := NewKey()
	again, err := ParseKey(" " + k.Text() + "\n")
	if err != nil || again != k {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k),
		fmt.Sprintf("%v", &k)} {
		if strings.Contains(text, k.Text()[5:20]) {
			t.Errorf("it prints itself: %s", text)
		}
	}
	for i := range k.Text() {
		b := []byte(k.Text())
		if b[i]++; b[i] > 'z' {
			b[i] = 'A'
		}
		if other, err := ParseKey(string(b)); err == nil && other != k {
			t.Errorf("character %d changed, and it is a key", i)
		}
	}
	for _, bad := range []string{"", "mbk1_", k.Text()[:40], k.Text() + "A", "mtk_" + k.Text()[5:]} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	s := testSealer(t)
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("abc"), 1000), noise(1, 10000),
		noise(2, MaxChunk)} {
		sealed, err := s.Seal(ChunkKind, "n", plain)
		if err != nil || len(sealed) > ChunkKind.MaxSealed() {
			t.Fatal(len(sealed), err)
		}
		got, err := s.Open(ChunkKind, "n", sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: %v", len(plain), err)
		}
	}
	if _, err := s.Seal(ChunkKind, "n", make([]byte, MaxChunk+1)); err == nil {
		t.Error("sealed more than a chunk")
	}
	a, _ := s.Seal(ChunkKind, "n", []byte("same"))
	b, _ := s.Seal(ChunkKind, "n", []byte("same"))
	if bytes.Equal(a, b) {
		t.Error("two seals of one content are alike: the nonce was used twice")
	}
}

// TestEncryptionSilentlyOff: what is stored never shows what it holds, and there is no way to store
// it plainly.
func TestEncryptionSilentlyOff(t *testing.T) {
	s := testSealer(t)
	secret := []byte("the alarm's code is 4711")
	for _, plain := range [][]byte{secret, append(noise(3, 5000), secret...), bytes.Repeat(secret, 50)} {
		sealed, err := s.Seal(ChunkKind, s.Name(plain), plain)
		if err != nil || bytes.Contains(sealed, secret[:12]) {
			t.Errorf("%v, or the content is readable", err)
		}
		if _, err := s.Open(ChunkKind, s.Name(plain), plain); !errors.Is(err, ErrDamaged) {
			t.Errorf("plain bytes are taken for sealed ones: %v", err)
		}
	}
	other, err := NewSealer(NewKey())
	if err != nil || other.Name(secret) == s.Name(secret) {
		t.Error("two edges have the same name for one content: the master learns what they share")
	}
	sealed, _ := s.Seal(ChunkKind, "n", secret)
	if _, err := other.Open(ChunkKind, "n", sealed); !errors.Is(err, ErrForeign) {
		t.Errorf("another key: %v", err)
	}
}

// TestEveryByteCounts flips each bit and cuts at each length.
func TestEveryByteCounts(t *testing.T) {
	s := testSealer(t)
	for _, plain := range [][]byte{bytes.Repeat([]byte("compressible "), 9), noise(4, 60)} {
		sealed, err := s.Seal(LogKind, "name", plain)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(sealed) * 8 {
			b := bytes.Clone(sealed)
			b[i/8] ^= 1 << (i % 8)
			if _, err := s.Open(LogKind, "name", b); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
				t.Fatalf("bit %d flipped: %v", i, err)
			}
		}
		for n := range sealed {
			if _, err := s.Open(LogKind, "name", sealed[:n]); !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
		if _, err := s.Open(LogKind, "other", sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("under another name: %v", err)
		}
		if _, err := s.Open(ChunkKind, "name", sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("as another kind: %v", err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := testSealer(f)
	manifest := []byte(`{"format":"metronome-edge-backup-1"}`)
	sealed, err := s.Seal(ManifestKind, "n", manifest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte(sealMagic))
	f.Fuzz(func(t *testing.T, b []byte) { // another process sealed the seed, with another nonce
		opened, err := s.Open(ManifestKind, "n", b)
		if err == nil && !bytes.Equal(opened, manifest) {
			t.Fatal("opened what was never sealed")
		}
	})
}

func FuzzDecodeLog(f *testing.F) {
	f.Add(EncodeLog([][]byte{[]byte("a"), nil, []byte("ccc")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := decodeLog(b)
		if err == nil && len(EncodeLog(records)) > len(b) {
			t.Fatal("more came out than went in")
		}
		_, _, _ = span(records)
	})
}

func TestManifestsThatAreRefused(t *testing.T) {
	s := testSealer(t)
	name := s.Name([]byte("x"))
	good := func() *Manifest {
		return &Manifest{Format: ManifestFormat, Files: []File{{Path: "a/b.sst", Size: 3,
			Chunks: []Chunk{{name, 3}}}}}
	}
	if err := good().check(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Manifest){
		"another format": func(m *Manifest) { m.Format = "x" },
		"no files":       func(m *Manifest) { m.Files = nil },
		"an empty path":  func(m *Manifest) { m.Files[0].Path = "" },
		"up":             func(m *Manifest) { m.Files[0].Path = "../etc/passwd" },
		"up inside":      func(m *Manifest) { m.Files[0].Path = "a/../../x" },
		"absolute":       func(m *Manifest) { m.Files[0].Path = "/etc/passwd" },
		"dot":            func(m *Manifest) { m.Files[0].Path = "." },
		"backslash":      func(m *Manifest) { m.Files[0].Path = `..\x` },
		"zero byte":      func(m *Manifest) { m.Files[0].Path = "a\x00b" },
		"long path":      func(m *Manifest) { m.Files[0].Path = strings.Repeat("a", 256) },
		"twice":          func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) },
		"a wrong size":   func(m *Manifest) { m.Files[0].Size = 4 },
		"a big chunk":    func(m *Manifest) { m.Files[0].Chunks[0].Size = MaxChunk + 1 },
		"a negative one": func(m *Manifest) { m.Files[0].Chunks[0].Size = -1 },
		"a chunk's name": func(m *Manifest) { m.Files[0].Chunks[0].Name = "../../backups/00000001.json" },
		"upper case":     func(m *Manifest) { m.Files[0].Chunks[0].Name = strings.ToUpper(name[:63]) + "A" },
	} {
		m := good()
		change(m)
		sealed, err := s.SealDraft(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.openManifest(draft, sealed); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
