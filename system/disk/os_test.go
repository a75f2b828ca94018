package disk_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

// Both implementations are held to the same words.
func each(t *testing.T, test func(t *testing.T, fsys disk.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, disk.OS(), filepath.Join(t.TempDir(), "a", "b")) })
	t.Run("fault", func(t *testing.T) { test(t, fault.New(1), "/a/b") })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesKeepWhatIsWritten(t *testing.T) {
	each(t, func(t *testing.T, fsys disk.FS, dir string) {
		must(t, fsys.MkdirAll(dir))
		must(t, fsys.MkdirAll(dir))
		f, err := fsys.Create(filepath.Join(dir, "f"))
		must(t, err)
		_, err = f.WriteAt([]byte("world"), 6)
		must(t, err)
		_, err = f.WriteAt([]byte("hello"), 0)
		must(t, err)
		must(t, f.Sync())
		b := make([]byte, 20)
		n, err := f.ReadAt(b, 0)
		if string(b[:n]) != "hello\x00world" || err == nil {
			t.Errorf("read %q, %v", b[:n], err)
		}
		must(t, f.Truncate(4))
		must(t, f.Allocate(9))
		must(t, f.Allocate(2))
		n, _ = f.ReadAt(b, 0)
		if size, err := f.Size(); string(b[:n]) != "hell\x00\x00\x00\x00\x00" || size != 9 || err != nil {
			t.Errorf("read %q of %d, %v", b[:n], size, err)
		}
		must(t, f.Close())
		if err := f.Sync(); err == nil {
			t.Error("a closed file is synced")
		}
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fsys disk.FS, dir string) {
		must(t, fsys.MkdirAll(filepath.Join(dir, "sub")))
		for _, name := range []string{"b", "a", "c"} {
			f, err := fsys.Create(filepath.Join(dir, name))
			must(t, err)
			_, err = f.WriteAt([]byte(name+name), 0)
			must(t, err)
			must(t, f.Close())
		}
		must(t, fsys.Rename(filepath.Join(dir, "c"), filepath.Join(dir, "a")))
		must(t, fsys.SyncDir(dir))
		entries, err := fsys.List(dir)
		must(t, err)
		want := []disk.Entry{{Name: "a", Size: 2}, {Name: "b", Size: 2}, {Name: "sub", Dir: true}}
		for i := range want {
			if len(entries) != len(want) || entries[i].Name != want[i].Name || entries[i].Dir != want[i].Dir ||
				!want[i].Dir && entries[i].Size != want[i].Size {
				t.Fatalf("listed %v, want %v", entries, want)
			}
		}
		f, err := fsys.Open(filepath.Join(dir, "a"))
		must(t, err)
		b := make([]byte, 2)
		if _, err := f.ReadAt(b, 0); string(b) != "cc" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		must(t, f.Close())
		must(t, fsys.Remove(filepath.Join(dir, "a")))
		_, opened := fsys.Open(filepath.Join(dir, "a"))
		_, created := fsys.Create(filepath.Join(dir, "nowhere", "a"))
		_, listed := fsys.List(filepath.Join(dir, "nowhere"))
		for i, err := range []error{opened, created, listed, fsys.Remove(filepath.Join(dir, "a")),
			fsys.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b"))} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("case %d of what is not there: %v", i, err)
			}
		}
		if free, err := fsys.Free(dir); err != nil || free == 0 {
			t.Errorf("%d bytes free, %v", free, err)
		}
	})
}

func TestALockIsOneHolders(t *testing.T) {
	each(t, func(t *testing.T, fsys disk.FS, dir string) {
		must(t, fsys.MkdirAll(dir))
		name := filepath.Join(dir, "lock")
		l, err := fsys.Lock(name)
		must(t, err)
		if _, err := fsys.Lock(name); !errors.Is(err, disk.ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}
