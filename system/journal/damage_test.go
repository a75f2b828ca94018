package journal

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

var every = flag.Bool("every", false, "TestEveryByte: attack every byte in every way; takes minutes")

// sample is a journal whose every byte is attacked.
type sample struct {
	name    string
	fs      *fault.FS
	records map[uint64][]byte
	next    uint64
	trimmed uint64
	exempt  uint64 // records from here on are synced, and nothing on the disk says so
}

// makeSample writes batches of two records each, of more than a block together. If recycled, the
// first segments are trimmed and used again. If sealed, the journal is closed as it should be.
func makeSample(t *testing.T, recycled, sealed bool) *sample {
	t.Helper()
	s := &sample{name: fmt.Sprintf("recycled=%v,sealed=%v", recycled, sealed), fs: fault.New(1),
		records: map[uint64][]byte{}}
	salt := uint32(1)
	j, _, err := Open(s.fs, "d", Config{SegmentBytes: minSegment, Identity: "me", First: 1,
		Salt: func() uint32 { salt *= 2654435761; return salt }})
	must(t, err)
	batches := 9
	if recycled {
		batches = 27
	}
	for b := range batches {
		for i := range 2 {
			record := bytes.Repeat([]byte{byte(b*2 + i + 1)}, 3000-i*800)
			number, err := j.Append(record)
			must(t, err)
			s.records[number] = record
		}
		if b == batches-1 && !sealed {
			s.exempt = j.written
		}
		must(t, j.Sync())
		if recycled && b == 19 {
			s.trimmed = j.segments[len(j.segments)-1].first
			must(t, j.Trim(s.trimmed))
		}
	}
	s.next = j.Next()
	if sealed {
		s.exempt = s.next
		must(t, j.Close())
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lost(report *Report, number uint64) bool {
	return slices.ContainsFunc(report.Damage, func(d Damage) bool {
		return d.First <= number && number < d.Next
	})
}

// check opens what is left of the sample, twice, and writes in between.
func (s *sample) check(fsys disk.FS) error {
	cfg := Config{SegmentBytes: minSegment, Identity: "me", First: 1}
	visited := uint64(0)
	cfg.Visit = func(uint64, []byte) { visited++ }
	j, first, err := Open(fsys, "d", cfg)
	if err != nil {
		return err
	}
	if visited != first.Records {
		return fmt.Errorf("%d records visited: %v", visited, first)
	}
	if err := s.compare(j, first, 0, nil); err != nil {
		return err
	}
	number, err := j.Append([]byte("afterwards"))
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		return err
	}
	j, second, err := Open(fsys, "d", cfg)
	if err != nil {
		return err
	}
	if err := s.compare(j, second, number, []byte("afterwards")); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	for n := uint64(1); n <= s.next; n++ {
		if lost(first, n) != lost(second, n) && n != number {
			return fmt.Errorf("record %d: %v, but opened again %v", n, first, second)
		}
	}
	return nil
}

// compare checks the promise: no wrong record; nothing missing that is not reported as damage, but for
// what is exempt; and no number given twice.
func (s *sample) compare(j *Journal, report *Report, extra uint64, record []byte) error {
	seen, last := map[uint64]bool{}, uint64(0)
	for number, got := range j.Records() {
		want := s.records[number]
		if number == extra {
			want = record
		}
		if !bytes.Equal(got, want) || number <= last || lost(report, number) {
			return fmt.Errorf("record %d after %d is %.10q, should be %.10q: %v", number, last, got, want, report)
		}
		seen[number], last = true, number
	}
	if j.Err() != nil || uint64(len(seen)) != report.Records {
		return fmt.Errorf("%w, %d seen: %v", j.Err(), len(seen), report)
	}
	for n := max(s.trimmed, 1); n < s.exempt; n++ {
		if !seen[n] && !lost(report, n) {
			return fmt.Errorf("record %d is missing: %v", n, report)
		}
	}
	if report.Next < s.exempt || !report.Intact() && report.Next < report.Damage[len(report.Damage)-1].Next {
		return fmt.Errorf("numbers begin again: %v", report)
	}
	return nil
}

func samples(t *testing.T) []*sample {
	return []*sample{makeSample(t, false, true), makeSample(t, false, false), makeSample(t, true, true),
		makeSample(t, true, false)}
}

// TestEveryByte truncates at, flips a bit of, and zeroes a block and everything from each byte of
// each segment.
func TestEveryByte(t *testing.T) {
	attacks := map[string]func(b []byte, at int64) []byte{
		"truncate": func(b []byte, at int64) []byte { return b[:at] },
		"flip":     func(b []byte, at int64) []byte { b[at] ^= 1 << (at % 8); return b },
		"zero":     func(b []byte, at int64) []byte { clear(b[at:]); return b },
		"hole":     func(b []byte, at int64) []byte { clear(b[at:min(at+512, int64(len(b)))]); return b },
	}
	for _, s := range samples(t) {
		for what, attack := range attacks {
			t.Run(s.name+"/"+what, func(t *testing.T) { s.attack(t, what, attack) })
		}
	}
}

func (s *sample) attack(t *testing.T, what string, attack func(b []byte, at int64) []byte) {
	for _, name := range s.fs.Names() {
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		whole := s.fs.Bytes(name)
		for at := int64(0); at < int64(len(whole)); at += stride(what, whole, at) {
			fsys, s := s.fs.Kill(), *s
			if what == "zero" && name == s.last() {
				s.exempt = min(s.exempt, s.firstAt(t, name, at))
			}
			fsys.Edit(name, func(b []byte) []byte { return attack(b, at) })
			if err := s.check(fsys); err != nil {
				t.Fatalf("%s at %d: %v", name, at, err)
			}
		}
	}
}

func (s *sample) last() (name string) {
	for _, n := range s.fs.Names() {
		if strings.HasSuffix(n, segmentSuffix) {
			name = n
		}
	}
	return name
}

// firstAt is the first record of which part lies at or behind an offset of the last segment: when all
// of that is zeros, so is what would testify to it.
func (s *sample) firstAt(t *testing.T, name string, at int64) uint64 {
	for b, err := range Inspect(s.fs, "d") {
		must(t, err)
		last := strings.HasSuffix(name, segmentName(b.Segment, segmentSuffix))
		if last && b.Kind == "batch" && b.Offset+b.Length > at {
			return b.First
		}
	}
	return s.next
}

// stride is 1 with -every; without, headers are looked at closely and the rest here and there. It shares
// no factor with the sizes of fields.
func stride(what string, b []byte, at int64) int64 {
	block := b[at&^(blockSize-1):][:blockSize]
	switch {
	case *every:
		return 1
	case blank(block):
		return 1021
	case testing.Short():
		return 211
	case at%blockSize >= headerSize+2*recordSize:
		return 307
	case what == "flip":
		return 5
	}
	return 29
}

// TestEveryBlockUnreadable has the disk refuse each block of each segment.
func TestEveryBlockUnreadable(t *testing.T) {
	for _, s := range samples(t) {
		for _, name := range s.fs.Names() {
			for at := int64(0); at < int64(len(s.fs.Bytes(name))); at += blockSize {
				fsys := s.fs.Kill()
				fsys.Spoil(name, at, 1)
				exempt := s.exempt
				s.exempt = s.next // what cannot be read is never taken for a torn tail
				if err := s.check(fsys); err != nil {
					t.Fatalf("%s: %s at %d: %v", s.name, name, at, err)
				}
				s.exempt = exempt
			}
		}
	}
}

// TestEveryFileMissing removes each file, empties it, or puts another one's bytes into it.
func TestEveryFileMissing(t *testing.T) {
	for _, s := range samples(t) {
		names := s.fs.Names()
		for _, name := range names {
			fsys := s.fs.Kill()
			must(t, fsys.Remove(name))
			if err := s.check(fsys); err != nil {
				t.Errorf("%s: %s removed: %v", s.name, name, err)
			}
			fsys = s.fs.Kill()
			fsys.Edit(name, func([]byte) []byte { return nil })
			if err := s.check(fsys); err != nil {
				t.Errorf("%s: %s emptied: %v", s.name, name, err)
			}
			for _, other := range names {
				fsys := s.fs.Kill()
				fsys.Edit(name, func([]byte) []byte { return s.fs.Bytes(other) })
				if err := s.check(fsys); err != nil {
					t.Errorf("%s: %s holds what %s should: %v", s.name, name, other, err)
				}
			}
		}
	}
}

// TestDamageIsNamed says what a report tells about one flipped bit in one record.
func TestDamageIsNamed(t *testing.T) {
	s := makeSample(t, false, true)
	name := "d/" + segmentName(1, segmentSuffix)
	fsys := s.fs.Kill()
	fsys.Edit(name, func(b []byte) []byte { b[headsSize+headerSize+recordSize+100] ^= 4; return b })
	j, report, err := Open(fsys, "d", Config{SegmentBytes: minSegment, Identity: "me"})
	must(t, err)
	want := Damage{Segment: 1, Offset: headsSize, Length: 2 * blockSize, First: 1, Next: 2,
		Why: "checksum failed"}
	if len(report.Damage) != 1 || report.Damage[0] != want || report.Records != 17 || report.First != 1 {
		t.Errorf("report: %v, want %v", report, want)
	}
	if !strings.Contains(report.String(), "records 1 to 2 are lost") {
		t.Errorf("report says %q", report)
	}
	must(t, j.Close())
}
