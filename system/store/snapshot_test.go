package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"metronome/system/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// captured takes a whole snapshot at once.
func captured(t testing.TB, s *Store) []byte {
	t.Helper()
	sn := s.Capture()
	for !sn.Done() {
		sn.Step(1 << 20)
	}
	b := bytes.Clone(sn.Read(0, sn.Size()))
	for len(b) < sn.Size() {
		b = append(b, sn.Read(len(b), sn.Size())...)
	}
	sn.Release()
	return b
}

// busy is a store with some of everything.
func busy(t testing.TB, parts int) *Store {
	d := drive(t, Config{Slots: 64, Parts: parts, Seed: 9, SessionWindow: 8})
	for n := range 50 {
		d.do(put(fmt.Sprint("key-", n), fmt.Sprint("value-", n)))
	}
	d.do(put("large", string(make([]byte, 2*bigValue))))
	for n := range uint64(3) {
		id := d.open()
		d.time += 5
		it := within(put("key-1", fmt.Sprint("swapped-", n)), id, n+1, 1)
		it.Previous = true
		d.do(it)
		d.do(within(incr("n", 1), id, n+2, 1))
	}
	return d.s
}

// The format is a promise to running clusters: a change needs a new version.
func TestSnapshotFormatIsGolden(t *testing.T) {
	got := captured(t, busy(t, 3))
	path := filepath.Join("testdata", "snapshot.golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, which differ from the golden %d: raise snapshotVersion and run with -update",
			len(got), len(want))
	}
}

// Goal: however much is written while a snapshot is captured, an Apply copies nothing for it but
// bounded notes, a Step not much more than its budget, and the snapshot is of the index where it
// began. Method: overwrite, delete and add everywhere between small steps.
func TestCapturingIsBoundedAndUndisturbed(t *testing.T) {
	const keys, budget = 20_000, 10_000
	s := loaded(t, Config{Parts: 2}, keys)
	want := captured(t, s)
	sn := s.Capture()
	if s.Capture() != nil {
		t.Error("two at once")
	}
	size := func() int { return sn.Size() + len(sn.open) }
	slot, last, steps := 3*(len(want)/4096), size(), 0
	for n := 0; !sn.Done(); n++ {
		var f []byte
		for i := range uint64(500) {
			k := benchKey((uint64(n)*500 + i) % (2 * keys))
			it := wire.Item{Op: wire.OpPut, Key: k[:], Value: make([]byte, 64+i%3*8)}
			if i%5 == 0 {
				it = wire.Item{Op: wire.OpDelete, Key: k[:]}
			}
			f = encode(t, f, &it)
		}
		notes := len(s.parts[0].undo) + len(s.parts[1].undo)
		s.Apply(&Batch{Index: s.Index() + 1, Spans: []Span{{Payloads: [][]byte{f}}}})
		if more := len(s.parts[0].undo) + len(s.parts[1].undo) - notes; more > 500 {
			t.Fatalf("%d notes for 500 writes", more)
		}
		if size() != last {
			t.Fatal("an Apply copied into the snapshot")
		}
		sn.Step(budget)
		if size()-last > budget+slot+2*SectionHead && !sn.Done() {
			t.Fatalf("a step of %d bytes, the budget is %d", size()-last, budget)
		}
		last, steps = size(), steps+1
	}
	var got []byte
	for len(got) < sn.Size() {
		got = append(got, sn.Read(len(got), 5000)...)
	}
	if !bytes.Equal(got, want) {
		t.Error("the snapshot is not of the index where it began")
	}
	if steps < len(want)/(budget+slot)/2 {
		t.Errorf("%d steps for %d bytes", steps, len(want))
	}
	sn.Release()
	verify(t, s)
}

// A snapshot given up half-way leaves nothing behind.
func TestReleaseBeforeDone(t *testing.T) {
	s := busy(t, 2)
	sn := s.Capture()
	sn.Step(1)
	d := &driver{TB: t, s: s, time: 100}
	for n := range 50 {
		d.do(put(fmt.Sprint("key-", n), string(make([]byte, 200))))
	}
	d.open()
	sn.Release()
	sn.Release()
	verify(t, s)
	if sn.Done() || sn.Read(0, 10) != nil || sn.Size() != 0 {
		t.Error("a released snapshot can be read")
	}
	if s.Capture() == nil {
		t.Error("no other can be begun")
	}
}

func TestRestoreRefusesOtherSettings(t *testing.T) {
	s := busy(t, 2)
	b := captured(t, s)
	good := s.cfg
	good.Parts = 7
	if _, err := Restore(good, [][]byte{b}); err != nil {
		t.Errorf("parts are local: %v", err)
	}
	for name, spoil := range map[string]func(*Config){
		"slots":    func(c *Config) { c.Slots *= 2 },
		"seed":     func(c *Config) { c.Seed++ },
		"sessions": func(c *Config) { c.MaxSessions++ },
		"window":   func(c *Config) { c.SessionWindow++ },
		"results":  func(c *Config) { c.MaxResultBytes++ },
		"ttl":      func(c *Config) { c.SessionTTL++ },
		"reply":    func(c *Config) { c.MaxReplyBytes++ },
	} {
		c := s.cfg
		spoil(&c)
		if _, err := Restore(c, [][]byte{b}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Restore(Config{Slots: 3}, [][]byte{b}); err == nil {
		t.Error("three slots")
	}
}

// resum repairs the sums of a stream whose payloads were tampered with.
func resum(b []byte) {
	le := binary.LittleEndian
	for number := 0; len(b) >= SectionHead; number++ {
		n := min(int(le.Uint32(b)), len(b)-SectionHead)
		le.PutUint64(b[8:], sectionSum(b[SectionHead:SectionHead+n], le.Uint32(b[4:]), number))
		b = b[SectionHead+n:]
	}
}

// Any flipped bit and any missing end is noticed; with the sums repaired too, for the state hash and
// the checks of what is read stand behind them.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	s := busy(t, 1)
	good := captured(t, s)
	for at := 0; at < len(good); at += 1 + at/600 {
		for _, repaired := range []bool{false, true} {
			b := bytes.Clone(good)
			if b[at] ^= 1 << (at % 8); repaired {
				resum(b)
				if bytes.Equal(b, good) {
					continue // the flip was in a sum
				}
			}
			if _, err := Restore(s.cfg, [][]byte{b}); err == nil {
				t.Fatalf("byte %d flipped, sums repaired %v: accepted", at, repaired)
			}
		}
		if _, err := Restore(s.cfg, [][]byte{good[:at]}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off at %d: %v", at, err)
		}
	}
	if _, err := Restore(s.cfg, [][]byte{good, {0}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	s := busy(f, 1)
	good := captured(f, s)
	f.Add(good, true)
	f.Add(good[:200], false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		b = bytes.Clone(b)
		if repair {
			resum(b)
		}
		got, err := Restore(s.cfg, [][]byte{b[:len(b)/2], b[len(b)/2:]})
		if (got == nil) == (err == nil) {
			t.Fatal("a store and an error, or neither")
		}
		if err == nil {
			verify(t, got)
			if !bytes.Equal(captured(t, got), b) {
				t.Fatal("what was accepted is not what a store writes")
			}
		}
	})
}
