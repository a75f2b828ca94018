package tool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"metronome/system/packet"
)

// Go builds a package of this module, with CGO off, into the file out. dir lies within the module.
func Go(ctx context.Context, dir, pkg, out string) error {
	name, err := Find("go", "/usr/local/go/bin/go")
	if err != nil {
		return err
	}
	return build(ctx, dir, out, []string{"CGO_ENABLED=0"}, name, "build", "-trimpath", "-o", out, pkg)
}

// Cpp compiles one C++20 file with -O2 into the file out, unless that is newer than the source.
func Cpp(ctx context.Context, source, out string, flags ...string) error {
	if newer(out, source) {
		return nil
	}
	name, err := Find("g++", "/usr/bin/g++")
	if err != nil {
		return err
	}
	args := append([]string{"-std=c++20", "-O2", "-Wall", "-Wextra", "-o", out, source}, flags...)
	return build(ctx, "", out, nil, name, args...)
}

// newer reports whether file was changed after source was.
func newer(file, source string) bool {
	made, err := os.Stat(file)
	if err != nil {
		return false
	}
	written, err := os.Stat(source)
	return err == nil && made.ModTime().After(written.ModTime())
}

// Find returns the first program of that name: on the path, else among places.
func Find(name string, places ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, p := range places {
		if info, err := os.Stat(p); err == nil && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &packet.ErrUnavailable{What: name, Why: "it is not installed", Next: "make setup"}
}

func build(ctx context.Context, dir, out string, env []string, name string, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	said = bytes.TrimSpace(said)
	return &packet.ErrUnavailable{What: filepath.Base(out),
		Why:  fmt.Sprintf("%s %s: %v: %s", name, strings.Join(args, " "), err, said[:min(len(said), 500)]),
		Next: "make setup, or see what the compiler says"}
}
