package backup

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"metronome/system/backup/backuptest"
	"metronome/system/disk/fault"
	"metronome/system/store"
)

// TestWhatChangedDecidesWhatIsWritten measures how much of a store's snapshot is new after some
// changes, as it is stored and as it would be section by section; -v prints the table.
func TestWhatChangedDecidesWhatIsWritten(t *testing.T) {
	const keys = 60_000
	name := func(i int) string { return fmt.Sprintf("user:%012d", i) }
	value := func(n int, seed string) func(string) []byte {
		return func(key string) []byte {
			sum := sha256.Sum256([]byte(seed + key))
			return bytes.Repeat(sum[:], (n+31)/32)[:n]
		}
	}
	head := backuptest.Head(t)
	st, err := store.New(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	all := names(name, 0, keys)
	backuptest.Fill(t, st, all, value(300, "old"))
	before := backuptest.File(t, head, st)
	a := New(mustDirectory(t), Options{})
	if _, err := a.Save(t.Context(), bytes.NewReader(before), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct { // one after another, to the same store
		name    string
		changed []string
		bytes   int
		most    int // chunks that are new
	}{
		{"nothing", nil, 300, 1},
		{"1 key overwritten", all[5000:5001], 300, 2},
		{"1 key overwritten by a longer value", all[7000:7001], 777, 3},
		{"1 key inserted", []string{name(keys)}, 300, 3},
		{"10 keys inserted", names(name, keys+1, keys+11), 300, 1 + 2*10},
		{"1 of 100 overwritten", every(all, 100), 300, 1000},
	} {
		backuptest.Fill(t, st, c.changed, value(c.bytes, "new"))
		after := backuptest.File(t, head, st)
		var last Progress
		_, err = a.Save(t.Context(), bytes.NewReader(after), SaveOptions{Progress: func(p Progress) { last = p }})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-36s %2d chunks of %2d, %5.1f %% of the bytes; section by section %5.1f %%", c.name,
			last.Chunks-last.Reused,
			last.Chunks, 100*float64(last.Stored)/float64(last.Total), 100*withHeads(t, len(head), before, after))
		if fresh := last.Chunks - last.Reused; fresh > c.most {
			t.Errorf("%s: %d chunks of %d are new", c.name, fresh, last.Chunks)
		}
		before = after
	}
}

func names(name func(int) string, from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, name(i))
	}
	return all
}

func every(of []string, n int) (some []string) {
	for i := 0; i < len(of); i += n {
		some = append(some, of[i])
	}
	return some
}

func mustDirectory(t *testing.T) *Directory {
	t.Helper()
	d, err := NewDirectory(fault.New(1), "backups")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// withHeads is the share of new bytes if each section is stored as it is.
func withHeads(t *testing.T, head int, before, after []byte) float64 {
	t.Helper()
	known, fresh := map[[32]byte]bool{}, 0
	sections := func(file []byte, each func(sum [32]byte, n int)) {
		in := sectionReader{from: bytes.NewReader(file[head:])}
		for in.next() == nil {
			each(sha256.Sum256(append(in.head[:], in.payload...)), store.SectionHead+len(in.payload))
		}
	}
	sections(before, func(sum [32]byte, _ int) { known[sum] = true })
	sections(after, func(sum [32]byte, n int) {
		if !known[sum] {
			fresh += n
		}
	})
	return float64(fresh) / float64(len(after))
}
