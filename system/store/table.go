package store

import "bytes"

// slot is the part of the keys that share the first bits of their hash: an open-addressing table
// with linear probing. An entry is the low 28 bits of the hash, then the record's ref; 0 is empty.
// Tables are small (a few hundred entries), so that one grows in microseconds, and their load limits
// differ, so that not all grow at once.
type slot struct {
	table []uint64 // a power of two, or nil
	count uint32
	limit uint32 // entries at which the table grows
}

const (
	refBits  = 36
	refMask  = 1<<refBits - 1
	tagMask  = 1<<(64-refBits) - 1
	minTable = 8
)

func entryOf(hash uint64, r ref) uint64 { return hash<<refBits | uint64(r) }

// find returns where the key's entry is, or that it has none.
func (p *part) find(sl *slot, hash uint64, key []byte) (pos int, r ref, ok bool) {
	table := sl.table
	if len(table) == 0 {
		return 0, 0, false
	}
	mask, tag := uint64(len(table)-1), hash&tagMask
	for i := tag & mask; ; i = (i + 1) & mask {
		e := table[i]
		if e == 0 {
			return 0, 0, false
		}
		if e>>refBits != tag {
			continue
		}
		r = ref(e & refMask)
		rec := p.at(r)
		if m := metaOf(rec); m.key() == len(key) && bytes.Equal(rec[recordHead:recordHead+m.key()], key) {
			return int(i), r, true
		}
	}
}

// add enters a key known to be absent.
func (sl *slot) add(hash uint64, r ref, number int) {
	if sl.count >= sl.limit {
		sl.resize(max(minTable, 2*len(sl.table)), number)
	}
	sl.place(entryOf(hash, r))
	sl.count++
}

func (sl *slot) place(entry uint64) {
	mask := uint64(len(sl.table) - 1)
	i := entry >> refBits & mask
	for sl.table[i] != 0 {
		i = (i + 1) & mask
	}
	sl.table[i] = entry
}

// resize moves the entries to a table of n. number staggers the load limit: 5/8 to 25/32.
func (sl *slot) resize(n, number int) {
	old := sl.table
	sl.table = make([]uint64, n)
	sl.limit = uint32(n*5/8 + n*(number*7&15)/96)
	for _, e := range old {
		if e != 0 {
			sl.place(e)
		}
	}
}

// remove takes the entry at pos out and closes the gap (Knuth, volume 3, algorithm R).
func (sl *slot) remove(pos, number int) {
	mask := uint64(len(sl.table) - 1)
	hole := uint64(pos)
	for i := (hole + 1) & mask; sl.table[i] != 0; i = (i + 1) & mask {
		home := sl.table[i] >> refBits & mask
		if (i-home)&mask >= (i-hole)&mask {
			sl.table[hole] = sl.table[i]
			hole = i
		}
	}
	sl.table[hole] = 0
	sl.count--
	if n := len(sl.table); n > minTable && int(sl.count)*8 < n {
		sl.resize(max(minTable, n/4), number)
	}
}

// move changes the ref of an entry that is there.
func (sl *slot) move(hash uint64, from, to ref) {
	mask := uint64(len(sl.table) - 1)
	i := hash & tagMask & mask
	for sl.table[i] != entryOf(hash, from) {
		i = (i + 1) & mask
	}
	sl.table[i] = entryOf(hash, to)
}
