package fault

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/disk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, f *FS, name string, content []byte) disk.File {
	t.Helper()
	file, err := f.Create(name)
	must(t, err)
	_, err = file.WriteAt(content, 0)
	must(t, err)
	return file
}

// outcomes are the different results of many crashes.
func outcomes(f *FS, see func(*FS) string) map[string]int {
	seen := map[string]int{}
	for seed := range uint64(400) {
		seen[see(f.Crash(seed))]++
	}
	return seen
}

func content(name string) func(*FS) string {
	return func(f *FS) string { return string(f.Bytes(name)) }
}

func TestWhatIsSyncedSurvives(t *testing.T) {
	f := New(1)
	must(t, create(t, f, "/a", []byte("safe")).Sync())
	must(t, f.SyncDir("/"))
	if seen := outcomes(f, content("/a")); len(seen) != 1 || seen["safe"] == 0 {
		t.Errorf("outcomes: %v", seen)
	}
}

func TestANameNeedsSyncDir(t *testing.T) {
	f := New(1)
	must(t, create(t, f, "/a", []byte("safe")).Sync())
	if seen := outcomes(f, content("/a")); seen["safe"] == 0 || seen[""] == 0 {
		t.Errorf("outcomes: %v", seen)
	}
	must(t, f.SyncDir("/"))
	must(t, f.Rename("/a", "/b"))
	must(t, create(t, f, "/c", nil).Sync())
	must(t, f.Remove("/c"))
	names := func(f *FS) string { return string(bytes.Join(toBytes(f.Names()), []byte(","))) }
	seen := outcomes(f, names)
	if seen["/a"] == 0 || seen["/b"] == 0 || seen["/b,/c"] == 0 || seen["/a,/b"] != 0 || seen[""] != 0 {
		t.Errorf("outcomes: %v", seen)
	}
	if names(f.Kill()) != "/b" {
		t.Errorf("killed: %v", f.Kill().Names())
	}
}

func toBytes(names []string) (b [][]byte) {
	for _, n := range names {
		b = append(b, []byte(n))
	}
	return b
}

// TestPagesAreDroppedKeptAndTorn, each on its own, between sectors only.
func TestPagesAreDroppedKeptAndTorn(t *testing.T) {
	f := New(1)
	file := create(t, f, "/a", bytes.Repeat([]byte("o"), 2*pageSize))
	must(t, errors.Join(file.Sync(), f.SyncDir("/")))
	_, err := file.WriteAt(bytes.Repeat([]byte("n"), 2*pageSize), 0)
	must(t, err)
	kinds := outcomes(f, func(f *FS) string {
		b, kind := f.Bytes("/a"), ""
		for p := 0; p < len(b); p += pageSize {
			for s := p; s < p+pageSize; s += sectorSize {
				if !bytes.Equal(b[s:s+sectorSize], bytes.Repeat(b[s:s+1], sectorSize)) {
					t.Fatal("torn inside a sector")
				}
			}
			switch n := bytes.Count(b[p:p+pageSize], []byte("n")); n {
			case 0:
				kind += "o"
			case pageSize:
				kind += "n"
			default:
				kind += "t"
			}
		}
		return kind
	})
	for _, kind := range []string{"oo", "on", "no", "nn", "ot", "to", "nt", "tn", "tt"} {
		if kinds[kind] == 0 {
			t.Errorf("never %s: %v", kind, kinds)
		}
	}
	if len(f.Bytes("/a")) != 2*pageSize || f.Kill().Bytes("/a")[0] != 'n' {
		t.Error("asking for outcomes changed the disk, or a kill lost something")
	}
}

func TestLengthNeedsSync(t *testing.T) {
	f := New(1)
	file := create(t, f, "/a", []byte("1234"))
	must(t, errors.Join(file.Sync(), f.SyncDir("/")))
	must(t, file.Truncate(2))
	if seen := outcomes(f, content("/a")); seen["1234"] == 0 || seen["12"] == 0 {
		t.Errorf("outcomes: %v", seen)
	}
	must(t, file.Sync())
	if seen := outcomes(f, content("/a")); seen["12"] != 400 {
		t.Errorf("outcomes: %v", seen)
	}
}

// TestHooks: fail, cut short, lie, crash.
func TestHooks(t *testing.T) {
	f := New(1)
	file := create(t, f, "/a", []byte("old"))
	must(t, errors.Join(file.Sync(), f.SyncDir("/")))

	f.Hook = FailAt(0, Short(2, disk.ErrNoSpace))
	if n, err := file.WriteAt([]byte("new"), 0); n != 2 || !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("short: %d, %v", n, err)
	}
	if string(f.Bytes("/a")) != "ned" {
		t.Errorf("after the short write %q", f.Bytes("/a"))
	}
	f.Hook = FailAt(0, ErrLie)
	must(t, file.Sync())
	if seen := outcomes(f, content("/a")); seen["old"] == 0 || seen["ned"] == 0 {
		t.Errorf("a lie: %v", seen)
	}
	f.Hook = FailAt(0, ErrIO)
	if err := file.Sync(); !errors.Is(err, ErrIO) {
		t.Errorf("sync: %v", err)
	}
	must(t, file.Sync())
	failed := map[string]bool{}
	for seed := range uint64(50) { // after a failed sync a good one proves nothing
		f := New(seed)
		file := create(t, f, "/a", []byte("old"))
		must(t, errors.Join(file.Sync(), f.SyncDir("/")))
		_, err := file.WriteAt([]byte("new"), 0)
		must(t, err)
		f.Hook = FailAt(0, ErrIO)
		_ = file.Sync()
		must(t, file.Sync())
		failed[string(f.Crash(1).Bytes("/a"))] = true
	}
	if !failed["old"] || !failed["new"] {
		t.Errorf("after a failed sync: %v", failed)
	}
	f.Hook = CrashAt(0)
	if _, err := file.WriteAt([]byte("x"), 0); !errors.Is(err, ErrCrash) || !f.Crashed() {
		t.Errorf("crash: %v", err)
	}
	if _, err := file.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrCrash) {
		t.Errorf("after the crash: %v", err)
	}
}

func TestSpaceAndRot(t *testing.T) {
	f := New(1)
	f.Capacity = 2 * pageSize
	file := create(t, f, "/a", make([]byte, pageSize))
	if _, err := file.WriteAt(make([]byte, pageSize+1), pageSize); !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("beyond the capacity: %v", err)
	}
	must(t, file.Allocate(2*pageSize))
	if free, _ := f.Free("/"); free != 0 {
		t.Errorf("%d free", free)
	}
	f.Edit("/a", func(b []byte) []byte { b[5] ^= 1; return b })
	f.Spoil("/a", pageSize, 1)
	b := make([]byte, 2*pageSize)
	if n, err := file.ReadAt(b, 0); n != pageSize || !errors.Is(err, ErrIO) || b[5] != 1 {
		t.Errorf("%d bytes of a spoilt file, %v", n, err)
	}
	_, err := file.WriteAt([]byte("heal"), pageSize)
	must(t, err)
	_, err = file.ReadAt(b, 0)
	must(t, err)
}

// TestSameSeedSameDisk does random work twice.
func TestSameSeedSameDisk(t *testing.T) {
	work := func(seed uint64) []byte {
		f, rng := New(seed), rand.New(rand.NewPCG(seed, 0))
		f.Hook = func(Op) error {
			if rng.IntN(10) == 0 {
				return ErrIO
			}
			return nil
		}
		names := []string{"/a", "/b", "/c"}
		for range 200 {
			name := names[rng.IntN(3)]
			file, err := f.Open(name)
			if err != nil {
				file, err = f.Create(name)
			}
			if err != nil {
				continue
			}
			_, _ = file.WriteAt(bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(9000)), rng.Int64N(9000))
			switch rng.IntN(8) {
			case 0:
				_ = file.Sync()
			case 1:
				_ = f.SyncDir("/")
			case 2:
				_ = f.Rename(name, names[rng.IntN(3)])
			case 3:
				_ = file.Truncate(rng.Int64N(9000))
			}
		}
		f = f.Crash(seed)
		var all []byte
		for _, name := range f.Names() {
			all = append(append(all, name...), f.Bytes(name)...)
		}
		return all
	}
	different := 0
	for seed := range uint64(30) {
		if !slices.Equal(work(seed), work(seed)) {
			t.Errorf("seed %d gives two disks", seed)
		}
		if !slices.Equal(work(seed), work(seed+1)) {
			different++
		}
	}
	if different < 20 {
		t.Error("seeds hardly matter")
	}
}
