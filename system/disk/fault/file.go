package fault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"metronome/system/disk"
)

const (
	pageSize   = 4096
	sectorSize = 512 // what a disk writes whole
)

// page is never changed once it is in a map: writes put another in its place.
type page *[pageSize]byte

// inode is a file without its name. A page that is in no map is zeros.
type inode struct {
	size, durableSize int64
	pages, durable    map[int64]page
	dirty             map[int64]bool // pages that the next Sync writes
	spoilt            map[int64]bool // pages that cannot be read
}

func newInode() *inode {
	return &inode{pages: map[int64]page{}, durable: map[int64]page{}, dirty: map[int64]bool{},
		spoilt: map[int64]bool{}}
}

func (i *inode) clone() *inode {
	return &inode{i.size, i.durableSize, maps.Clone(i.pages), maps.Clone(i.durable), maps.Clone(i.dirty),
		maps.Clone(i.spoilt)}
}

type handle struct {
	fs     *FS
	file   *inode
	name   string
	closed bool
}

func (h *handle) begin(kind Kind, off int64, n int) error {
	if h.closed {
		return &fs.PathError{Op: kind.String(), Path: h.name, Err: fs.ErrClosed}
	}
	if err := h.fs.begin(Op{Kind: kind, Name: h.name, Offset: off, Len: n}); err != nil {
		return fmt.Errorf("%s %s: %w", kind, h.name, err)
	}
	return nil
}

// ReadAt implements [disk.File].
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.begin(Read, off, len(p)); err != nil {
		return 0, err
	}
	return h.file.read(p, off)
}

func (i *inode) read(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < i.size {
		at := off % pageSize
		if i.spoilt[off/pageSize] {
			return n, ErrIO
		}
		part := min(int64(len(p)-n), pageSize-at, i.size-off)
		if pg := i.pages[off/pageSize]; pg != nil {
			copy(p[n:], pg[at:at+part])
		} else {
			clear(p[n : n+int(part)])
		}
		n, off = n+int(part), off+part
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements [disk.File].
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	err := h.begin(Write, off, len(p))
	var s *short
	if errors.As(err, &s) {
		p = p[:min(s.n, len(p))]
	} else if err != nil {
		return 0, err
	}
	if grow := off + int64(len(p)) - h.file.size; grow > 0 && uint64(grow) > h.fs.free() {
		return 0, fmt.Errorf("write %s: %w", h.name, disk.ErrNoSpace)
	}
	h.file.write(p, off)
	return len(p), err
}

func (i *inode) write(p []byte, off int64) {
	i.size = max(i.size, off+int64(len(p)))
	for len(p) > 0 {
		n := off / pageSize
		at := off % pageSize
		part := int(min(int64(len(p)), pageSize-at))
		var pg [pageSize]byte
		if old := i.pages[n]; old != nil {
			pg = *old
		}
		copy(pg[at:], p[:part])
		i.put(n, &pg)
		delete(i.spoilt, n)
		p, off = p[part:], off+int64(part)
	}
}

func (i *inode) put(n int64, pg page) {
	i.dirty[n] = true
	if *pg == [pageSize]byte{} {
		delete(i.pages, n)
		return
	}
	i.pages[n] = pg
}

// Truncate implements [disk.File].
func (h *handle) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.begin(Truncate, size, 0); err != nil {
		return err
	}
	return h.resize(size)
}

// Allocate implements [disk.File].
func (h *handle) Allocate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.begin(Allocate, size, 0); err != nil {
		return err
	}
	return h.resize(max(size, h.file.size))
}

func (h *handle) resize(size int64) error {
	if grow := size - h.file.size; grow > 0 && uint64(grow) > h.fs.free() {
		return fmt.Errorf("resize %s: %w", h.name, disk.ErrNoSpace)
	}
	h.file.cut(size)
	h.file.size = size
	return nil
}

// cut forgets what lies at and beyond size.
func (i *inode) cut(size int64) {
	last := size / pageSize
	for n, pg := range i.pages {
		switch {
		case n > last || n == last && size%pageSize == 0:
			delete(i.pages, n)
			i.dirty[n] = true
		case n == last:
			kept := *pg
			clear(kept[size%pageSize:])
			i.pages[n] = &kept
			i.dirty[n] = true
		}
	}
}

// Sync implements [disk.File].
func (h *handle) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	err := h.begin(Sync, 0, 0)
	switch {
	case err == nil:
		h.file.sync(func() bool { return true })
		h.file.durableSize = h.file.size
	case !errors.Is(err, ErrLie) && !errors.Is(err, ErrCrash) && !h.closed:
		h.file.sync(func() bool { return h.fs.rng.Uint64()&1 == 0 })
	}
	return lied(err)
}

// sync makes pages durable that safe says yes to, and forgets that the others are dirty.
func (i *inode) sync(safe func() bool) {
	for _, n := range slices.Sorted(maps.Keys(i.dirty)) {
		if safe() {
			set(i.durable, n, i.pages[n])
		}
	}
	clear(i.dirty)
}

// set puts a page, nil for zeros, into a map.
func set(pages map[int64]page, n int64, pg page) {
	if pg == nil {
		delete(pages, n)
		return
	}
	pages[n] = pg
}

// Size implements [disk.File].
func (h *handle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.crashed {
		return 0, ErrCrash
	}
	return h.file.size, nil
}

// Close implements [disk.File].
func (h *handle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.closed = true
	return nil
}
