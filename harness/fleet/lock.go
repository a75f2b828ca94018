package fleet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrBusy says that a living process holds a fleet, or plays on this machine.
var ErrBusy = errors.New("in use")

// lock is held by one process at a time. The kernel lets it go when that process ends, however it
// ends.
type lock struct{ file *os.File }

// takeLock takes a lock and writes into it who holds it. It does not wait.
func takeLock(path, what string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("folder of locks: %w", err)
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", what, err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			return nil, heldBy(f, what, err)
		}
		if sameFile(f, path) {
			return sign(f)
		}
		_ = f.Close() // its holder removed it between our opening and our locking
	}
}

func heldBy(f *os.File, what string, err error) error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", what, err)
	}
	owner, _ := io.ReadAll(io.LimitReader(f, 1024))
	return fmt.Errorf("%s is %w by process %s. Next: wait until it ends, or end it", what, ErrBusy,
		strings.TrimSpace(string(owner)))
}

// sign writes the holder's pid and command line into the lock.
func sign(f *os.File) (*lock, error) {
	err := f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d (%s)\n", os.Getpid(), strings.Join(os.Args, " "))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sign a lock: %w", err), f.Close())
	}
	return &lock{f}, nil
}

func sameFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// release lets the lock go and removes its file. It may be called on nil, and again.
func (l *lock) release() {
	if l == nil || l.file == nil {
		return
	}
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
	l.file = nil
}
