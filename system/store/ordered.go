package store

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// ordered is a part's keys in order, for scans: a few sorted runs of geometrically falling length, as
// in a log-structured merge tree (O'Neil et al., 1996), and the keys that are new since the last
// scan, unsorted. It costs puts nothing before the first scan; after it, a new key is copied once.
// Deleted keys stay in the runs and are skipped; when they are in the way, all is built again.
type ordered struct {
	on    bool
	runs  []run // the longest first
	fresh run   // unsorted
	keys  int   // in runs and fresh, deleted and repeated ones included
	gone  int   // deletions since all was built
	debt  int   // deleted keys that scans had to skip since
}

// run is keys, each preceded by its length (2 bytes), and where each begins. A sorted run never
// changes, so that an answer may refer to its keys.
type run struct {
	data []byte
	at   []uint32 // in words of 2 bytes, so that a run may hold 8 GiB
}

func (r *run) key(i int) []byte {
	b := r.data[uint64(r.at[i])*2:]
	return b[2 : 2+int(binary.LittleEndian.Uint16(b))]
}

func (r *run) append(key []byte) {
	r.at = append(r.at, uint32(len(r.data)/2))
	r.data = binary.LittleEndian.AppendUint16(r.data, uint16(len(key)))
	r.data = append(r.data, key...)
	if len(key)%2 == 1 {
		r.data = append(r.data, 0)
	}
}

// sort orders the run by key and drops repetitions. It sorts the 8 bytes that follow what all keys have
// in common with each key's place: most comparisons then need no look at the key itself.
func (r *run) sort() {
	type lead struct {
		prefix uint64
		at     uint32
	}
	leads, common := make([]lead, len(r.at)), r.common()
	for i := range r.at {
		var b [8]byte
		copy(b[:], r.key(i)[common:])
		leads[i] = lead{binary.BigEndian.Uint64(b[:]), r.at[i]}
	}
	full := func(at uint32) []byte {
		b := r.data[uint64(at)*2:]
		return b[2 : 2+int(binary.LittleEndian.Uint16(b))]
	}
	slices.SortFunc(leads, func(a, b lead) int {
		if a.prefix != b.prefix {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		}
		return bytes.Compare(full(a.at), full(b.at))
	})
	r.at = r.at[:0]
	for i := range leads {
		if n := len(r.at); n == 0 || !bytes.Equal(full(r.at[n-1]), full(leads[i].at)) {
			r.at = append(r.at, leads[i].at)
		}
	}
}

// common is how many leading bytes all keys share.
func (r *run) common() int {
	first := r.key(0)
	n := len(first)
	for i := range r.at {
		k := r.key(i)
		for n = min(n, len(k)); !bytes.Equal(k[:n], first[:n]); n-- {
		}
	}
	return n
}

// added takes note of a new key; total is how many keys there are now.
func (o *ordered) added(key []byte, total int) {
	if !o.on {
		return
	}
	if len(o.fresh.at) > total+1024 {
		*o = ordered{} // nobody scans any more: the next scan builds anew
		return
	}
	o.fresh.append(key)
	o.keys++
}

func (o *ordered) removed() {
	if o.on {
		o.gone++
	}
}

// prepare makes the runs cover every key.
func (o *ordered) prepare(p *part) {
	if !o.on || o.gone > o.keys/2+1024 || o.debt > o.keys+1024 {
		*o = ordered{on: true}
		for i := range p.slots {
			for _, e := range p.slots[i].table {
				if e != 0 {
					o.fresh.append(keyOf(p.at(ref(e & refMask))))
				}
			}
		}
		o.keys = len(o.fresh.at)
	}
	if len(o.fresh.at) == 0 {
		return
	}
	o.fresh.sort()
	o.runs = append(o.runs, o.fresh)
	o.fresh = run{}
	for n := len(o.runs); n >= 2 && len(o.runs[n-2].at) <= 2*len(o.runs[n-1].at); n-- {
		o.runs[n-2] = merge(&o.runs[n-2], &o.runs[n-1])
		o.runs = o.runs[:n-1]
	}
	o.keys = 0
	for i := range o.runs {
		o.keys += len(o.runs[i].at)
	}
}

// merge joins two sorted runs, without repeating keys.
func merge(a, b *run) run {
	out := run{data: make([]byte, 0, len(a.data)+len(b.data)), at: make([]uint32, 0, len(a.at)+len(b.at))}
	i, j := 0, 0
	for i < len(a.at) || j < len(b.at) {
		c := 0
		switch {
		case j == len(b.at):
			c = -1
		case i == len(a.at):
			c = 1
		default:
			c = bytes.Compare(a.key(i), b.key(j))
		}
		if c <= 0 {
			out.append(a.key(i))
			i++
		} else {
			out.append(b.key(j))
		}
		if c >= 0 {
			j++
		}
	}
	return out
}

// walk calls visit with the keys that follow after and begin with prefix, ascending and each once,
// until it returns false.
func (o *ordered) walk(prefix, after []byte, visit func(key []byte) bool) {
	var at [64]int // more runs than geometry allows
	from, strict := prefix, false
	if bytes.Compare(after, prefix) >= 0 && len(after) > 0 {
		from, strict = after, true
	}
	for i := range o.runs {
		at[i] = o.runs[i].seek(from, strict)
	}
	for {
		var key []byte
		for i := range o.runs {
			if r := &o.runs[i]; at[i] < len(r.at) && (key == nil || bytes.Compare(r.key(at[i]), key) < 0) {
				key = r.key(at[i])
			}
		}
		if key == nil || !bytes.HasPrefix(key, prefix) || !visit(key) {
			return
		}
		for i := range o.runs {
			if r := &o.runs[i]; at[i] < len(r.at) && bytes.Equal(r.key(at[i]), key) {
				at[i]++
			}
		}
	}
}

// seek is the first place whose key is at or, if strict, after the given one.
func (r *run) seek(key []byte, strict bool) int {
	lo, hi := 0, len(r.at)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if c := bytes.Compare(r.key(mid), key); c < 0 || c == 0 && strict {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
