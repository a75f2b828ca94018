package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

func openWriter(t testing.TB, fsys disk.FS, dir string, cfg Config, wcfg WriterConfig) *Writer {
	t.Helper()
	j, report, err := Open(fsys, dir, cfg)
	must(t, err)
	if !report.Intact() {
		t.Fatal(report)
	}
	w, err := NewWriter(j, wcfg)
	must(t, err)
	return w
}

// put appends until there is room.
func put(t testing.TB, w *Writer, record []byte) uint64 {
	for {
		number, err := w.Append(record)
		if err == nil {
			return number
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("append: %v", err)
			return 0
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// TestManyWriters appends and waits from many goroutines; everything is there afterwards, each under
// the number that its writer was told.
func TestManyWriters(t *testing.T) {
	for name, wcfg := range map[string]WriterConfig{"as it comes": {}, "each record": {EachRecord: true},
		"gathered": {Gather: 200 * time.Microsecond}, "small buffer": {Buffer: 2 * blockSize}} {
		t.Run(name, func(t *testing.T) {
			fsys := fault.New(1)
			told := uint64(0)
			wcfg.Synced = func(next uint64) { told = max(told, next) }
			w := openWriter(t, fsys, "d", Config{SegmentBytes: minSegment, BatchBytes: 2 * blockSize}, wcfg)
			const writers, each = 8, 100
			var numbers [writers][each]uint64
			var all sync.WaitGroup
			for g := range writers {
				all.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(g), 0))
					for i := range each {
						numbers[g][i] = put(t, w, mark(g, i, rng.IntN(1000)))
						if i%10 == 9 {
							if err := w.Wait(context.Background(), numbers[g][i]); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			all.Wait()
			must(t, w.Close())
			if told != writers*each {
				t.Errorf("told of %d synced records of %d", told, writers*each)
			}
			found := map[uint64][]byte{}
			_, report, err := Open(fsys.Crash(1), "d", Config{SegmentBytes: minSegment,
				Visit: func(number uint64, record []byte) { found[number] = bytes.Clone(record) }})
			must(t, err)
			if !report.Intact() || report.Next != writers*each {
				t.Error(report)
			}
			for g := range writers {
				for i, number := range numbers[g] {
					if !bytes.HasPrefix(found[number], mark(g, i, 0)) {
						t.Fatalf("record %d is %x, should be %d's %d-th", number, found[number], g, i)
					}
				}
			}
		})
	}
}

func mark(g, i, more int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(g))
	return append(binary.BigEndian.AppendUint32(b, uint32(i)), make([]byte, more)...)
}

// TestCommitNeedsNoWait: what is committed becomes durable, what is not is written only when it is
// much.
func TestCommitNeedsNoWait(t *testing.T) {
	fsys := fault.New(1)
	synced := make(chan uint64, 10)
	w := openWriter(t, fsys, "d", Config{}, WriterConfig{Synced: func(next uint64) { synced <- next }})
	put(t, w, []byte("one"))
	put(t, w, []byte("two"))
	if s := w.Stats(); s.Journal.Records != 0 || s.Unsynced != 2 || s.Waiting != 2*(recordSize+3) {
		t.Errorf("before the commit: %+v", s)
	}
	w.Commit()
	if next := <-synced; next != 2 || w.Synced() != 2 || w.Next() != 2 {
		t.Errorf("synced %d, %d of %d", next, w.Synced(), w.Next())
	}
	must(t, w.Close())
	if _, err := w.Append(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append to what is closed: %v", err)
	}
	if err := w.Wait(t.Context(), 5); !errors.Is(err, ErrClosed) {
		t.Errorf("wait for what will not come: %v", err)
	}
	must(t, w.Wait(t.Context(), 1))
}

// gate is a disk whose Sync, once closed, waits for the test.
type gate struct {
	disk.FS
	closed         atomic.Bool
	entered, leave chan struct{}
}

type gatedFile struct {
	disk.File
	g *gate
}

func (g *gate) Create(name string) (disk.File, error) {
	f, err := g.FS.Create(name)
	return &gatedFile{f, g}, err
}

func (f *gatedFile) Sync() error {
	if f.g.closed.Load() {
		f.g.entered <- struct{}{}
		<-f.g.leave
	}
	return f.File.Sync()
}

// TestAppendGoesOnDuringASync fills the other buffer while a sync hangs, up to the bound, and all that
// came meanwhile shares the next sync.
func TestAppendGoesOnDuringASync(t *testing.T) {
	g := &gate{FS: fault.New(1), entered: make(chan struct{}), leave: make(chan struct{})}
	w := openWriter(t, g, "d", Config{}, WriterConfig{Buffer: 1 << 16, Idle: time.Hour})
	must(t, w.Wait(t.Context(), put(t, w, []byte("first"))))
	g.closed.Store(true)
	put(t, w, []byte("second"))
	w.Commit()
	<-g.entered
	more := uint64(0)
	for ; more < 1<<20; more++ {
		if _, err := w.Append(make([]byte, 100)); errors.Is(err, ErrFull) {
			break
		}
	}
	if more < 500 || more > 700 {
		t.Errorf("%d records of 100 bytes fit a buffer of 64 KiB", more)
	}
	w.Commit()
	if w.Synced() != 1 {
		t.Errorf("synced %d before the sync ends", w.Synced())
	}
	g.leave <- struct{}{}
	<-g.entered
	if w.Synced() != 2 {
		t.Errorf("synced %d after it", w.Synced())
	}
	g.closed.Store(false)
	g.leave <- struct{}{}
	must(t, w.Wait(t.Context(), 1+more))
	if s := w.Stats(); s.Journal.Syncs != 3 || s.Journal.Batches != 3 || s.Refused != 1 {
		t.Errorf("three batches, three syncs, one refused: %+v", s)
	}
	must(t, w.Close())
}

// TestABrokenWriterTellsEveryone: an error of write or sync, at any time, ends every Wait with it.
func TestABrokenWriterTellsEveryone(t *testing.T) {
	for n := range uint64(40) {
		fsys := fault.New(n)
		fsys.Hook = fault.FailAt(n, fault.ErrIO)
		j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
		if err != nil {
			continue
		}
		w, err := NewWriter(j, WriterConfig{})
		if err != nil {
			continue
		}
		var told atomic.Uint64
		for err == nil && told.Load() < 1000 {
			var number uint64
			if number, err = w.Append(make([]byte, 2000)); err == nil {
				err = w.Wait(t.Context(), number)
			}
			if err == nil {
				told.Store(number + 1)
			}
		}
		if !errors.Is(err, ErrBroken) || !errors.Is(err, fault.ErrIO) {
			t.Fatalf("failure %d: %v", n, err)
		}
		<-w.Done()
		if err := w.Close(); !errors.Is(err, ErrBroken) || !errors.Is(w.Err(), ErrBroken) {
			t.Errorf("close: %v, %v", err, w.Err())
		}
		_, report, err := Open(fsys.Crash(n), "d", Config{SegmentBytes: minSegment})
		must(t, err)
		if report.Next < told.Load() {
			t.Errorf("failure %d: told of %d, found %v", n, told.Load(), report)
		}
	}
}

// TestWriterCrashes pulls the plug at random under load: what Wait said is durable is there.
func TestWriterCrashes(t *testing.T) {
	for seed := range scaled(100) {
		rng := rand.New(rand.NewPCG(seed, 0))
		fsys := fault.New(seed)
		fsys.Hook = fault.CrashAt(rng.Uint64N(300))
		j, _, err := Open(fsys, "d", Config{SegmentBytes: minSegment})
		if err != nil {
			continue
		}
		w, err := NewWriter(j, WriterConfig{Idle: time.Microsecond})
		if err != nil {
			continue
		}
		var told [4]uint64
		var all sync.WaitGroup
		for g := range told {
			all.Go(func() {
				for i := 0; ; i++ {
					number, err := w.Append(mark(g, i, 500))
					if errors.Is(err, ErrFull) {
						continue
					}
					if err != nil || w.Wait(t.Context(), number) != nil {
						return
					}
					told[g] = number
					if g == 0 && i%10 == 0 && number > 50 {
						w.Trim(number - 50)
					}
				}
			})
		}
		all.Wait()
		_, report, err := Open(fsys.Crash(seed), "d", Config{SegmentBytes: minSegment})
		must(t, err)
		if !report.Intact() || report.Next < max(told[0], told[1], told[2], told[3]) {
			t.Errorf("seed %d: told of %d: %v", seed, told, report)
		}
	}
}

// TestIdleSeals: some time after the last sync the disk testifies to it by itself.
func TestIdleSeals(t *testing.T) {
	fsys := fault.New(1)
	w := openWriter(t, fsys, "d", Config{}, WriterConfig{Idle: time.Microsecond})
	must(t, w.Wait(t.Context(), put(t, w, []byte("a"))))
	for sealed := false; !sealed; time.Sleep(time.Millisecond) {
		for b, err := range Inspect(fsys, "d") {
			must(t, err)
			sealed = sealed || b.Kind == "seal" && b.Synced == 1
		}
	}
	must(t, w.Close())
}

// TestCursorFollows reads back while records are written, trimmed and recycled.
func TestCursorFollows(t *testing.T) {
	for _, start := range []uint64{0, 777} {
		fsys := fault.New(1)
		w := openWriter(t, fsys, "d", Config{SegmentBytes: minSegment}, WriterConfig{})
		const records = 3000
		go func() {
			for i := range records {
				number := put(t, w, mark(0, i, i%300))
				if i%50 == 0 || i == records-1 {
					_ = w.Wait(context.Background(), number)
				}
			}
		}()
		c := w.Cursor(start)
		want := start
		for want < records {
			for number, record := range c.Records() {
				if number != want || !bytes.Equal(record, mark(0, int(want), int(want)%300)) {
					t.Fatalf("record %d where %d should be: %x", number, want, record)
				}
				if want++; want%7 == 0 {
					break
				}
			}
			must(t, c.Err())
			w.Trim(c.Next())
		}
		must(t, c.Close())
		must(t, w.Close()) // trims first
		if c.Next() != records || w.First() < records/2 {
			t.Errorf("next %d, first %d, %+v", c.Next(), w.First(), w.Stats())
		}
	}
}

// TestWriterFull fills the disk up to the bound: Append refuses, keeps what it took, and goes on after
// a Trim.
func TestWriterFull(t *testing.T) {
	fsys := fault.New(1)
	w := openWriter(t, fsys, "d", Config{SegmentBytes: minSegment, MaxBytes: 4 * minSegment},
		WriterConfig{Buffer: 4 * blockSize})
	taken := uint64(0)
	for full := 0; full < 100; {
		if number, err := w.Append(make([]byte, 1000)); err == nil {
			taken, full = number+1, 0
			w.Commit()
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		} else {
			if w.Stats().Disk >= 3*minSegment { // else the writer is only slow
				full++
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	must(t, w.Wait(t.Context(), taken-1))
	if s := w.Stats(); s.Disk > 4*minSegment || s.Disk < 3*minSegment || s.Refused == 0 {
		t.Errorf("%+v", s)
	}
	w.Trim(taken)
	number := put(t, w, []byte("after"))
	must(t, w.Wait(t.Context(), number))
	if number != taken {
		t.Errorf("number %d, should be %d", number, taken)
	}
	must(t, w.Close())
}

// TestALargeRecordFindsRoom: it is larger than buffer and segment.
func TestALargeRecordFindsRoom(t *testing.T) {
	fsys := fault.New(1)
	cfg := Config{SegmentBytes: minSegment}
	w := openWriter(t, fsys, "d", cfg, WriterConfig{Buffer: 2 * blockSize})
	put(t, w, []byte("small"))
	large := bytes.Repeat([]byte{7}, 3*minSegment)
	number := put(t, w, large)
	put(t, w, []byte("small"))
	must(t, w.Close())
	j, report, err := Open(fsys.Crash(3), "d", cfg)
	must(t, err)
	for n, record := range j.Records() {
		if n == number && !bytes.Equal(record, large) {
			t.Errorf("record %d has %d bytes: %v", n, len(record), report)
		}
	}
	if report.Records != 3 {
		t.Error(report)
	}
	if _, err := j.Append(make([]byte, MaxRecord+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	w := openWriter(t, fault.New(1), "d", Config{}, WriterConfig{Buffer: 16 << 20})
	record := make([]byte, 96)
	for range 50000 { // the buffers grow
		put(t, w, record)
	}
	w.Commit()
	must(t, w.Wait(t.Context(), w.Next()-1))
	if n := testing.AllocsPerRun(1000, func() { _, _ = w.Append(record) }); n > 0.1 {
		t.Errorf("%v allocations for an Append of the Writer", n)
	}
	must(t, w.Close())
}
