package pcivm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// archive writes a Linux initramfs: a cpio archive of format newc, as Documentation/driver-api/
// early-userspace/buffer-format.rst of the kernel describes it. Nothing is compressed: an emulated
// machine would take longer to unpack it than to read it.
type archive struct {
	w    io.Writer
	have map[string]bool
	ino  int
	err  error // the first one; nothing is written after it
}

func newArchive(w io.Writer) *archive { return &archive{w: w, have: map[string]bool{}} }

// The kinds of file, as in stat(2).
const (
	kindDir  = 0o040000
	kindFile = 0o100000
	kindLink = 0o120000
)

// entry writes one header and its data. Times matter: Python compares them with those in its caches.
func (a *archive) entry(name string, mode uint32, mtime int64, data []byte) {
	if a.err != nil {
		return
	}
	a.ino++
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.ino, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	_, a.err = io.WriteString(a.w, header+pad(len(header)))
	if a.err == nil {
		_, a.err = a.w.Write(append(data, pad(len(data))...))
	}
}

// pad fills up to a multiple of four.
func pad(n int) string { return "\x00\x00\x00"[:-n&3] }

// dirs makes the folders above name, which is relative to the root.
func (a *archive) dirs(name string) {
	if d := path.Dir(name); d != "." && !a.have[d] {
		a.dirs(d)
		a.have[d] = true
		a.entry(d, kindDir|0o755, 0, nil)
	}
}

// file puts a file of this machine at the absolute path name.
func (a *archive) file(name, from string) {
	info, err := os.Stat(from)
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	data, err := os.ReadFile(from)
	a.err = errors.Join(a.err, err)
	a.put(name, uint32(info.Mode().Perm()), info.ModTime().Unix(), data)
}

// put puts data at the absolute path name, once.
func (a *archive) put(name string, perm uint32, mtime int64, data []byte) {
	if name = name[1:]; a.have[name] {
		return
	}
	a.dirs(name)
	a.have[name] = true
	a.entry(name, kindFile|perm, mtime, data)
}

// link puts a symbolic link at the absolute path name, once.
func (a *archive) link(name, to string) {
	if name = name[1:]; a.have[name] {
		return
	}
	a.dirs(name)
	a.have[name] = true
	a.entry(name, kindLink|0o777, 0, []byte(to))
}

// copy puts a file of this machine where it is here, with the links that lead to it: two names of one
// library must stay one file, or the loader would load it twice.
func (a *archive) copy(name string) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	name = filepath.Join(dir, filepath.Base(name))
	info, err := os.Lstat(name)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		a.file(name, name) // and its complaint
		return
	}
	to, err := os.Readlink(name)
	a.err = errors.Join(a.err, err)
	a.link(name, to)
	if !filepath.IsAbs(to) {
		to = filepath.Join(dir, to)
	}
	a.copy(to)
}

// close ends the archive and tells the first error.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, 0, nil)
	if a.err != nil {
		return fmt.Errorf("write initramfs: %w", a.err)
	}
	return nil
}
