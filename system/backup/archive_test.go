package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/backup"
	"metronome/system/backup/backuptest"
	"metronome/system/disk/fault"
	"metronome/system/store"
)

// place is an archive in a directory on a disk in memory, with a clock of its own.
type place struct {
	*testing.T
	*backup.Archive
	fs  *fault.FS
	now time.Time
}

const root = "backups"

func newPlace(t *testing.T) *place { return placeOn(t, fault.New(1)) }

func placeOn(t *testing.T, fs *fault.FS) *place {
	t.Helper()
	p := &place{T: t, fs: fs, now: time.Date(2026, 8, 20, 16, 0, 0, 0, time.UTC)}
	d, err := backup.NewDirectory(fs, root)
	if err != nil {
		t.Fatal(err)
	}
	p.Archive = p.archive(d, 2)
	return p
}

func (p *place) archive(d backup.Destination, parallel int) *backup.Archive {
	return backup.New(d, backup.Options{Now: func() time.Time { return p.now }, Parallel: parallel,
		Backoff: time.Nanosecond})
}

func (p *place) save(file []byte) *backup.Manifest {
	p.Helper()
	p.now = p.now.Add(time.Minute)
	m, err := p.Save(p.Context(), bytes.NewReader(file), backup.SaveOptions{})
	if err != nil {
		p.Fatal(err)
	}
	return m
}

func (p *place) read(m *backup.Manifest) ([]byte, error) {
	var b bytes.Buffer
	err := p.WriteTo(p.Context(), m, &b, nil)
	return b.Bytes(), err
}

// good checks that a backup is listed and holds this file.
func (p *place) good(id string, file []byte) {
	p.Helper()
	m, err := p.Manifest(p.Context(), id)
	if err != nil {
		p.Fatal(err)
	}
	if got, err := p.read(m); err != nil || !bytes.Equal(got, file) {
		p.Fatalf("%s: %d bytes of %d, %v", id, len(got), len(file), err)
	}
}

// files are those in a folder.
func (p *place) files(folder string) (names []string) {
	for _, n := range p.fs.Names() {
		if path.Dir(n) == path.Join(root, folder) {
			names = append(names, n)
		}
	}
	return names
}

func newStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.New(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func keys(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("key-%010d", i))
	}
	return all
}

// noise is a value that nothing repeats, of n bytes.
func noise(seed string, n int) func(string) []byte {
	return func(key string) []byte {
		var s [32]byte
		copy(s[:], seed+key)
		b := make([]byte, n)
		_, _ = rand.NewChaCha8(s).Read(b)
		return b
	}
}

// small is a snapshot of one chunk or two, large one of several.
func small(t testing.TB, seed string) []byte {
	t.Helper()
	st := newStore(t)
	backuptest.Fill(t, st, keys(0, 20), noise(seed, 50))
	return backuptest.File(t, backuptest.Head(t), st)
}

func large(t testing.TB, seed string, bytes int) []byte {
	t.Helper()
	st := newStore(t)
	backuptest.Fill(t, st, keys(0, bytes/4096), noise(seed, 4070))
	return backuptest.File(t, backuptest.Head(t), st)
}

func TestASnapshotComesBackByteForByte(t *testing.T) {
	p := newPlace(t)
	var seen []backup.Progress
	file := large(t, "a", 20<<20)
	m, err := p.Save(t.Context(), bytes.NewReader(file), backup.SaveOptions{
		Origin:   backup.Origin{Cluster: "orders", Replica: "replica-1", Software: "v9"},
		Progress: func(n backup.Progress) { seen = append(seen, n) }})
	if err != nil {
		t.Fatal(err)
	}
	p.good(m.ID, file)
	p.good("", file)
	last := seen[len(seen)-1]
	if last.Done != uint64(len(file)) || last.Total != last.Done || last.Chunks != len(m.Chunks) ||
		last.Reused != 0 || len(seen) != len(m.Chunks) || len(m.Chunks) < 5 {
		t.Errorf("progress ends with %+v for %d chunks of %d bytes", last, len(m.Chunks), len(file))
	}
	if m.Cluster != "orders" || m.Replica != "replica-1" || m.Software != "v9" || m.Tag != 7 ||
		m.Keys != 20<<20/4096 || m.Epoch != 1 || m.Index != m.Keys || m.Bytes != uint64(len(file)) {
		m.Sections, m.Chunks = "", nil
		t.Errorf("%+v", m)
	}
	var read backup.Progress
	v, err := p.Verify(t.Context(), m, true, func(n backup.Progress) { read = n })
	if err != nil || len(v.Bad) > 0 || v.Chunks != len(m.Chunks) || !v.Decoded ||
		read.Done != uint64(len(file)) {
		t.Errorf("%+v, %v; %+v", v, err, read)
	}
}

func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	p := newPlace(t)
	file := large(t, "a", 10<<20)
	a := p.save(file)
	n := len(p.files("chunks"))
	b := p.save(file)
	if len(p.files("chunks")) != n || !slices.Equal(a.Chunks, b.Chunks) {
		t.Error("the same snapshot was written twice")
	}
	full, err := p.Save(t.Context(), bytes.NewReader(file), backup.SaveOptions{Full: true})
	if err != nil || len(p.files("chunks")) != 2*n {
		t.Errorf("a full backup left %d chunks, there were %d: %v", len(p.files("chunks")), n, err)
	}
	for _, m := range []*backup.Manifest{a, b, full} {
		p.good(m.ID, file)
	}
}

func TestAStreamThatIsNotASnapshotLeavesNoBackup(t *testing.T) {
	p := newPlace(t)
	old := p.save(small(t, "old"))
	file := small(t, "new")
	try := func(what string, b []byte) {
		t.Helper()
		if m, err := p.Save(t.Context(), bytes.NewReader(b), backup.SaveOptions{}); err == nil || m != nil {
			t.Errorf("%s: taken for a snapshot", what)
		}
	}
	for n := range file {
		try(fmt.Sprintf("%d bytes", n), file[:n])
		c := bytes.Clone(file)
		c[n] ^= 0x10
		try(fmt.Sprintf("byte %d flipped", n), c)
	}
	try("a byte more", append(bytes.Clone(file), 0))
	if all, err := p.List(t.Context()); err != nil || len(all) != 1 || all[0].ID != old.ID {
		t.Errorf("%v, %v", all, err)
	}
}

// TestEveryChangedByteIsFound changes each byte of a backup, and cuts it off there.
func TestEveryChangedByteIsFound(t *testing.T) {
	p := newPlace(t)
	m := p.save(small(t, "a"))
	files := append(p.files("chunks"), p.files("backups")...)
	for _, name := range files {
		whole := p.fs.Bytes(name)
		for at := range whole {
			for what, b := range map[string][]byte{"flip": flipped(whole, at), "cut": whole[:at]} {
				p.fs.Edit(name, func([]byte) []byte { return b })
				if _, err := p.verify(m.ID); err == nil {
					t.Fatalf("%s at byte %d of %s: %v", what, at, name, err)
				}
			}
		}
		p.fs.Edit(name, func([]byte) []byte { return append(bytes.Clone(whole), 0) })
		if _, err := p.verify(m.ID); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("a byte more in %s: %v", name, err)
		}
		p.fs.Edit(name, func([]byte) []byte { return whole })
	}
	if _, err := p.verify(m.ID); err != nil {
		t.Error(err)
	}
}

func flipped(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 1 << (at % 8)
	return c
}

func (p *place) verify(id string) (backup.Verified, error) {
	m, err := p.Manifest(p.Context(), id)
	if err != nil {
		return backup.Verified{}, err
	}
	return p.Verify(p.Context(), m, false, nil)
}

func TestVerifyNamesEveryBadChunk(t *testing.T) {
	p := newPlace(t)
	m := p.save(large(t, "a", 10<<20))
	var bad []string
	for i, c := range m.Chunks {
		name := path.Join(root, "chunks", c.Name)
		switch i % 3 {
		case 0:
			p.fs.Edit(name, func(b []byte) []byte { return flipped(b, len(b)/2) })
		case 1:
			if err := p.fs.Remove(name); err != nil {
				t.Fatal(err)
			}
		default:
			continue
		}
		bad = append(bad, c.Name)
	}
	for _, decode := range []bool{false, true} {
		v, err := p.Verify(t.Context(), m, decode, nil)
		if err == nil || !slices.Equal(v.Bad, bad) {
			t.Errorf("bad are %d chunks, found were %d: %v", len(bad), len(v.Bad), err)
		}
	}
}

// TestACrashAnywhereLeavesOlderBackupsAsTheyWere pulls the plug at every operation of a backup.
func TestACrashAnywhereLeavesOlderBackupsAsTheyWere(t *testing.T) {
	begin := newPlace(t)
	old, fresh := large(t, "old", 2<<20), large(t, "new", 2<<20)
	first := begin.save(old)
	durable := begin.fs.Crash(1) // all of it is
	outcomes := map[bool]int{}
	for n := uint64(0); ; n++ {
		p := placeOn(t, durable.Crash(n))
		p.now = begin.now.Add(time.Minute)
		p.Archive = p.archive(mustOpen(t, p.fs), 1) // one after another, so that n means something
		p.fs.Hook = fault.CrashAt(n)
		_, err := p.Save(t.Context(), bytes.NewReader(fresh), backup.SaveOptions{})
		crashed := p.fs.Crashed()
		if crashed == (err == nil) {
			t.Fatalf("operation %d: crashed %v, error %v", n, crashed, err)
		}
		for seed := range uint64(4) {
			after := placeOn(t, p.fs.Crash(seed))
			after.now = p.now
			after.good(first.ID, old)
			all, err := after.List(t.Context())
			if err != nil || len(all) == 0 || len(all) > 2 || all[0].ID != first.ID {
				t.Fatalf("operation %d: %d backups, %v", n, len(all), err)
			}
			for _, e := range all[1:] {
				after.good(e.ID, fresh)
			}
			outcomes[len(all) == 2]++
			after.good(after.save(fresh).ID, fresh) // and the next try succeeds
		}
		if !crashed {
			break
		}
	}
	if outcomes[false] < 20 || outcomes[true] < 4 {
		t.Errorf("with the backup and without: %v", outcomes)
	}
}

func mustOpen(t *testing.T, fs *fault.FS) *backup.Directory {
	t.Helper()
	d, err := backup.OpenDirectory(fs, root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestADiskErrorAnywhereFailsTheBackup lets every operation fail once.
func TestADiskErrorAnywhereFailsTheBackup(t *testing.T) {
	file := small(t, "a")
	for n := uint64(0); ; n++ {
		p := newPlace(t)
		reached := false
		fail := fault.FailAt(n, fault.ErrIO)
		p.fs.Hook = func(op fault.Op) error {
			err := fail(op)
			reached = reached || err != nil
			return err
		}
		_, err := p.Save(t.Context(), bytes.NewReader(file), backup.SaveOptions{})
		if !reached {
			break
		}
		if !errors.Is(err, fault.ErrIO) {
			t.Errorf("operation %d failed, the backup did not: %v", n, err)
		}
		p.fs.Hook = nil
		p.good(p.save(file).ID, file)
	}
}

func TestCancellation(t *testing.T) {
	p := newPlace(t)
	file := large(t, "a", 10<<20)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p.Save(ctx, bytes.NewReader(file), backup.SaveOptions{Progress: func(n backup.Progress) {
		if n.Chunks == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("save: %v", err)
	}
	m := p.save(file)
	ctx, cancel = context.WithCancel(t.Context())
	err = p.WriteTo(ctx, m, io.Discard, func(backup.Progress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	for range 200 { // whoever notices first
		if err := p.WriteTo(ctx, m, io.Discard, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
		if _, err := p.Save(ctx, bytes.NewReader(file), backup.SaveOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("save: %v", err)
		}
	}
}

// flaky fails calls for a reason that passes: each name's first few.
type flaky struct {
	backup.Destination
	mu    sync.Mutex
	times int
	seen  map[string]int
}

func (f *flaky) fail(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[name]++; f.seen[name] > f.times {
		return nil
	}
	return &backup.Temporary{Err: errors.New("busy")}
}

func (f *flaky) Put(ctx context.Context, name string, b []byte) error {
	if err := f.fail("put " + name); err != nil {
		return err
	}
	return f.Destination.Put(ctx, name, b)
}

func (f *flaky) Get(ctx context.Context, name string, limit int) ([]byte, error) {
	if err := f.fail("get " + name); err != nil {
		return nil, err
	}
	return f.Destination.Get(ctx, name, limit)
}

func (f *flaky) List(ctx context.Context, folder string) ([]backup.Object, error) {
	if err := f.fail("list " + folder); err != nil {
		return nil, err
	}
	return f.Destination.List(ctx, folder)
}

func TestWhatFailsForAWhileIsTriedAgain(t *testing.T) {
	p := newPlace(t)
	file := large(t, "a", 5<<20)
	p.Archive = p.archive(&flaky{Destination: mustOpen(t, p.fs), times: 5, seen: map[string]int{}}, 3)
	p.good(p.save(file).ID, file)
	p.Archive = p.archive(&flaky{Destination: mustOpen(t, p.fs), times: 6, seen: map[string]int{}}, 3)
	_, err := p.Save(t.Context(), bytes.NewReader(file), backup.SaveOptions{})
	if err == nil || !strings.Contains(err.Error(), "tried 6 times") {
		t.Error(err)
	}
}

func TestAListSaysWhichManifestIsDamaged(t *testing.T) {
	p := newPlace(t)
	a, b := p.save(small(t, "a")), p.save(small(t, "b"))
	p.fs.Edit(path.Join(root, "backups", a.ID+".json"), func(b []byte) []byte { return b[1:] })
	p.fs.Edit(path.Join(root, "backups", "notes.txt"), func([]byte) []byte { return []byte("mine") })
	all, err := p.List(t.Context())
	if err != nil || len(all) != 2 || !errors.Is(all[0].Err, backup.ErrDamaged) || all[1].Err != nil ||
		all[1].Manifest.ID != b.ID {
		t.Errorf("%+v, %v", all, err)
	}
	// A manifest under another's name is not that other.
	other := p.fs.Bytes(path.Join(root, "backups", b.ID+".json"))
	p.fs.Edit(path.Join(root, "backups", a.ID+".json"), func([]byte) []byte { return other })
	if _, err := p.Manifest(t.Context(), a.ID); !errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
}

func TestNoBackupsAreSaidToBeNone(t *testing.T) {
	p := newPlace(t)
	if all, err := p.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	for _, id := range []string{"", "20260820T160000.000Z-00000000"} {
		if _, err := p.Manifest(t.Context(), id); !errors.Is(err, backup.ErrNotFound) {
			t.Error(err)
		}
	}
	if _, err := backup.OpenDirectory(fault.New(1), "elsewhere"); err == nil {
		t.Error("a directory that is not there was opened")
	}
}
