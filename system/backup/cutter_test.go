package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func random(seed uint64, n int) []byte {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

// record is a key as a section holds it.
func record(key string, value []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(value)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = binary.LittleEndian.AppendUint64(b, 1)
	return append(append(b, key...), value...)
}

// records are n keys with values of so many bytes, all alike.
func records(n, size int) (all [][]byte) {
	for i := range n {
		all = append(all, record(fmt.Sprint("key-", i), make([]byte, size)))
	}
	return all
}

// cut cuts records that come in sections of so many.
func cut(t *testing.T, all [][]byte, section int) (chunks [][]byte) {
	t.Helper()
	c := cutter{emit: func(b []byte) error { chunks = append(chunks, bytes.Clone(b)); return nil }}
	for len(all) > 0 {
		n := min(section, len(all))
		if err := c.records(bytes.Join(all[:n], nil)); err != nil {
			t.Fatal(err)
		}
		all = all[n:]
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// TestChunksAreTheContentWhateverSectionsItComesIn also shows that values decide nothing: they are
// zeros, of three lengths.
func TestChunksAreTheContentWhateverSectionsItComesIn(t *testing.T) {
	for _, size := range []int{10, 1000, 100_000} {
		all := records(16<<20/(size+30), size)
		whole := bytes.Join(all, nil)
		want := cut(t, all, 1)
		mean := len(whole) / len(want)
		if mean < minChunk+meanChunk/2 || mean > minChunk+2*meanChunk {
			t.Errorf("values of %d: chunks of %d KiB on average", size, mean>>10)
		}
		for i, c := range want {
			if len(c) > maxChunk || len(c) < minChunk && i < len(want)-1 {
				t.Errorf("values of %d: chunk %d has %d bytes", size, i, len(c))
			}
		}
		if !bytes.Equal(bytes.Join(want, nil), whole) {
			t.Errorf("values of %d: the chunks are not the content", size)
		}
		if got := cut(t, all, 700); !bytes.Equal(bytes.Join(got, []byte("|")), bytes.Join(want, []byte("|"))) {
			t.Errorf("values of %d: in other sections there are other chunks", size)
		}
	}
}

func TestChunksAreBounded(t *testing.T) {
	var sizes []int
	c := cutter{emit: func(b []byte) error { sizes = append(sizes, len(b)); return nil }}
	for _, n := range []int{100, 3*maxChunk + 5, maxChunk, 1} {
		if err := c.plain(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range sizes {
		if sum += n; n > maxChunk || n == 0 {
			t.Errorf("a chunk of %d bytes", n)
		}
	}
	if sum != 100+3*maxChunk+5+maxChunk+1 {
		t.Errorf("%v: %d bytes", sizes, sum)
	}
}

func TestAKeyBeyondItsSectionIsDamage(t *testing.T) {
	c := cutter{emit: func([]byte) error { return nil }}
	good := record("key", []byte("value"))
	for n := 1; n < len(good); n++ {
		if err := c.records(append(bytes.Clone(good), good[:n]...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of a key: %v", n, err)
		}
	}
}

// TestCutsFindThemselvesAgain is what chunks are cut by content for: a key more, a key less and another
// value change a chunk or two, wherever they lie.
func TestCutsFindThemselvesAgain(t *testing.T) {
	all := records(50_000, 300)
	known := map[[32]byte]bool{}
	before := cut(t, all, 200)
	for _, c := range before {
		known[sha256.Sum256(c)] = true
	}
	for _, at := range []int{0, 20_000, 49_999} {
		for what, changed := range map[string][][]byte{
			"more":  append(append(append([][]byte{}, all[:at]...), record("new", []byte("x"))), all[at:]...),
			"less":  append(append([][]byte{}, all[:at]...), all[at+1:]...),
			"other": append(append(append([][]byte{}, all[:at]...), record("new", make([]byte, 5000))), all[at+1:]...),
		} {
			fresh := 0
			for _, c := range cut(t, changed, 200) {
				if !known[sha256.Sum256(c)] {
					fresh++
				}
			}
			if fresh > 3 {
				t.Errorf("%s at %d makes %d of %d chunks new", what, at, fresh, len(before))
			}
		}
	}
}

func BenchmarkCutter(b *testing.B) {
	section := bytes.Join(records(650, 64), nil)
	b.SetBytes(int64(len(section)))
	c := cutter{emit: func([]byte) error { return nil }}
	for b.Loop() {
		_ = c.records(section)
	}
}
