package secretfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/internal/require"
)

func TestWriteReplacesWholeWithMode0600(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "secret")
	for _, content := range []string{"first, longer", "second"} {
		if err := Write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		b, err := Read(path, 100)
		if err != nil || string(b) != content {
			t.Errorf("%q, %v", b, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestWriteGoesThroughASymbolicLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(Write(target, []byte("old")), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link was replaced: %v, %v", info.Mode(), err)
	}
}

func TestWriteThatFailsLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder") // a folder is in the way
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err == nil {
		t.Fatal("no error")
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestReadRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := Read(path, 10); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, 9); err == nil {
		t.Error("longer than the limit")
	}
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false,
		0o660: false,
		0o604: false, 0o601: false, 0o777: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path, 10)
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%v: %v", mode, err)
		}
	}
	if _, err := Read(t.TempDir(), 10); err == nil {
		t.Error("a folder is no file")
	}
}

func TestKeepsTheOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := Write(path, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 4242, 4343); err != nil {
		require.Skip(t, "root", err)
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if uid, gid := owner(t, path); uid != 4242 || gid != 4343 {
		t.Errorf("now of %d:%d", uid, gid)
	}
}

func TestLockKeepsOthersWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var inside, n atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			unlock, err := Lock(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if inside.Add(1) != 1 {
				t.Error("two are inside")
			}
			n.Add(1)
			inside.Add(-1)
		})
	}
	wg.Wait()
	if n.Load() != 20 {
		t.Error(n.Load())
	}
}

func TestWatchSeesEveryKindOfChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := Write(path, []byte("0")); err != nil {
		t.Fatal(err)
	}
	before := Digest(path)
	if err := Write(path, []byte("1")); err != nil { // between reading and watching
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	seen := make(chan struct{}, 100)
	var wg sync.WaitGroup
	wg.Go(func() { Watch(ctx, time.Millisecond, before, func() { seen <- struct{}{} }, path) })
	<-seen
	stamp := time.Unix(1_000_000, 0)
	for i, change := range []func() error{
		func() error { return Write(path, []byte("2")) },
		func() error { return os.WriteFile(path, []byte("3"), 0o600) }, // same length, in place
		func() error {
			return errors.Join(os.Chtimes(path, stamp, stamp), os.WriteFile(path, []byte("4"), 0o600))
		},
		func() error { return os.Remove(path) },
		func() error { return Write(path, nil) },
	} {
		if err := change(); err != nil {
			t.Fatal(i, err)
		}
		<-seen
	}
	stop()
	wg.Wait()
}

func TestDigestTellsFilesApart(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	sums := map[Sum]string{}
	for _, c := range [][2]string{{"", ""}, {"x", ""}, {"", "x"}, {"xy", ""}, {"x", "y"}, {"", "xy"}} {
		if err := errors.Join(Write(a, []byte(c[0])), Write(b, []byte(c[1]))); err != nil {
			t.Fatal(err)
		}
		sum := Digest(a, b)
		if other := sums[sum]; other != "" {
			t.Errorf("%q and %s are one", c, other)
		}
		sums[sum] = strings.Join(c[:], "|") + "|"
	}
}
