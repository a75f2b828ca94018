package backuptest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"metronome/system/disk/fault"
	"metronome/system/replica"
	"metronome/system/store"
	"metronome/system/wire"
)

var head struct {
	sync.Mutex
	b []byte
}

// Head is what precedes the store's stream in a snapshot of a small cluster whose tag is 7.
func Head(t testing.TB) []byte {
	t.Helper()
	head.Lock()
	defer head.Unlock()
	if head.b == nil {
		head.b = makeHead(t)
	}
	return slices.Clone(head.b)
}

func makeHead(t testing.TB) []byte {
	t.Helper()
	c := Start(t, fault.New(1), 7, 1, 1)
	defer c.Close()
	c.Found()
	_, raw, err := replica.ReadFileHead(bytes.NewReader(c.NextSnapshot()))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The last fields of a file's header: the stream's length, the state's sum, the header's sum.
const (
	streamAt = 24
	sumAt    = 8
)

// File is a saved snapshot with a store's stream behind another's head.
func File(t testing.TB, head []byte, st *store.Store) []byte {
	t.Helper()
	snap := st.Capture()
	defer snap.Release()
	for !snap.Done() {
		snap.Step(1 << 20)
	}
	b := slices.Clone(head)
	// The header of one voter and no learners: 38 bytes, 1 + 8, 1, then 28.
	end := 38 + 9 + 1 + 28
	binary.LittleEndian.PutUint64(b[end-streamAt:], uint64(snap.Size()))
	binary.LittleEndian.PutUint64(b[end-sumAt:], xxh3.Hash(b[:end-sumAt]))
	for at := 0; at < snap.Size(); {
		piece := snap.Read(at, 1<<20)
		b, at = append(b, piece...), at+len(piece)
	}
	return b
}

// Fill puts keys into a store: each gets the value that value says.
func Fill(t testing.TB, st *store.Store, keys []string, value func(key string) []byte) {
	t.Helper()
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		var payloads [][]byte
		for _, k := range keys[:n] {
			p, err := wire.AppendItem(nil, &wire.Item{Op: wire.OpPut, Key: []byte(k), Value: value(k)})
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, p)
		}
		st.Apply(&store.Batch{Index: st.Index() + 1, Time: st.Time() + 1,
			Spans: []store.Span{{Payloads: payloads}}})
		keys = keys[n:]
	}
}
