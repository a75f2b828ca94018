package version

import (
	"runtime"
	"strings"
)

// Commit is the git commit this binary was built from: 40 hexadecimal digits, followed by "-dirty" if
// tracked or new source files differed from it, or "unknown". The linker sets it:
//
//	go build -ldflags "-X metronome/internal/version.Commit=…"
//
// because builds with -buildvcs=false, or outside a clone, carry no stamp of Go's own.
var Commit = "unknown"

const dirtySuffix = "-dirty"

// Dirty reports whether the source differed from [Commit] when this binary was built.
func Dirty() bool { return strings.HasSuffix(Commit, dirtySuffix) }

// Hash returns the commit without the dirty mark: 40 hexadecimal digits, or "unknown".
func Hash() string { return strings.TrimSuffix(Commit, dirtySuffix) }

// Short returns the first 7 digits of [Hash], as they appear in run ids.
func Short() string { return Hash()[:7] }

// String returns the commit and the Go version in one line, as --version prints it.
func String() string { return Commit + " " + runtime.Version() }
