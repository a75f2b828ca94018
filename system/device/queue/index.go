package queue

import "github.com/zeebo/xxh3"

// Index finds the newest plain operation of a key in a backlog far larger than memory. The newest
// keys are in a table from hash to number, exact. When the table is full, or covers too many bytes
// of the log, it is sealed: a filter remembers which hashes occur in that stretch of the log, and
// whoever asks for one of them reads the stretch. A backlog of few keys, however long, stays in the
// table.
//
// Memory is bounded: 1 MiB for the table and 32 KiB a stretch of 49152 distinct keys, at most
// maxStretches of them; beyond, neighbours are united, which costs reads, not correctness.
//
// Filters are Bloom's (1970), with double hashing after Kirsch and Mitzenmacher (2006).
type Index struct {
	seed  uint64
	slots []slot
	used  int
	from  uint64 // the table covers numbers from here
	last  uint64
	old   []stretch
}

type slot struct{ hash, number uint64 }

type stretch struct {
	from, to uint64
	filter   []uint64
}

const (
	tableSlots    = 1 << 16
	tableKeys     = tableSlots * 3 / 4
	filterWords   = 1 << 12 // 2^18 bits, 32 KiB, for 49152 keys: 5.3 a key
	filterProbes  = 4       // about 8 % of strangers pass
	maxStretches  = 512
	filterBitMask = filterWords*64 - 1
)

// NewIndex returns an empty index. The seed keeps strangers from choosing keys that collide.
func NewIndex(seed uint64) *Index {
	return &Index{seed: seed, slots: make([]slot, tableSlots)}
}

// Hash is what the index knows a key by.
func (x *Index) Hash(key []byte) uint64 { return max(1, xxh3.HashSeed(key, x.seed)) }

// Add notes that number is the newest operation on the key with this hash. Numbers ascend.
func (x *Index) Add(hash, number uint64) {
	if x.used == tableKeys {
		x.seal()
	}
	if x.used == 0 {
		x.from = number
	}
	x.last = number
	s := x.slot(hash)
	if s.hash == 0 {
		s.hash = hash
		x.used++
	}
	s.number = number
}

// slot returns where hash is, or the empty slot where it belongs.
func (x *Index) slot(hash uint64) *slot {
	for i := hash; ; i++ {
		if s := &x.slots[i&(tableSlots-1)]; s.hash == hash || s.hash == 0 {
			return s
		}
	}
}

// Find calls visit with the stretches of the log that may hold the newest operation on the key,
// newest first, until visit returns true. A stretch with from == to is certain, but for the hash.
func (x *Index) Find(hash uint64, visit func(from, to uint64) bool) {
	if s := x.slot(hash); s.hash != 0 && visit(s.number, s.number) {
		return
	}
	for i := len(x.old) - 1; i >= 0; i-- {
		if x.old[i].holds(hash) && visit(x.old[i].from, x.old[i].to) {
			return
		}
	}
}

// Newest returns the number of the newest operation with this hash if the table holds it.
func (x *Index) Newest(hash uint64) (uint64, bool) {
	s := x.slot(hash)
	return s.number, s.hash != 0
}

// Trim forgets what lies below floor.
func (x *Index) Trim(floor uint64) {
	n := 0
	for n < len(x.old) && x.old[n].to < floor {
		n++
	}
	x.old = append(x.old[:0], x.old[n:]...)
	clear(x.old[len(x.old):cap(x.old)])
	if x.used > 0 && x.last < floor {
		x.reset()
	}
}

func (x *Index) reset() {
	clear(x.slots)
	x.used = 0
}

func (x *Index) seal() {
	if len(x.old) == maxStretches {
		x.unite()
	}
	t := stretch{from: x.from, to: x.last, filter: make([]uint64, filterWords)}
	for _, s := range x.slots {
		if s.hash != 0 {
			t.add(s.hash)
		}
	}
	x.old = append(x.old, t)
	x.reset()
}

// unite makes one stretch of every two neighbours.
func (x *Index) unite() {
	half := x.old[:0]
	for i := 0; i+1 < len(x.old); i += 2 {
		a, b := x.old[i], x.old[i+1]
		for w := range a.filter {
			a.filter[w] |= b.filter[w]
		}
		half = append(half, stretch{a.from, b.to, a.filter})
	}
	clear(x.old[len(half):])
	x.old = half
}

func (t *stretch) add(hash uint64) {
	for i := range uint64(filterProbes) {
		bit := probe(hash, i)
		t.filter[bit>>6] |= 1 << (bit & 63)
	}
}

func (t *stretch) holds(hash uint64) bool {
	for i := range uint64(filterProbes) {
		if bit := probe(hash, i); t.filter[bit>>6]&(1<<(bit&63)) == 0 {
			return false
		}
	}
	return true
}

func probe(hash, i uint64) uint64 { return (hash + i*(hash>>32|1)) & filterBitMask }
