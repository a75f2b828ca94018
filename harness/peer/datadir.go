package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// Places for data.
const (
	memoryDir = "memory" // tmpfs
	diskDir   = "disk"   // where temporary files go
)

const (
	shm       = "/dev/shm"
	dirPrefix = "metronome-peer-"
	newPrefix = ".metronome-peer-" // not locked yet: no sweep looks at it
)

// dataDir is a directory that belongs to this process for as long as it holds the lock of a file in
// it. The kernel drops the lock of a process that was killed, and the next one's sweep finds the rest.
type dataDir struct {
	path string
	kind string // of the file system
	lock *os.File
}

// newDir makes an empty directory, which the host removes at the latest.
func (h *Host) newDir(place string) (*dataDir, error) {
	d, err := makeDir(place)
	if err == nil {
		h.dirs = append(h.dirs, d)
	}
	return d, err
}

// Scratch makes an empty folder for a cluster of ours with some settings: on disk if it is to be durable. If
// this process is killed, the next one that prepares a host removes it.
func Scratch(s Settings) (dir, fs string, remove func() error, err error) {
	sweep()
	d, err := makeDir(s.place())
	if err != nil {
		return "", "", nil, err
	}
	return d.path, d.kind, d.remove, nil
}

// makeDir makes an empty directory.
func makeDir(place string) (*dataDir, error) {
	parent := os.TempDir()
	if place == memoryDir {
		parent = shm
	}
	kind, err := fileSystem(parent)
	if err != nil {
		return nil, err
	}
	if place == memoryDir && kind != "tmpfs" {
		return nil, &packet.ErrUnavailable{What: "tmpfs", Why: parent + " is of type " + kind,
			Next: "mount -t tmpfs tmpfs " + parent}
	}
	d := &dataDir{kind: kind}
	fresh, err := os.MkdirTemp(parent, newPrefix)
	if err != nil {
		return nil, fmt.Errorf("folder for data: %w", err)
	}
	if d.lock, err = lockIn(fresh); err != nil {
		return nil, errors.Join(err, os.RemoveAll(fresh))
	}
	d.path = filepath.Join(parent, strings.TrimPrefix(filepath.Base(fresh), "."))
	if err := os.Rename(fresh, d.path); err != nil {
		return nil, errors.Join(fmt.Errorf("folder for data: %w", err), d.lock.Close(), os.RemoveAll(fresh))
	}
	return d, nil
}

// lockIn takes the lock of a directory, if nobody has it.
func lockIn(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of a folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// sub makes a directory in it.
func (d *dataDir) sub(name string) (string, error) {
	path := filepath.Join(d.path, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("folder for data: %w", err)
	}
	return path, nil
}

// remove removes it. It may be called again.
func (d *dataDir) remove() error {
	err := os.RemoveAll(d.path)
	if e := d.lock.Close(); e != nil && !errors.Is(e, fs.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// sweep removes the directories of processes that are gone. What it may not touch, it leaves.
func sweep() {
	for _, parent := range []string{shm, os.TempDir()} {
		dirs, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*")) // the pattern is well-formed
		for _, dir := range dirs {
			if lock, err := lockIn(dir); err == nil {
				_ = os.RemoveAll(dir)
				_ = lock.Close()
			}
		}
	}
}

// fileSystem names the kind of file system a path lies on.
func fileSystem(path string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return "", fmt.Errorf("file system of %s: %w", path, err)
	}
	known := map[int64]string{unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4",
		unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay"}
	if name, ok := known[s.Type]; ok {
		return name, nil
	}
	return fmt.Sprintf("%#x", s.Type), nil
}
