package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// openToOthers are the permissions that no secret may have: a group may read it, nobody else.
const openToOthers = 0o027

// Read reads a file of at most limit bytes that nobody but its owner, and at most a group, may read. A
// file that does not exist is os.ErrNotExist.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no file (%v)", path, mode.Type())
	case mode.Perm()&openToOthers != 0:
		return nil, fmt.Errorf("%s is open to others (%v): chmod 600 %s", path, mode.Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s holds more than %d bytes: it is no file of this kind", path, limit)
	}
	return b, nil
}

// Write replaces a file, whole or not at all: a new file with mode 0600 is written, synced and renamed,
// then the directory is synced. A file that belonged to somebody else keeps its owner where this process
// may give files away, so that root editing a service's credentials does not lock the service out. Behind
// a symbolic link, the file that it names is replaced.
func Write(path string, content []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, keepOwner(path, f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write a secret: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(dir)
}

// keepOwner gives f to whom path belongs.
func keepOwner(path string, f *os.File) error {
	info, err := os.Stat(path)
	if err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // a new file is ours, and only root gives files away
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (s.Uid == 0 && s.Gid == 0) {
		return nil
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}

// syncDir makes a rename survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync a directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync a directory: %w", err)
	}
	return nil
}

// Lock waits until no other process edits files beside path, and keeps others waiting until unlock is
// called. The lock is on the directory, so it leaves no file behind, and ends with the process.
func Lock(path string) (unlock func(), err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, d.Close()))
	}
	return func() { _ = d.Close() }, nil
}
