package fault

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"

	"metronome/system/disk"
)

// FS is a [disk.FS] in memory. Hook, Capacity and Count are the test's: to be touched only while
// nobody else uses the FS.
type FS struct {
	// Hook, if not nil, is asked before each operation; see [Op].
	Hook func(Op) error
	// Capacity is how many bytes the files may hold together.
	Capacity uint64
	// Count is how many operations of each kind were begun.
	Count [Kinds]uint64

	mu      sync.Mutex
	rng     *rand.Rand
	dirs    map[string]bool
	names   map[string]*inode // what a process sees
	durable map[string]*inode // what is safe
	pending []change          // of names, not yet durable
	locks   map[string]bool
	ops     uint64
	crashed bool
}

// change is one operation on names: from is "" for a link, to is "" for a removal.
type change struct {
	from, to string
	file     *inode
	dir      bool // all that lies in from goes to the same place in to
}

// New is an empty file system with 1 TiB of space.
func New(seed uint64) *FS {
	return &FS{Capacity: 1 << 40, rng: rand.New(rand.NewPCG(seed, 0x6a6f75726e616c)),
		dirs: map[string]bool{".": true, "/": true}, names: map[string]*inode{},
		durable: map[string]*inode{}, locks: map[string]bool{}}
}

// Create implements [disk.FS].
func (f *FS) Create(name string) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = path.Clean(name)
	if err := f.begin(Op{Kind: Create, Name: name}); err != nil {
		return nil, err
	}
	if !f.dirs[path.Dir(name)] {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	file := newInode()
	f.names[name] = file
	f.pending = append(f.pending, change{to: name, file: file})
	return &handle{fs: f, file: file, name: name}, nil
}

// Open implements [disk.FS].
func (f *FS) Open(name string) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = path.Clean(name)
	if err := f.begin(Op{Kind: Open, Name: name}); err != nil {
		return nil, err
	}
	file, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	return &handle{fs: f, file: file, name: name}, nil
}

// Remove implements [disk.FS].
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = path.Clean(name)
	if err := f.begin(Op{Kind: Remove, Name: name}); err != nil {
		return err
	}
	if _, err := f.find("remove", name); err != nil {
		return err
	}
	delete(f.names, name)
	f.pending = append(f.pending, change{from: name})
	return nil
}

// Rename implements [disk.FS].
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to = path.Clean(from), path.Clean(to)
	if err := f.begin(Op{Kind: Rename, Name: from}); err != nil {
		return err
	}
	if f.dirs[from] {
		return f.renameDir(from, to)
	}
	file, err := f.find("rename", from)
	if err != nil {
		return err
	}
	delete(f.names, from)
	f.names[to] = file
	f.pending = append(f.pending, change{from: from, to: to, file: file})
	return nil
}

// renameDir moves everything in a directory at once. Names in it that were not safe become so, which
// is one of the things that may happen.
func (f *FS) renameDir(from, to string) error {
	if f.dirs[to] {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	rest := f.pending[:0]
	for _, c := range f.pending {
		if within(c.from, from) || within(c.to, from) {
			c.apply(f.durable)
		} else {
			rest = append(rest, c)
		}
	}
	f.pending = append(rest, change{from: from, to: to, dir: true})
	for dir := range maps.Clone(f.dirs) {
		if dir == from || within(dir, from) {
			f.dirs[to+dir[len(from):]] = true // the old one stays, empty: directories are safe at once
		}
	}
	f.pending[len(f.pending)-1].apply(f.names)
	return nil
}

func within(name, dir string) bool { return strings.HasPrefix(name, dir+"/") }

// List implements [disk.FS].
func (f *FS) List(dir string) ([]disk.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = path.Clean(dir)
	if err := f.begin(Op{Kind: List, Name: dir}); err != nil {
		return nil, err
	}
	if !f.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var entries []disk.Entry
	for name, file := range f.names {
		if path.Dir(name) == dir {
			entries = append(entries, disk.Entry{Name: path.Base(name), Size: file.size})
		}
	}
	for name := range f.dirs {
		if path.Dir(name) == dir && name != dir {
			entries = append(entries, disk.Entry{Name: path.Base(name), Dir: true})
		}
	}
	slices.SortFunc(entries, func(a, b disk.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// MkdirAll implements [disk.FS].
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = path.Clean(dir)
	if err := f.begin(Op{Kind: MkdirAll, Name: dir}); err != nil {
		return err
	}
	for ; !f.dirs[dir]; dir = path.Dir(dir) {
		f.dirs[dir] = true
	}
	return nil
}

// SyncDir implements [disk.FS].
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = path.Clean(dir)
	if err := f.begin(Op{Kind: SyncDir, Name: dir}); err != nil {
		return lied(err)
	}
	rest := f.pending[:0]
	for _, c := range f.pending {
		if path.Dir(c.from) == dir || path.Dir(c.to) == dir {
			c.apply(f.durable)
		} else {
			rest = append(rest, c)
		}
	}
	f.pending = rest
	return nil
}

// Free implements [disk.FS].
func (f *FS) Free(string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Op{Kind: Free}); err != nil {
		return 0, err
	}
	return f.free(), nil
}

// Lock implements [disk.FS]. The name takes no room.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Op{Kind: Lock, Name: name}); err != nil {
		return nil, err
	}
	if f.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, disk.ErrLocked)
	}
	f.locks[name] = true
	return &lock{f, name}, nil
}

type lock struct {
	fs   *FS
	name string
}

// Close releases the lock.
func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

func (f *FS) find(op, name string) (*inode, error) {
	if file := f.names[name]; file != nil {
		return file, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (f *FS) free() uint64 {
	var used uint64
	for _, file := range f.names {
		used += uint64(file.size)
	}
	return f.Capacity - min(used, f.Capacity)
}

// apply does to names what the change says. A file that is renamed is that file, even if its old name never
// became durable and still is another's; and it has one name, whichever of those before became durable.
func (c change) apply(names map[string]*inode) {
	if c.dir {
		for name, file := range maps.Clone(names) {
			if within(name, c.from) {
				delete(names, name)
				names[c.to+name[len(c.from):]] = file
			}
		}
		return
	}
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		maps.DeleteFunc(names, func(_ string, file *inode) bool { return file == c.file })
		names[c.to] = c.file
	}
}

// sorted are the names in an order that does not depend on the map's.
func sorted(names map[string]*inode) []string { return slices.Sorted(maps.Keys(names)) }
