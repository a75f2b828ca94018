package runtimes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"metronome/harness/driver/tool"
	"metronome/system/packet"
)

// language is one way to run the client.
type language struct {
	argv []string // what comes before the client's own arguments
	err  error    // why it cannot be run here
}

// The clients' sources, below the repository's root.
const clients = "experiments/runtime-profile/clients"

// CPython is Debian's. A python3 on the path may be somebody's shim, which takes longer to start than the
// interpreter.
const cpython = "/usr/bin/python3"

// build compiles the launcher and the clients that are compiled, from the repository at root, into folder
// out. Its error names what was not built; the rest was.
func build(ctx context.Context, root, out string) (launcher string, all map[string]language, err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return "", nil, err
	}
	launcher = filepath.Join(out, "launch")
	if err := tool.Go(ctx, root, "./harness/driver/runtimes/launch", launcher); err != nil {
		return "", nil, err
	}
	source := func(name string) string { return filepath.Join(root, clients, name) }
	cpp, gone := filepath.Join(out, "client-cpp"), filepath.Join(out, "client-go")
	script := source("python/client.py")
	return launcher, map[string]language{
		"cpp":     {[]string{cpp}, tool.Cpp(ctx, source("cpp/client.cc"), cpp, "-lcurl")},
		"go":      {[]string{gone}, tool.Go(ctx, root, "./"+clients+"/go", gone)},
		"cpython": interpreted(cpython, script),
		"pypy":    interpreted("pypy3", script),
	}, nil
}

// interpreted is a client that an interpreter runs: without the user's own packages, and without leaving
// compiled files in the tree.
func interpreted(interpreter, script string) language {
	path, err := tool.Find(interpreter)
	if err == nil {
		_, err = os.Stat(script)
	}
	return language{[]string{path, "-B", "-s", script}, err}
}

// language is what an arm runs, or why it cannot.
func (s *session) language(name string) (*language, error) {
	l, ok := s.languages[name]
	if !ok {
		return nil, fmt.Errorf("runtime %q: use cpp, go, cpython or pypy", name)
	}
	return &l, l.err
}

// gnuTime is the slides' tool.
const gnuTime = "/usr/bin/time"

func missing(path string) error {
	if _, err := os.Stat(path); err != nil {
		return &packet.ErrUnavailable{What: filepath.Base(path), Why: err.Error(), Next: "make setup"}
	}
	return nil
}
