package journal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

var more = flag.Uint64("more", 1, "times as many seeds in the randomized tests")

// scaled is how many seeds to try where n are usual.
func scaled(n uint64) uint64 {
	if testing.Short() {
		return max(n/8, 1)
	}
	return n * *more
}

// model is what a journal must hold: what was appended under each number, up to which number the
// caller was told that it is durable, and below which he gave it up.
type model struct {
	records map[uint64][]byte
	next    uint64
	synced  uint64
	trimmed uint64
	lives   uint32
	full    int            // times that there was no room
	opened  func(*Journal) // called by live
	uniform bool           // records are alike, and most are a batch
}

func newModel() *model { return &model{records: map[uint64][]byte{}} }

// small is a configuration in which everything happens soon.
func (m *model) small() Config {
	m.lives++
	salt := m.lives * 1000
	return Config{SegmentBytes: minSegment, BatchBytes: 3 * blockSize, Identity: "test",
		Salt: func() uint32 { salt++; return salt * 2654435761 }}
}

// check opens nothing: it compares what Open found with what must be there.
func (m *model) check(j *Journal, report *Report) error {
	if !report.Intact() {
		return fmt.Errorf("damage where nothing was damaged: %v", report)
	}
	if report.Next < m.synced || report.First > max(m.trimmed, 0) && report.First > m.synced {
		return fmt.Errorf("%d to %d are there; synced to %d", report.First, report.Next, m.synced)
	}
	if report.First > m.trimmed {
		return fmt.Errorf("begins with %d, trimmed only below %d", report.First, m.trimmed)
	}
	want := report.First
	for number, record := range j.Records() {
		if number != want {
			return fmt.Errorf("record %d where %d should be", number, want)
		}
		if !bytes.Equal(record, m.records[number]) {
			return fmt.Errorf("record %d is %.20q, should be %.20q", number, record, m.records[number])
		}
		want++
	}
	if want != report.Next || j.Next() != want || j.Synced() != want || j.Err() != nil {
		return fmt.Errorf("records end at %d: %v, %d, %d, %w", want, report, j.Next(), j.Synced(), j.Err())
	}
	return nil
}

// adopt makes what was found the new truth: what was not durable and is gone may be appended anew.
func (m *model) adopt(j *Journal) {
	for number := j.Next(); number < m.next; number++ {
		delete(m.records, number)
	}
	m.next, m.synced = j.Next(), j.Synced()
}

// size is a record's; uniform ones fill a block each, so that torn batches can be whole records of
// two batches.
func (m *model) size(j *Journal, rng *rand.Rand) int {
	switch p := rng.IntN(20); {
	case m.uniform && j.open.count == 0:
		return blockSize - headerSize - recordSize
	case m.uniform:
		return blockSize - recordSize
	case p == 0:
		return rng.IntN(3 * blockSize)
	case p == 1:
		return rng.IntN(2 * minSegment)
	case p == 2:
		return 0
	}
	return rng.IntN(200)
}

func (m *model) append(j *Journal, rng *rand.Rand) error {
	record := make([]byte, m.size(j, rng))
	for i := range record {
		record[i] = byte(rng.Uint32())
	}
	number, err := j.Append(record)
	if errors.Is(err, ErrFull) && j.Next() == m.next && j.Err() == nil {
		m.full++
		return nil
	}
	if err != nil {
		return err
	}
	if number != m.next {
		return fmt.Errorf("number %d, should be %d", number, m.next)
	}
	m.records[number] = record
	m.next++
	return nil
}

func (m *model) step(j *Journal, rng *rand.Rand) error {
	switch p := rng.IntN(100); {
	case p < 70:
		if err := m.append(j, rng); err != nil || !m.uniform || j.open.count < 2 {
			return err
		}
		return j.Flush()
	case p < 75:
		return j.Flush()
	case p < 92:
		err := j.Sync()
		if err == nil {
			m.synced = j.Synced()
			if m.synced != m.next {
				return fmt.Errorf("synced %d of %d", m.synced, m.next)
			}
		}
		return err
	case p < 96:
		err := j.Seal()
		if err == nil && m.full == 0 && j.testified != j.syncedBatch {
			return fmt.Errorf("sealed, but %d of %d batches are testified to", j.testified, j.syncedBatch)
		}
		return err
	}
	upTo := m.trimmed + rng.Uint64N(m.synced-m.trimmed+1)
	m.trimmed = upTo // even if it fails: some may be gone
	if err := j.Trim(upTo); !errors.Is(err, ErrFull) || j.Err() != nil {
		return err
	}
	return nil
}

// reopen opens the journal and compares.
func (m *model) reopen(fsys disk.FS) (*Journal, error) {
	j, report, err := Open(fsys, "d", m.small())
	if err != nil {
		return nil, err
	}
	if err := m.check(j, report); err != nil {
		return nil, fmt.Errorf("%w\n%v", err, report)
	}
	m.adopt(j)
	return j, nil
}

// live opens the journal, checks it and works on it for so many steps or until the disk fails.
func (m *model) live(fsys disk.FS, rng *rand.Rand, steps int) error {
	j, err := m.reopen(fsys)
	if err != nil {
		return err
	}
	if m.opened != nil {
		m.opened(j)
	}
	for range steps {
		if err := m.step(j, rng); err != nil {
			return err
		}
	}
	if rng.IntN(2) == 0 {
		if err := j.Close(); err != nil {
			return err
		}
		m.synced = m.next
	}
	return nil
}

func died(err error) bool { return err == nil || errors.Is(err, fault.ErrCrash) }

// TestCrashAtEveryWrite crashes the same work at each of its changes to the disk, with several
// outcomes of what was not synced, and goes on from there.
func TestCrashAtEveryWrite(t *testing.T) {
	seeds := scaled(2)
	points := 0
	for seed := range seeds {
		for n := uint64(0); ; n++ {
			fsys, m := fault.New(seed), newModel()
			rng := rand.New(rand.NewPCG(seed, 0))
			m.uniform = seed%2 == 1
			fsys.Hook = fault.CrashAt(n)
			if err := m.live(fsys, rng, 60); !died(err) {
				t.Fatalf("seed %d, crash at %d: %v", seed, n, err)
			}
			done := !fsys.Crashed()
			for outcome := range uint64(4) {
				after := m.clone()
				if err := after.live(fsys.Crash(seed<<32+outcome), rng, 10); err != nil {
					t.Fatalf("seed %d, crash at %d, outcome %d: %v", seed, n, outcome, err)
				}
				points++
			}
			if done {
				break
			}
		}
	}
	t.Logf("%d crashes", points)
}

func (m *model) clone() *model {
	c := *m
	c.records = map[uint64][]byte{}
	for number, record := range m.records {
		c.records[number] = record
	}
	return &c
}

// TestManyLives crashes or kills a journal again and again, in recovery too.
func TestManyLives(t *testing.T) {
	seeds := scaled(48)
	full := 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		fsys, m := fault.New(seed), newModel()
		m.uniform = seed%2 == 1
		if seed%4 > 1 {
			fsys.Capacity = minSegment*(2+rng.Uint64N(6)) + rng.Uint64N(minSegment)
		}
		for life := range 12 {
			fsys.Hook = fault.CrashAt(rng.Uint64N(200))
			if rng.IntN(4) == 0 {
				fsys.Hook = nil
			}
			if err := m.live(fsys, rng, rng.IntN(150)); !died(err) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if rng.IntN(3) == 0 {
				fsys = fsys.Kill()
			} else {
				fsys = fsys.Crash(rng.Uint64())
			}
		}
		full += m.full
	}
	if full == 0 {
		t.Error("no disk was ever full")
	}
}

// TestEveryErrorIsFinal lets each change to the disk fail once, in several ways. Where that is not
// simply a full disk, it is the last thing that the journal does; what it said was durable is.
func TestEveryErrorIsFinal(t *testing.T) {
	ways := []error{fault.ErrIO, disk.ErrNoSpace, fault.Short(100, nil), fault.Short(5000, disk.ErrNoSpace)}
	for seed := range scaled(2) {
		for n := uint64(0); ; n++ {
			fsys, m := fault.New(seed), newModel()
			rng := rand.New(rand.NewPCG(seed, 2))
			fsys.Hook = fault.FailAt(n, ways[(n+seed)%4])
			var j *Journal
			m.opened = func(opened *Journal) { j = opened }
			err := m.live(fsys, rng, 80)
			if err == nil && fsys.Changes() <= n {
				break
			}
			if err != nil && j != nil && !errors.Is(err, ErrBroken) {
				t.Fatalf("seed %d, failure %d: %v", seed, n, err)
			}
			if err != nil && j != nil && !errors.Is(j.Err(), ErrClosed) {
				checkBroken(t, fsys, j)
			}
			if _, err := m.clone().reopen(fsys.Crash(seed + n)); err != nil {
				t.Fatalf("seed %d, failure %d: %v", seed, n, err)
			}
			// The next process finds pages that a failed sync left clean and not durable.
			next := fsys.Kill()
			if err := m.live(next, rng, rng.IntN(20)); err != nil {
				t.Fatalf("seed %d, failure %d: the next life: %v", seed, n, err)
			}
			if _, err := m.reopen(next.Crash(seed + n)); err != nil {
				t.Fatalf("seed %d, failure %d: the life after that: %v", seed, n, err)
			}
		}
	}
}

func checkBroken(t *testing.T, fsys *fault.FS, j *Journal) {
	t.Helper()
	before := fsys.Changes()
	_, appended := j.Append(nil)
	for i, err := range []error{appended, j.Flush(), j.Sync(), j.Seal(), j.Trim(1 << 40), j.Err(), j.Close()} {
		if !errors.Is(err, ErrBroken) {
			t.Errorf("call %d of a broken journal: %v", i, err)
		}
	}
	if fsys.Changes() != before {
		t.Error("a broken journal goes on to change the disk")
	}
	if err := j.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}
