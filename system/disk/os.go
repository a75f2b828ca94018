package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OS is the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct{ f *os.File }

// Create implements [FS].
func (osFS) Create(name string) (File, error) {
	return opened(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_CLOEXEC, 0o640))
}

// Open implements [FS].
func (osFS) Open(name string) (File, error) {
	return opened(os.OpenFile(name, os.O_RDWR|unix.O_CLOEXEC, 0))
}

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, wrap(err)
	}
	return osFile{f}, nil
}

// Remove implements [FS].
func (osFS) Remove(name string) error { return wrap(os.Remove(name)) }

// Rename implements [FS].
func (osFS) Rename(from, to string) error { return wrap(os.Rename(from, to)) }

// List implements [FS].
func (osFS) List(dir string) ([]Entry, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(names))
	for _, n := range names {
		info, err := n.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, Entry{Name: n.Name(), Size: info.Size(), Dir: n.IsDir()})
	}
	return entries, nil
}

// MkdirAll implements [FS].
func (o osFS) MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if parent != dir {
		if err := o.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return wrap(err)
	}
	return o.SyncDir(parent)
}

// SyncDir implements [FS].
func (osFS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return wrap(errors.Join(f.Sync(), f.Close()))
}

// Free implements [FS].
func (osFS) Free(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// Lock implements [FS].
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, wrap(err)
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

// ReadAt implements [File].
func (o osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

// WriteAt implements [File].
func (o osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(p, off)
	return n, wrap(err)
}

// Close implements [File].
func (o osFile) Close() error { return o.f.Close() }

// Truncate implements [File].
func (o osFile) Truncate(size int64) error { return wrap(o.f.Truncate(size)) }

// Allocate implements [File].
func (o osFile) Allocate(size int64) error {
	have, err := o.Size()
	if err != nil || have >= size {
		return err
	}
	err = retry(func() error { return unix.Fallocate(int(o.f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return o.fill(have, size)
	}
	if err != nil {
		return wrap(fmt.Errorf("allocate %d bytes for %s: %w", size, o.f.Name(), err))
	}
	return nil
}

// fill allocates where the file system cannot: with zeros.
func (o osFile) fill(from, to int64) error {
	zeros := make([]byte, 1<<16)
	for from < to {
		n, err := o.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// Sync implements [File].
func (o osFile) Sync() error {
	err := retry(func() error { return unix.Fdatasync(int(o.f.Fd())) })
	if err != nil {
		return wrap(fmt.Errorf("fdatasync %s: %w", o.f.Name(), err))
	}
	return nil
}

func (o osFile) writeBack(off, n int64) {
	_ = unix.SyncFileRange(int(o.f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// Size implements [File].
func (o osFile) Size() (int64, error) {
	info, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// retry repeats what a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// wrap makes a full disk known as such.
func wrap(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
