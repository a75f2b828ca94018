package storage_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"metronome/internal/require"
	"metronome/system/disk"
	"metronome/system/lane"
	"metronome/system/replica"
	"metronome/system/wire"
)

// smallDisk makes an ext4 of so many bytes this thread's working directory, and of no other thread: mounts
// end with it. The image lies in memory, so that no real disk is waited for.
func smallDisk(t *testing.T, bytes int64) {
	t.Helper()
	below, image := t.TempDir(), ""
	runtime.LockOSThread() // for good: the thread ends with the test
	err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
	if err == nil {
		err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("none", below, "tmpfs", 0, "")
	}
	if err != nil {
		require.Skip(t, "root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
	image, at := filepath.Join(below, "image"), filepath.Join(below, "disk")
	err = errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, bytes), os.Mkdir(at, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image},
		{"mount", "-o", "loop", image, at}} {
		if out, err := exec.Command(run[0], run[1:]...).CombinedOutput(); err != nil {
			require.Skip(t, "root", errors.Join(err, errors.New(string(out))))
		}
	}
	t.Cleanup(func() { _ = errors.Join(unix.Chdir("/"), unix.Unmount(at, unix.MNT_DETACH)) })
	if err := unix.Chdir(at); err != nil {
		t.Fatal(err)
	}
}

// fill takes all the room there is.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size, step := int64(0), int64(16<<20); step >= 1<<10; {
		switch err := unix.Fallocate(int(f.Fd()), 0, size, step); {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			t.Fatal(err)
		}
	}
}

// TestARealDiskFillsDuringASnapshot, under load, to the last byte: the kernel refuses what is left of the
// snapshot, and then room for the journal. Clients are refused, the replica stays. When there is room again
// it goes on, everything that was taken is answered, and a restart has everything that was acknowledged.
func TestARealDiskFillsDuringASnapshot(t *testing.T) {
	smallDisk(t, 48<<20)
	r, err := startWith(t, disk.OS(), 1, func(c *replica.Config) {
		c.JournalBytes, c.Lane = 2<<20, lane.Config{Window: 512, Arena: 1 << 20}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.told, r.piece = true, 16<<10
	r.write(0, 1)
	if !r.flood(func() bool {
		return r.core.View().Journal.Saved > 0 && r.saving != nil && r.saving.Offset() > 0
	}) {
		t.Fatal("no snapshot is written beside another", r.err)
	}
	saved := r.core.View().Journal.Saved
	fill(t, "filler")
	if !r.flood(func() bool { return r.core.Counters().Unsaved > 0 && r.proxy.View().Full }) {
		t.Fatal("nobody is refused", r.err)
	}
	if why := r.unsaved[0]; !errors.Is(why, unix.ENOSPC) {
		t.Errorf("the first snapshot fails for another reason: %v", why)
	}
	it := wire.Item{Op: wire.OpPut, Key: key(1), Value: value(1)}
	if s := r.proxy.Submit(r.now, 0, &it, 1<<40); s != wire.StatusBusy {
		t.Errorf("a put's status is %d, want %d", s, wire.StatusBusy)
	}
	for range 500 {
		r.now += 5 * ms
		if r.step(); r.err != nil || r.core.Err() != nil {
			t.Fatal(r.err, r.core.Err())
		}
	}
	if at := r.core.View().Journal.Saved; at != saved {
		t.Errorf("a snapshot of position %d is saved on a full disk, the one before is of %d", at, saved)
	}

	if err := os.Remove("filler"); err != nil {
		t.Fatal(err)
	}
	r.idle("everything that was taken is answered, and writes are taken", func() bool {
		return len(r.ended) == r.sent && !r.proxy.View().Full
	})
	if !r.flood(func() bool { return r.core.View().Journal.Saved > saved }) {
		t.Fatal("no snapshot is saved any more", r.err)
	}
	r.idle("all is quiet", func() bool { return len(r.ended) == r.sent })
	if err := r.dir.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := start(t, disk.OS(), 2)
	if err != nil || after.report.Lost != nil {
		t.Fatal(err, after.report)
	}
	after.check("after a restart", len(r.ended))
}
