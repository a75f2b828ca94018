package fault

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// Crashed reports whether the hook pulled the plug.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Kill is the file system as the next process finds it when this one is killed: all there, locks
// released, and what was not synced still not safe. The receiver is unchanged, and of no further
// use but to be asked again. The result has no hook.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clone(f.rng.Uint64())
}

// Crash is the file system as found after a power failure: seed decides what became of each page
// and name that was not safe. The receiver is unchanged, so that several outcomes of one crash can
// be had. The result has no hook.
func (f *FS) Crash(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clone(seed)
	rng := rand.New(rand.NewPCG(seed, 0x706f776572))
	c.crashNames(rng)
	likely := []float64{0, 0.1, 0.5, 0.9, 1}
	keep, tear := likely[rng.IntN(len(likely))], likely[rng.IntN(len(likely))]
	for _, name := range sorted(c.durable) {
		c.durable[name].crash(rng, keep, tear)
	}
	c.names = maps.Clone(c.durable)
	return c
}

// crashNames lets some of the pending changes come true: none, all, the first, or any.
func (f *FS) crashNames(rng *rand.Rand) {
	first, subset := rng.IntN(len(f.pending)+1), rng.IntN(2) == 0
	for i, c := range f.pending {
		if subset && rng.IntN(2) == 0 || !subset && i < first {
			c.apply(f.durable)
		}
	}
	f.pending = nil
}

// crash leaves of the dirty pages what the dice say: each is kept, or torn, or dropped.
func (i *inode) crash(rng *rand.Rand, keep, tear float64) {
	for _, n := range slices.Sorted(maps.Keys(i.dirty)) {
		switch {
		case rng.Float64() < keep:
			set(i.durable, n, i.pages[n])
		case rng.Float64() < tear:
			set(i.durable, n, torn(rng, i.durable[n], i.pages[n]))
		}
	}
	if rng.IntN(2) == 0 {
		i.durableSize = i.size
	}
	i.size = i.durableSize
	clear(i.dirty)
	i.pages = maps.Clone(i.durable)
	i.cut(i.size)
	clear(i.dirty)
	i.durable = maps.Clone(i.pages)
}

// torn is a page of which some sectors are old and some are new.
func torn(rng *rand.Rand, before, after page) page {
	var pg [pageSize]byte
	if before != nil {
		pg = *before
	}
	for at := 0; at < pageSize; at += sectorSize {
		if rng.IntN(2) == 0 {
			continue
		}
		if after != nil {
			copy(pg[at:at+sectorSize], after[at:])
		} else {
			clear(pg[at : at+sectorSize])
		}
	}
	return &pg
}

func (f *FS) clone(seed uint64) *FS {
	c := New(seed)
	c.Capacity = f.Capacity
	c.dirs = maps.Clone(f.dirs)
	copies := map[*inode]*inode{}
	dup := func(i *inode) *inode {
		if i != nil && copies[i] == nil {
			copies[i] = i.clone()
		}
		return copies[i]
	}
	for name, file := range f.names {
		c.names[name] = dup(file)
	}
	for name, file := range f.durable {
		c.durable[name] = dup(file)
	}
	for _, p := range f.pending {
		c.pending = append(c.pending, change{p.from, p.to, dup(p.file), p.dir})
	}
	return c
}

// Names are the files there are, sorted.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sorted(f.names)
}

// Bytes is a copy of what is in a file, as a process sees it; nil if there is none.
func (f *FS) Bytes(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.names[path.Clean(name)]
	if file == nil {
		return nil
	}
	return file.bytes()
}

func (i *inode) bytes() []byte {
	b := make([]byte, i.size)
	for n, pg := range i.pages {
		copy(b[n*pageSize:], pg[:])
	}
	return b
}

// Edit puts what change makes of a file's bytes in their place, durably, and makes the file if
// there is none: rot, a flipped bit, a truncation.
func (f *FS) Edit(name string, change func([]byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = path.Clean(name)
	file := f.names[name]
	if file == nil {
		file = newInode()
		f.names[name], f.durable[name] = file, file
	}
	b := change(file.bytes())
	file.cut(0)
	file.size = 0
	file.write(b, 0)
	file.sync(func() bool { return true })
	file.durableSize = file.size
}

// Spoil makes pages unreadable: reads that touch bytes [off, off+n) fail with [ErrIO] until the
// page is written.
func (f *FS) Spoil(name string, off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.names[path.Clean(name)]
	if file == nil {
		panic(fmt.Sprintf("fault: Spoil: there is no file %s", name))
	}
	for at := off / pageSize; at*pageSize < off+n; at++ {
		file.spoilt[at] = true
	}
}
