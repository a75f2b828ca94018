package backup

import (
	"context"
	"errors"
)

// Destination is a place for objects of some MiB. It may be used by several goroutines. Names are
// those of the package's documentation: two parts, with one slash, of letters, digits, '.' and '-'.
type Destination interface {
	// Put stores an object, whole or not at all; it is durable on return. What had the name is replaced.
	Put(ctx context.Context, name string, b []byte) error
	// Get reads an object of at most limit bytes. The error wraps [ErrNotFound] if there is none.
	Get(ctx context.Context, name string, limit int) ([]byte, error)
	// List is what there is under a folder, sorted by name: all of it, or an error.
	List(ctx context.Context, folder string) ([]Object, error)
	// Remove removes an object. That there is none is no error.
	Remove(ctx context.Context, name string) error
	// String is what people call the place.
	String() string
}

// Object is one object of a list.
type Object struct {
	Name string // within its folder
	Size int64
}

var (
	// ErrNotFound is wrapped when there is no such object, or no such backup.
	ErrNotFound = errors.New("not found")
	// ErrDamaged is wrapped when what was read is not what was written.
	ErrDamaged = errors.New("damaged")
)

// Temporary wraps an error after which the same call may succeed.
type Temporary struct{ Err error }

func (t *Temporary) Error() string { return t.Err.Error() }

// Unwrap is the error itself.
func (t *Temporary) Unwrap() error { return t.Err }

// The folders of a destination.
const (
	chunkFolder  = "chunks"
	backupFolder = "backups"
	doomedFolder = "doomed"
	manifestExt  = ".json"
)
