package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"metronome/system/disk"
)

// Directory is a destination in a file system. Each object is a file that gets its name when it is
// durable; so what a crash leaves is whole objects, and files that end in ".tmp".
type Directory struct {
	fs   disk.FS
	path string
}

// unfinishedExt marks files without their name yet.
const unfinishedExt = ".tmp"

// NewDirectory makes the directory, if need be, and its folders.
func NewDirectory(fsys disk.FS, dir string) (*Directory, error) {
	d := &Directory{fs: fsys, path: path.Clean(dir)}
	for _, folder := range [...]string{chunkFolder, backupFolder, doomedFolder} {
		if err := fsys.MkdirAll(path.Join(d.path, folder)); err != nil {
			return nil, fmt.Errorf("backup: directory %s: %w", d.path, err)
		}
	}
	return d, nil
}

// OpenDirectory is NewDirectory of a directory that has to be there: for those who only read.
func OpenDirectory(fsys disk.FS, dir string) (*Directory, error) {
	d := &Directory{fs: fsys, path: path.Clean(dir)}
	if _, err := fsys.List(path.Join(d.path, backupFolder)); err != nil {
		return nil, fmt.Errorf("backup: %s holds no backups: %w", d.path, err)
	}
	return d, nil
}

// String implements [Destination].
func (d *Directory) String() string { return d.path }

func (d *Directory) file(name string) string { return path.Join(d.path, name) }

// Put implements [Destination].
func (d *Directory) Put(ctx context.Context, name string, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.put(d.file(name), b); err != nil {
		return fmt.Errorf("backup: write %s: %w", d.file(name), err)
	}
	return nil
}

func (d *Directory) put(file string, b []byte) error {
	f, err := d.fs.Create(file + unfinishedExt)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(file+unfinishedExt, file); err != nil {
		return err
	}
	return d.fs.SyncDir(path.Dir(file))
}

// Get implements [Destination].
func (d *Directory) Get(ctx context.Context, name string, limit int) (b []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup: %s: %w", d.file(name), ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: read %s: %w", d.file(name), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("backup: read %s: %w", d.file(name), err)
	}
	if size > int64(limit) {
		return nil, fmt.Errorf("backup: %s has %d bytes, at most %d are right: %w", d.file(name), size, limit,
			ErrDamaged)
	}
	b = make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) || err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("backup: read %s: %w", d.file(name), err)
	}
	return b, nil
}

// List implements [Destination].
func (d *Directory) List(ctx context.Context, folder string) ([]Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := d.fs.List(d.file(folder))
	if err != nil {
		return nil, fmt.Errorf("backup: list %s: %w", d.file(folder), err)
	}
	var all []Object
	for _, e := range entries {
		if !e.Dir {
			all = append(all, Object{e.Name, e.Size})
		}
	}
	return all, nil
}

// Remove implements [Destination].
func (d *Directory) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.fs.Remove(d.file(name))
	if err == nil {
		err = d.fs.SyncDir(path.Dir(d.file(name)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: remove %s: %w", d.file(name), err)
	}
	return nil
}
