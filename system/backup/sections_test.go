package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"metronome/system/backup/backuptest"
	"metronome/system/replica"
	"metronome/system/store"
	"metronome/system/wire"
)

// storeWith is a store of keys and sessions.
func storeWith(t *testing.T, keys, sessions int) *store.Store {
	t.Helper()
	st, err := store.New(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range keys {
		names = append(names, fmt.Sprint("key-", i))
	}
	backuptest.Fill(t, st, names, func(k string) []byte { return bytes.Repeat([]byte(k), 1+len(k)%7*10) })
	for range sessions {
		open, err := wire.AppendItem(nil, &wire.Item{Op: wire.OpSession})
		if err != nil {
			t.Fatal(err)
		}
		st.Apply(&store.Batch{Index: st.Index() + 1, Time: st.Time(),
			Spans: []store.Span{{Payloads: [][]byte{open}}}})
	}
	return st
}

// TestSectionsAreReadAndMadeAgain: a stream is read to its end, its sections' heads are made again as
// they were, and its header says what the store says.
func TestSectionsAreReadAndMadeAgain(t *testing.T) {
	head := backuptest.Head(t)
	for _, size := range [][2]int{{0, 0}, {1, 0}, {5000, 0}, {0, 700}, {3000, 1500}} {
		st := storeWith(t, size[0], size[1])
		stream := backuptest.File(t, head, st)[len(head):]
		in := sectionReader{from: bytes.NewReader(stream)}
		var again bytes.Buffer
		var header store.Header
		err := in.next()
		for ; err == nil; err = in.next() {
			if in.Kind == store.SectionHeader {
				if header, err = store.ReadHeader(in.payload); err != nil {
					t.Fatal(err)
				}
			}
			again.Write(store.AppendSectionHead(nil, in.payload, in.Kind, in.Number-1))
			again.Write(in.payload)
		}
		if !errors.Is(err, io.EOF) || in.Kind != store.SectionEnd || !bytes.Equal(again.Bytes(), stream) {
			t.Errorf("%v: %d sections, %d bytes of %d, %v", size, in.Number, again.Len(), len(stream), err)
		}
		want := store.Header{Index: st.Index(), Time: st.Time(), Keys: uint64(st.Len()),
			Sessions: uint64(st.Stats().Sessions), Hash: st.Hash()}
		if header != want {
			t.Errorf("%v: header %+v, the store says %+v", size, header, want)
		}
	}
}

func TestTheReplicaReadsWhatIsMadeUpHere(t *testing.T) {
	st := storeWith(t, 500, 20)
	file := backuptest.File(t, backuptest.Head(t), st)
	info, err := replica.Inspect(bytes.NewReader(file))
	if err != nil || info.Index != st.Index() || info.Hash != st.Hash() || info.Keys != 500 ||
		info.Sessions != 20 || info.Bytes != uint64(len(file)) {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestJoinerTakesAnyPieces writes what chunks hold in pieces of any length.
func TestJoinerTakesAnyPieces(t *testing.T) {
	m := sample()
	inside := random(9, 100+112+70000)
	var want []byte
	for piece := 1; piece < len(inside); piece = piece*3 + 1 {
		var got bytes.Buffer
		j, err := newJoiner(m, &got)
		if err != nil {
			t.Fatal(err)
		}
		for rest := inside; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := j.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := j.Close(); err != nil || uint64(got.Len()) != m.Bytes || j.out != m.Bytes {
			t.Fatalf("pieces of %d: %d bytes of %d, %v", piece, got.Len(), m.Bytes, err)
		}
		if want == nil {
			want = got.Bytes()
		}
		if !bytes.Equal(want, got.Bytes()) {
			t.Errorf("pieces of %d: other bytes", piece)
		}
		if _, err := j.Write([]byte{1}); !errors.Is(err, ErrDamaged) {
			t.Errorf("a byte more: %v", err)
		}
	}
	j, err := newJoiner(m, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Write(inside[:len(inside)-1]); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte less: %v", err)
	}
}
