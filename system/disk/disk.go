package disk

import (
	"errors"
	"io"
)

// Errors that every implementation reports in the same words.
var (
	// ErrNoSpace is wrapped by what fails because the disk, or a quota, is full.
	ErrNoSpace = errors.New("no space left on the device")
	// ErrLocked is wrapped when somebody else holds a lock.
	ErrLocked = errors.New("locked by another process")
)

// FS is a file system. An FS may be used by several goroutines.
type FS interface {
	// Create makes an empty file, in place of what had the name before.
	Create(name string) (File, error)
	// Open opens a file that exists for reading and writing.
	Open(name string) (File, error)
	// Remove removes a file's name.
	Remove(name string) error
	// Rename gives a file another name, in place of what had that name before, or a directory one that
	// is free.
	Rename(from, to string) error
	// List is what lies in a directory, sorted by name.
	List(dir string) ([]Entry, error)
	// MkdirAll makes a directory and what is above it; the directories themselves are durable then.
	MkdirAll(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Free is how many bytes an ordinary user may still write on the file system of dir.
	Free(dir string) (bytes uint64, err error)
	// Lock creates the file name if need be and holds an exclusive lock on it until the result is
	// closed or the process ends. The error wraps [ErrLocked] if it is held.
	Lock(name string) (io.Closer, error)
}

// File is an open file. One goroutine may write while others read, if not the same bytes.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Truncate sets the length; what it adds reads as zeros.
	Truncate(size int64) error
	// Allocate makes the file at least size bytes long, and sees to it that writes below size do not
	// fail for want of space.
	Allocate(size int64) error
	// Sync makes data and length durable (fdatasync). The name is [FS.SyncDir]'s.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
}

// Entry is one name in a directory.
type Entry struct {
	Name string // within the directory
	Size int64  // bytes
	Dir  bool   // a directory
}

// WriteBack asks the system to begin writing n bytes from off to the device, and does not wait, so that a
// later Sync has less to do. A hint: what cannot take it ignores it, and errors are Sync's to report.
func WriteBack(f File, off, n int64) {
	if w, ok := f.(interface{ writeBack(off, n int64) }); ok {
		w.writeBack(off, n)
	}
}
