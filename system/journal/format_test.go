package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestFormatIsGolden: a journal written by this program is, byte for byte, what it was when version 1
// was fixed. A change needs a new version number, and a program that reads both.
func TestFormatIsGolden(t *testing.T) {
	fsys := writeGolden(t)
	var got strings.Builder
	for _, name := range fsys.Names() {
		fmt.Fprintf(&got, "%s %d bytes\n", filepath.Base(name), len(fsys.Bytes(name)))
		for off, b := 0, fsys.Bytes(name); off < len(b); off += 16 {
			if !blank(b[off : off+16]) {
				fmt.Fprintf(&got, "%06x %s\n", off, hex.EncodeToString(b[off:off+16]))
			}
		}
	}
	golden := filepath.Join("testdata", "journal.golden")
	if *update {
		must(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if got.String() != string(want) {
		t.Error("the format changed: give it a new version, or run with -update before the first release")
	}
}

func writeGolden(t *testing.T) *fault.FS {
	fsys, salt := fault.New(1), uint32(0)
	j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment, Identity: "cluster 7, replica 2",
		First: 1000, Salt: func() uint32 { salt++; return salt * 0x01010101 }})
	must(t, err)
	for i := range 24 {
		_, err := j.Append(bytes.Repeat([]byte{byte(0xa0 + i)}, i%8*40))
		must(t, err)
		_, err = j.Append(nil)
		must(t, err)
		must(t, j.Sync())
	}
	must(t, j.Trim(1030))
	must(t, j.Close())
	return fsys
}

// TestGoldenIsReadable reads the golden file back, as a later version of the program must.
func TestGoldenIsReadable(t *testing.T) {
	fsys := readGolden(t)
	j, report, err := Open(fsys, "d", Config{SegmentBytes: minSegment, Identity: "cluster 7, replica 2"})
	must(t, err)
	if report.Segments != 2 || report.First != 1018 {
		t.Error(report)
	}
	for number, record := range j.Records() {
		i := (number - 1000) / 2
		if number%2 == 0 && !bytes.Equal(record, bytes.Repeat([]byte{byte(0xa0 + i)}, int(i%8*40))) {
			t.Errorf("record %d is %.20x", number, record)
		}
	}
	if !report.Intact() || report.Next != 1048 || report.Harmless != 0 {
		t.Error(report)
	}
}

func readGolden(t *testing.T) *fault.FS {
	f, err := os.Open(filepath.Join("testdata", "journal.golden"))
	must(t, err)
	defer f.Close()
	fsys, name := fault.New(1), ""
	must(t, fsys.MkdirAll("d"))
	for s := bufio.NewScanner(f); s.Scan(); {
		var size int
		if cols := strings.Fields(s.Text()); len(cols) == 3 {
			name = "d/" + cols[0]
			size, err = strconv.Atoi(cols[1])
			must(t, err)
			fsys.Edit(name, func([]byte) []byte { return make([]byte, size) })
		} else {
			off, err := strconv.ParseInt(cols[0], 16, 64)
			must(t, err)
			fsys.Edit(name, func(b []byte) []byte { _, err = hex.Decode(b[off:], []byte(cols[1])); return b })
			must(t, err)
		}
	}
	return fsys
}

// TestHeaderIsAsDrawn compares doc.go's table with what encode writes.
func TestHeaderIsAsDrawn(t *testing.T) {
	h := header{kind: kindSeal, segment: 0x1111111111111111, batch: 0x2222222222222222,
		first: 0x3333333333333333, synced: 0x4444444444444444, keep: 0x5555555555555555,
		keepRecord: 0x6666666666666666, count: 0x77777777, length: 0x88888888, salt: 0x99999999,
		life: 0xaaaaaaaa, flags: 0xbbbbbbbb}
	b := make([]byte, headerSize)
	h.encode(b)
	values := map[string]uint64{"magic": magic, "version": version, "kind": uint64(h.kind), "segment": h.segment,
		"batch": h.batch, "first": h.first, "synced": h.synced, "keep": h.keep, "keepRecord": h.keepRecord,
		"count": uint64(h.count), "length": uint64(h.length), "salt": uint64(h.salt), "life": uint64(h.life),
		"flags": uint64(h.flags)}
	doc, err := os.ReadFile("doc.go")
	must(t, err)
	for line := range strings.Lines(string(doc)) {
		cols := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(cols) < 3 {
			continue
		}
		off, err1 := strconv.Atoi(cols[0])
		size, err2 := strconv.Atoi(cols[1])
		want, known := values[cols[2]]
		if err1 != nil || err2 != nil || !known || cols[2] == "length" && off != 60 {
			continue
		}
		var field [8]byte
		copy(field[:], b[off:off+size])
		if got := binary.LittleEndian.Uint64(field[:]); got != want {
			t.Errorf("%s at %d is %x, doc.go says %x", cols[2], off, got, want)
		}
		delete(values, cols[2])
	}
	for name := range values {
		t.Errorf("doc.go does not draw %s", name)
	}
	if string(b[:4]) != "MJnl" {
		t.Errorf("magic is %q", b[:4])
	}
}

// TestAForeignJournalIsRefused, and one of another version, with an error that says so; nothing is
// touched.
func TestAForeignJournalIsRefused(t *testing.T) {
	s := makeSample(t, false, true)
	before := s.fs.Changes()
	_, _, err := Open(s.fs, "d", Config{SegmentBytes: minSegment, Identity: "you"})
	if !errors.Is(err, ErrForeign) {
		t.Errorf("another's journal: %v", err)
	}
	newer := s.fs.Kill()
	newer.Edit(s.last(), func(b []byte) []byte {
		binary.LittleEndian.PutUint16(b[4:], 2)
		return recrc(b)
	})
	_, _, err = Open(newer, "d", Config{SegmentBytes: minSegment, Identity: "me"})
	if !errors.Is(err, ErrVersion) {
		t.Errorf("a newer format: %v", err)
	}
	if changes := s.fs.Changes() - before; changes > 1 { // the directory is made, and is there
		t.Errorf("%d changes by refusing", changes)
	}
	j, _, err := Open(s.fs, "d", Config{SegmentBytes: minSegment, Identity: "me"})
	must(t, err)
	if _, _, err := Open(s.fs, "d", Config{Identity: "me"}); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	must(t, j.Close())
}

// recrc makes a header at the beginning of b good again.
func recrc(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[76:], crc32.Checksum(b[:76], castagnoli))
	return b
}
