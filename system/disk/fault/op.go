package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Kind is a kind of operation.
type Kind uint8

// The kinds. Those up to [Sync] change something.
const (
	Create Kind = iota
	Remove
	Rename
	MkdirAll
	SyncDir
	Write
	Truncate
	Allocate
	Sync
	Open
	List
	Free
	Lock
	Read
	Kinds // how many there are
)

var kindNames = [Kinds]string{"create", "remove", "rename", "mkdir", "syncdir", "write", "truncate",
	"allocate", "sync", "open", "list", "free", "lock", "read"}

// String is the kind's name.
func (k Kind) String() string {
	if k >= Kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Changes reports whether operations of this kind change what is on the disk.
func (k Kind) Changes() bool { return k <= Sync }

// Op is an operation about to be done. What [FS.Hook] answers decides what becomes of it:
//
//	nil                  it is done
//	[ErrCrash]           the plug is pulled: it and all that follow fail, undone
//	[ErrLie]             Sync and SyncDir claim success and do nothing
//	what [Short] gives   Write writes the first bytes only, and fails
//	any other error      it fails with that error, undone
type Op struct {
	N      uint64 // operations before it, of any kind
	Kind   Kind
	Name   string
	Offset int64
	Len    int
}

var (
	// ErrCrash is the hook's way of pulling the plug, and what every operation says afterwards.
	ErrCrash = errors.New("fault: the machine has crashed")
	// ErrLie makes a Sync or SyncDir lie.
	ErrLie = errors.New("fault: lie")
	// ErrIO is what a broken disk says.
	ErrIO error = syscall.EIO
)

type short struct {
	n   int
	err error
}

func (s *short) Error() string { return fmt.Sprintf("%d bytes written, then: %v", s.n, s.err) }
func (s *short) Unwrap() error { return s.err }

// Short makes a Write end with err after n bytes.
func Short(n int, err error) error { return &short{n, err} }

// CrashAt is a hook that pulls the plug at the n-th operation, from 0, that changes something.
func CrashAt(n uint64) func(Op) error { return FailAt(n, ErrCrash) }

// FailAt is a hook with err for the n-th operation, from 0, that changes something.
func FailAt(n uint64, err error) func(Op) error {
	var seen uint64
	return func(op Op) error {
		if !op.Kind.Changes() {
			return nil
		}
		seen++
		if seen == n+1 {
			return err
		}
		return nil
	}
}

// Changes is how many operations that change something were begun.
func (f *FS) Changes() (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind := range Kinds {
		if kind.Changes() {
			n += f.Count[kind]
		}
	}
	return n
}

// begin counts an operation and asks the hook. The caller holds the lock.
func (f *FS) begin(op Op) error {
	if f.crashed {
		return ErrCrash
	}
	op.N = f.ops
	f.ops++
	f.Count[op.Kind]++
	if f.Hook == nil {
		return nil
	}
	err := f.Hook(op)
	f.crashed = errors.Is(err, ErrCrash)
	return err
}

// lied is what the caller of an operation sees of the hook's answer.
func lied(err error) error {
	if errors.Is(err, ErrLie) {
		return nil
	}
	return err
}
