package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

// TestTrimFreesAndRecycles: what is trimmed is used again or given back, and never more than that.
func TestTrimFreesAndRecycles(t *testing.T) {
	fsys := fault.New(1)
	j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	for range 2000 {
		number, err := j.Append(make([]byte, 1000))
		must(t, err)
		must(t, j.Sync())
		if number%300 == 299 {
			must(t, j.Trim(number-20))
			if first := j.First(); first > number-20 || first+40 < number-20 {
				t.Fatalf("trimmed below %d, begins with %d", number-20, first)
			}
			var onDisk int64
			entries, err := fsys.List("d")
			must(t, err)
			for _, e := range entries {
				onDisk += e.Size
			}
			if j.Bytes() != onDisk || onDisk > 6*minSegment {
				t.Fatalf("%d bytes on the disk, %d by its own count", onDisk, j.Bytes())
			}
		}
	}
	if s := j.Stats(); s.Recycled == 0 || s.Records != 2000 {
		t.Errorf("%+v", s)
	}
	must(t, j.Trim(0))
	must(t, j.Trim(1<<40))
	if j.First() > j.Next() || len(j.segments) != 1 {
		t.Errorf("first %d of %d, %d segments", j.First(), j.Next(), len(j.segments))
	}
	must(t, j.Close())
}

// TestFullIsRetryable: at MaxBytes, at FreeFloor and on a full disk Append refuses, changes nothing, and
// goes on after a Trim. What it took before can be synced.
func TestFullIsRetryable(t *testing.T) {
	configs := map[string]struct {
		cfg      Config
		capacity uint64
	}{
		"MaxBytes":  {Config{SegmentBytes: minSegment, MaxBytes: 3 * minSegment}, 1 << 30},
		"FreeFloor": {Config{SegmentBytes: minSegment, FreeFloor: 1 << 29}, 1<<29 + 3*minSegment + 5},
		"disk":      {Config{SegmentBytes: minSegment}, 3*minSegment + 5},
	}
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			fsys := fault.New(1)
			fsys.Capacity = c.capacity
			j, _, err := Open(fsys, "d", c.cfg)
			must(t, err)
			for round := range 5 {
				for err == nil {
					_, err = j.Append(make([]byte, 5000))
				}
				if _, again := j.Append(make([]byte, 5000)); !errors.Is(err, ErrFull) || !errors.Is(again, ErrFull) {
					t.Fatalf("round %d: %v, %v", round, err, again)
				}
				if strings.Contains(err.Error(), "%!") || len(err.Error()) < 40 {
					t.Errorf("the error helps nobody: %v", err)
				}
				must(t, j.Sync())
				if j.Synced() != j.Next() || j.Bytes() != 3*minSegment {
					t.Errorf("%d of %d synced, %d bytes", j.Synced(), j.Next(), j.Bytes())
				}
				must(t, j.Trim(j.Next()))
				err = nil
			}
			next := j.Next()
			must(t, j.Close())
			j, report, err := Open(fsys.Crash(1), "d", c.cfg)
			must(t, err)
			if !report.Intact() || j.Next() != next {
				t.Error(report)
			}
		})
	}
}

// TestARecordIsNoHeader damages a batch before a record that holds a good-looking block of the same
// segment: without the segment's salt nobody can forge one.
func TestARecordIsNoHeader(t *testing.T) {
	fsys := fault.New(1)
	j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	forged := header{kind: kindBatch, segment: 1, batch: 1, first: 1, count: 1, length: 16, synced: 1, keep: 1}
	record := make([]byte, 3*blockSize)
	for at := blockSize - headerSize - recordSize; at < len(record)-blockSize; at += blockSize {
		var b batch
		b.reset(1, 1<<20)
		b.add(0, []byte("8 bytes!"))
		copy(record[at:], b.seal(&forged))
	}
	_, err = j.Append(record)
	must(t, err)
	must(t, j.Sync())
	_, err = j.Append([]byte("true"))
	must(t, err)
	must(t, j.Close())
	fsys.Edit("d/"+segmentName(1, segmentSuffix), func(b []byte) []byte { b[headsSize] ^= 1; return b })
	j, report, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	for number, record := range j.Records() {
		if number != 1 || string(record) != "true" {
			t.Errorf("record %d is %q", number, record)
		}
	}
	if report.Records != 1 || len(report.Damage) != 1 {
		t.Error(report)
	}
}

// TestTwoLivesDoNotMix puts a block of a dropped batch behind the header of the batch that was
// written over it, as a torn write does.
func TestTwoLivesDoNotMix(t *testing.T) {
	write := func(life uint32, fill byte) []byte {
		var b batch
		b.reset(7, 1<<20)
		b.add(life, bytes.Repeat([]byte{fill}, blockSize-headerSize-recordSize))
		b.add(life, bytes.Repeat([]byte{fill}, blockSize-recordSize))
		return bytes.Clone(b.seal(&header{kind: kindBatch, first: 7, life: life}))
	}
	dropped, written := write(1, 'a'), write(2, 'b')
	h, _, ok := decode(written)
	if !ok || !intact(written[headerSize:headerSize+h.length], &h) {
		t.Fatal("a whole batch is not intact")
	}
	copy(written[blockSize:], dropped[blockSize:])
	if intact(written[headerSize:headerSize+h.length], &h) {
		t.Error("a batch of two lives is taken for whole")
	}
}

// TestOpenStreams: the memory that Open and Records take does not grow with the journal.
func TestOpenStreams(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{SegmentBytes: 4 << 20}
	j, _, err := Open(disk.OS(), dir, cfg)
	must(t, err)
	const records = 16000
	for range records {
		_, err := j.Append(make([]byte, 4000))
		must(t, err)
	}
	must(t, j.Close())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	visited := 0
	cfg.Visit = func(uint64, []byte) { visited++ }
	j, report, err := Open(disk.OS(), dir, cfg)
	must(t, err)
	for range j.Records() {
		visited++
	}
	runtime.ReadMemStats(&after)
	if visited != 2*records || !report.Intact() {
		t.Errorf("%d visited: %v", visited, report)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("%d bytes allocated to read %d twice", took, report.Bytes)
	}
	must(t, j.Close())
}

func TestJournalAllocatesNothing(t *testing.T) {
	j, _, err := Open(disk.OS(), t.TempDir(), Config{BatchBytes: 1 << 16})
	must(t, err)
	record := make([]byte, 96)
	work := func() {
		for range 100 {
			_, _ = j.Append(record)
		}
		_ = j.Flush()
	}
	work()
	if n := testing.AllocsPerRun(200, work); n > 0 {
		t.Errorf("%v allocations for 100 Appends and a Flush", n)
	}
	must(t, j.Close())
}

// FuzzOpen puts arbitrary bytes into the newest segment, the one before it, or a file between: it
// opens, yields what it should, and takes a record.
func FuzzOpen(f *testing.F) {
	fsys := fault.New(1)
	j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment, Salt: func() uint32 { return 5 }})
	must(f, err)
	for i := range 30 {
		_, err := j.Append(bytes.Repeat([]byte{byte(i)}, i*200))
		must(f, err)
		must(f, j.Sync())
	}
	must(f, j.Close())
	for i, name := range fsys.Names() {
		if strings.HasSuffix(name, segmentSuffix) {
			f.Add(fsys.Bytes(name)[:3*blockSize], uint8(i), uint16(0))
			f.Add(fsys.Bytes(name)[2*blockSize:], uint8(i), uint16(2))
		}
	}
	f.Add([]byte("MJnl"), uint8(2), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, which uint8, at uint16) {
		fsys := fsys.Kill()
		name := "d/" + segmentName(uint64(which%4), segmentSuffix)
		fsys.Edit(name, func(b []byte) []byte {
			off := int(at%16) * blockSize
			return append(b[:min(off, len(b))], data...)
		})
		fuzzed(t, fsys)
		// The same with checksums that hold.
		fsys.Edit(name, func(b []byte) []byte {
			for off := 0; off+headerSize <= len(b); off += blockSize {
				binary.LittleEndian.PutUint32(b[off:], magic)
				binary.LittleEndian.PutUint16(b[off+4:], version)
				recrc(b[off:])
			}
			return b
		})
		fuzzed(t, fsys)
	})
}

func fuzzed(t *testing.T, fsys *fault.FS) {
	visited, last := uint64(0), uint64(0)
	j, report, err := Open(fsys, "d", Config{SegmentBytes: minSegment, Visit: func(n uint64, _ []byte) {
		if visited > 0 && n <= last {
			t.Errorf("record %d after %d", n, last)
		}
		visited, last = visited+1, n
	}})
	if errors.Is(err, ErrForeign) {
		return
	}
	must(t, err)
	_ = report.String()
	if visited != report.Records || visited > 0 && last >= report.Next {
		t.Errorf("%d visited, last %d: %v", visited, last, report)
	}
	number, err := j.Append([]byte("after"))
	must(t, err)
	if number != report.Next {
		t.Errorf("number %d: %v", number, report)
	}
	must(t, j.Trim(number))
	must(t, j.Close())
	for _, err := range Inspect(fsys, "d") {
		must(t, err)
	}
	j, _, err = Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	var got []byte
	for n, record := range j.Records() {
		if n == number {
			got = bytes.Clone(record)
		}
	}
	if string(got) != "after" {
		t.Errorf("record %d is %q afterwards", number, got)
	}
	must(t, j.Close())
}

// TestWhatIsDroppedIsWiped: of two unsynced batches the first is lost. The second one, whole as it is,
// must not come back behind what is written next.
func TestWhatIsDroppedIsWiped(t *testing.T) {
	fsys := fault.New(1)
	j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	for range 2 {
		_, err := j.Append([]byte("never synced"))
		must(t, err)
		must(t, j.Flush())
	}
	name := "d/" + segmentName(1, segmentSuffix)
	fsys = fsys.Kill()
	fsys.Edit(name, func(b []byte) []byte { clear(b[headsSize : headsSize+blockSize]); return b })
	_, report, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
	must(t, err)
	if !report.Intact() || report.Torn != blockSize || report.Records != 0 {
		t.Error(report)
	}
	if _, _, ok := decode(fsys.Crash(1).Bytes(name)[headsSize+blockSize:]); ok {
		t.Error("the second batch is still there")
	}
}

// TestAFullDiskTakesSeals: where no batch fits any more, what was synced is testified to nevertheless.
func TestAFullDiskTakesSeals(t *testing.T) {
	for size := 1; size < 3*blockSize; size += 300 {
		fsys := fault.New(1)
		fsys.Capacity = 2 * minSegment
		j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
		must(t, err)
		for err == nil {
			if _, err = j.Append(make([]byte, size)); err == nil {
				must(t, j.Seal()) // with a batch open
				must(t, j.Sync())
				must(t, j.Seal())
			}
			if j.testified != j.syncedBatch {
				t.Fatalf("size %d: %d of %d batches are testified to", size, j.testified, j.syncedBatch)
			}
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		must(t, j.Close())
	}
}
