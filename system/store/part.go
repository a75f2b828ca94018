package store

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"

	"metronome/internal/prefetch"
)

// part is what one apply core owns: consecutive slots and all memory behind them. Parts share
// nothing that is written while they execute.
type part struct {
	arena
	first int // its first slot
	seed  uint64
	shift uint8
	slots []slot
	keys  int
	sum   uint64 // of the terms of its keys: the state hash's share

	tables int // bytes of tables
	tasks  []task
	values []byte // values of this batch's answers
	build  []byte // an append's new value
	index  ordered
	gather gathering

	snap *Snapshot // that has not captured all slots yet
	undo []undo
}

// task is one operation for one part, without pointers.
type task struct {
	hash    uint64
	offset  uint32 // of a put or get: where the key begins in its payload
	payload uint32 // of a put or get
	value   uint32 // of a put: length, the value follows the key
	rel     uint32 // index, counted from the batch's first
	aux     uint32 // number in batch.answers of a get, of others in batch.ops or batch.gathers
	key     uint16 // of a put or get: length
	kind    kind
}

type kind uint8

const (
	taskPut  kind = iota // a blind put: everything is in the task
	taskGet              // a get without conditions
	taskRead             // the same, of Read: nothing is written before the answer is used
	taskOp               // one key, by batch.ops
	taskScan             // this part's share of a scan or count, by batch.gathers
)

// group is how many tasks' memory is asked for together.
const group = 12

// run executes the batch's tasks, and makes up for the garbage they left.
func (p *part) run(s *Store) {
	p.perform(s)
	p.clean()
}

// perform executes the batch's tasks in order. Their memory is asked for in two steps, while the groups
// before are executed: what leads to a record two groups ahead, the record one group ahead. So the
// misses overlap with each other and with the work (group prefetching: Chen et al., ICDE 2004; MICA).
// A group's requests follow one another without work in between, because each waits for its address
// to be translated, and only neighbours do so at the same time: asked for one by one, between the
// tasks, they cost more than they save.
func (p *part) perform(s *Store) {
	tasks := p.tasks
	p.fetchTables(tasks[:min(2*group, len(tasks))])
	p.fetchRecords(tasks[:min(group, len(tasks))])
	for len(tasks) > 0 {
		n := min(group, len(tasks))
		p.fetchTables(tasks[min(2*group, len(tasks)):min(3*group, len(tasks))])
		p.fetchRecords(tasks[n:min(2*group, len(tasks))])
		for i := range tasks[:n] {
			p.do(s, &tasks[i])
		}
		tasks = tasks[n:]
	}
}

func (p *part) fetchTables(g []task) {
	for i := range g {
		if table := p.slot(g[i].hash).table; len(table) > 0 {
			prefetch.Word(&table[g[i].hash&tagMask&uint64(len(table)-1)])
		}
	}
}

func (p *part) fetchRecords(g []task) {
	for i := range g {
		if r := p.likely(g[i].hash); r != 0 {
			prefetch.Lines(&p.at(r)[0])
		}
	}
}

func (p *part) do(s *Store, t *task) {
	switch t.kind {
	case taskPut:
		b := s.payloads[t.payload][t.offset:]
		key, end := b[:t.key], uint32(t.key)+t.value
		p.put(t.hash, key, b[t.key:end], s.base+uint64(t.rel), false)
	case taskGet:
		key := s.payloads[t.payload][t.offset:][:t.key]
		p.get(t.hash, key, false, &s.answers[t.aux].Result)
	case taskRead:
		p.look(t.hash, s.payloads[t.payload][t.offset:][:t.key], &s.answers[t.aux].Result)
	case taskOp:
		p.operate(s, t)
	case taskScan:
		p.collect(s, t)
	}
}

// likely is the first record whose tag fits, or 0.
func (p *part) likely(hash uint64) ref {
	table := p.slot(hash).table
	if len(table) == 0 {
		return 0
	}
	mask, tag := uint64(len(table)-1), hash&tagMask
	for i := tag & mask; ; i = (i + 1) & mask {
		if e := table[i]; e>>refBits == tag || e == 0 {
			return ref(e & refMask)
		}
	}
}

func (p *part) slotNumber(hash uint64) int { return int(hash >> p.shift) }

func (p *part) slot(hash uint64) *slot { return &p.slots[p.slotNumber(hash)-p.first] }

// term is one key's share of the state hash: it depends on key, revision and value, and shares are
// added, so that their order does not matter and a write costs two of them.
func term(hash, revision, value uint64) uint64 {
	hi, lo := bits.Mul64(hash+revision*0x9E3779B185EBCA87, value^0xC2B2AE3D27D4EB4F)
	h := hi ^ lo
	return (h ^ h>>32) * 0x165667919E3779F9
}

// termOf is the term of a record. A big value's hash is kept, a small one's calculated again.
func (p *part) termOf(hash uint64, rec []byte) uint64 {
	m := metaOf(rec)
	if m.big() {
		return term(hash, revisionOf(rec), binary.LittleEndian.Uint64(rec[recordHead+m.key()+word:]))
	}
	at := recordHead + m.key()
	return term(hash, revisionOf(rec), xxh3.Hash(rec[at:at+m.value()]))
}

// put sets a key. An owned value is handed over: it may be kept, and must not change any more.
func (p *part) put(hash uint64, key, value []byte, revision uint64, owned bool) (existed bool) {
	sl := p.slot(hash)
	pos, r, ok := p.find(sl, hash, key)
	if ok {
		p.replace(sl, pos, r, hash, key, value, revision, owned)
		return true
	}
	p.insert(sl, hash, key, value, revision, owned)
	return false
}

func (p *part) insert(sl *slot, hash uint64, key, value []byte, revision uint64, owned bool) {
	n := footprint(len(key), len(value))
	r := p.alloc(n)
	vh := xxh3.Hash(value)
	p.write(p.at(r), n, key, value, revision, vh, owned)
	before := len(sl.table)
	sl.add(hash, r, p.slotNumber(hash))
	p.tables += (len(sl.table) - before) * word
	p.sum += term(hash, revision, vh)
	p.keys++
	p.index.added(key, p.keys)
}

func (p *part) replace(
	sl *slot, pos int, r ref, hash uint64, key, value []byte, revision uint64, owned bool,
) {
	rec := p.at(r)
	n, have, vh := footprint(len(key), len(value)), metaOf(rec).capacity(), xxh3.Hash(value)
	p.sum += term(hash, revision, vh) - p.termOf(hash, rec)
	if n > have || 2*n < have || p.retains(hash, rec) {
		p.retire(hash, r)
		r = p.alloc(n)
		sl.table[pos] = entryOf(hash, r)
		rec, have = p.at(r), n
	} else if metaOf(rec).big() {
		p.dropBig(rec)
	}
	p.write(rec, have, key, value, revision, vh, owned)
}

func (p *part) remove(sl *slot, pos int, r ref, hash uint64) {
	p.sum -= p.termOf(hash, p.at(r))
	before := len(sl.table)
	sl.remove(pos, p.slotNumber(hash))
	p.tables += (len(sl.table) - before) * word
	p.keys--
	p.index.removed()
	p.retire(hash, r)
}

// retains reports whether a snapshot still has to capture the record.
func (p *part) retains(hash uint64, rec []byte) bool {
	return p.snap != nil && p.slotNumber(hash) >= p.snap.next && revisionOf(rec) <= p.snap.index
}

// retire ends a record, at once or when the snapshot that needs it has it.
func (p *part) retire(hash uint64, r ref) {
	if p.retains(hash, p.at(r)) {
		head := &p.snap.undo[p.slotNumber(hash)]
		p.undo = append(p.undo, undo{r, *head})
		*head = uint32(len(p.undo))
		return
	}
	p.release(r)
}

const (
	cleanStep  = 32 << 10  // bytes the cleaner looks at in one Execute
	cleanFloor = 512 << 10 // garbage that is not worth it
)

// clean copies the live records out of chunks that are mostly dead, a bounded step at a time: a
// fixed one, and four bytes for each that the batch left behind, since a chunk worth cleaning is at
// least a quarter garbage. So it keeps up with what makes garbage, and costs in proportion.
func (p *part) clean() {
	for budget := cleanStep + 4*p.released; budget > 0; {
		if p.cleaning == 0 && !p.victim() {
			break
		}
		budget -= p.cleanRecord()
	}
	p.released = 0
}

// victim chooses the next chunk less than 3/4 live, if a quarter of all is garbage.
func (p *part) victim() bool {
	garbage := p.used - p.living
	if p.snap != nil || garbage < cleanFloor || garbage < p.used/4 {
		return false
	}
	for range p.chunks {
		if p.hand++; int(p.hand) >= len(p.chunks) {
			p.hand = 1
		}
		if p.hand != p.current && p.fill[p.hand] > 0 && p.live[p.hand] < p.fill[p.hand]*3/4 {
			p.cleaning, p.cleanAt = p.hand, 0
			return true
		}
	}
	return false
}

// cleanRecord looks at one record of the chunk being cleaned and returns the bytes it took.
func (p *part) cleanRecord() int {
	c := p.cleaning
	if p.snap != nil {
		p.cleaning = 0 // a snapshot began: start over when it is done
		return chunkBytes
	}
	if p.cleanAt >= p.fill[c] {
		p.cleaning = 0
		p.freeChunk(c)
		return word
	}
	from := ref(c)<<chunkBits | ref(p.cleanAt>>3)
	rec := p.at(from)
	m := metaOf(rec)
	n := m.capacity()
	p.cleanAt += int32(n)
	if m&flagDead == 0 {
		to := p.alloc(n)
		copy(p.at(to), rec[:n])
		hash := xxh3.HashSeed(keyOf(rec), p.seed)
		p.slot(hash).move(hash, from, to)
		binary.LittleEndian.PutUint64(rec[8:], uint64(m|flagDead))
		p.live[c] -= int32(n)
		p.living -= n
	}
	return n
}

func (p *part) hashOf(key []byte) uint64 { return xxh3.HashSeed(key, p.seed) }
