package store

import (
	"encoding/binary"
	"slices"
)

// Records of one part lie in chunks of 64 KiB, one after another, as in a log-structured memory
// (Rumble et al., FAST 2014): 10 M items of 96 bytes are 15 thousand pointers to the collector
// instead of 10 million, and growing never copies. A record:
//
//	offset  size  field     meaning
//	     0     8  revision  index of the write that set it
//	     8     8  meta      bits 0-10 key length, 11-31 value length, 32-47 capacity in words,
//	                        62 big, 63 dead
//	    16     -  key
//	     -     -  value     of a big one: its number among the bigs (8 bytes), its hash (8)
//
// Values beyond bigValue are allocations of their own and never change: a snapshot or an answer may
// hold them without copying.
const (
	word       = 8
	chunkBytes = 64 << 10
	chunkBits  = 13 // log2 of words in a chunk
	recordHead = 16
	bigValue   = 4 << 10
	bigPayload = 16
	spares     = 8 // empty chunks kept for reuse

	keyBits   = 11
	valueBits = 21
	capShift  = keyBits + valueBits
	flagBig   = 1 << 62
	flagDead  = 1 << 63
)

// ref is where a record is: chunk number, then the word in it. No record is at 0.
type ref uint64

// meta is a record's second word.
type meta uint64

func (m meta) key() int      { return int(m & (1<<keyBits - 1)) }
func (m meta) value() int    { return int(m >> keyBits & (1<<valueBits - 1)) }
func (m meta) capacity() int { return int(m>>capShift&0xffff) * word }
func (m meta) big() bool     { return m&flagBig != 0 }

// stored is the bytes of value that lie in the record itself.
func stored(value int) int {
	if value > bigValue {
		return bigPayload
	}
	return value
}

// footprint is the bytes a record takes.
func footprint(key, value int) int {
	return (recordHead + key + stored(value) + word - 1) &^ (word - 1)
}

type arena struct {
	chunks  [][]byte // each of chunkBytes, or nil
	fill    []int32  // bytes used so far, by chunk
	live    []int32  // of these, bytes of records that are not dead
	empty   []uint32
	spare   int    // chunks in empty that still have their memory
	current uint32 // where the next record goes

	used, living int // sums of fill and live
	released     int // bytes of records that ended since the last cleaning

	bigs     [][]byte
	freeBigs []uint32
	bigBytes int

	cleaning uint32 // chunk being cleaned; 0 = none
	cleanAt  int32
	hand     uint32 // chunk the cleaner looked at last
}

func newArena() arena {
	return arena{chunks: make([][]byte, 1), fill: []int32{chunkBytes}, live: []int32{chunkBytes}}
}

// at is the record and what follows it in its chunk.
func (a *arena) at(r ref) []byte {
	return a.chunks[r>>chunkBits][r<<3&(chunkBytes-1):]
}

func metaOf(rec []byte) meta       { return meta(binary.LittleEndian.Uint64(rec[8:])) }
func revisionOf(rec []byte) uint64 { return binary.LittleEndian.Uint64(rec) }
func keyOf(rec []byte) []byte {
	return rec[recordHead : recordHead+metaOf(rec).key()]
}

// alloc returns room for a record of n bytes, a multiple of a word.
func (a *arena) alloc(n int) ref {
	c := a.current
	at := a.fill[c]
	if int(at)+n > chunkBytes {
		c, at = a.newChunk(), 0
	}
	a.fill[c] = at + int32(n)
	a.live[c] += int32(n)
	a.used += n
	a.living += n
	return ref(c)<<chunkBits | ref(at>>3)
}

func (a *arena) newChunk() uint32 {
	if n := len(a.empty); n > 0 {
		a.current = a.empty[n-1]
		a.empty = a.empty[:n-1]
		a.spare = max(a.spare-1, 0)
	} else {
		a.current = uint32(len(a.chunks))
		a.chunks = append(a.chunks, nil)
		a.fill = append(a.fill, 0)
		a.live = append(a.live, 0)
	}
	if a.chunks[a.current] == nil {
		a.chunks[a.current] = make([]byte, chunkBytes)
	}
	return a.current
}

// freeChunk takes back a chunk without live records. Those with memory are the last of empty.
func (a *arena) freeChunk(c uint32) {
	a.used -= int(a.fill[c])
	a.fill[c] = 0
	if a.spare < spares {
		a.spare++
		a.empty = append(a.empty, c)
		return
	}
	a.chunks[c] = nil
	a.empty = slices.Insert(a.empty, len(a.empty)-a.spare, c)
}

// release ends a record; its room comes back when its chunk is cleaned.
func (a *arena) release(r ref) {
	rec := a.at(r)
	m := metaOf(rec)
	if m.big() {
		a.dropBig(rec)
	}
	binary.LittleEndian.PutUint64(rec[8:], uint64(m|flagDead))
	c := uint32(r >> chunkBits)
	a.live[c] -= int32(m.capacity())
	a.living -= m.capacity()
	a.released += m.capacity()
	if a.live[c] == 0 && c != a.current && c != a.cleaning {
		a.freeChunk(c)
	}
}

// bigOf is the number of a big record's value.
func bigOf(rec []byte) uint64 {
	return binary.LittleEndian.Uint64(rec[recordHead+metaOf(rec).key():])
}

func (a *arena) dropBig(rec []byte) {
	n := bigOf(rec)
	a.bigBytes -= cap(a.bigs[n])
	a.bigs[n] = nil
	a.freeBigs = append(a.freeBigs, uint32(n))
}

func (a *arena) addBig(value []byte) (n uint64) {
	a.bigBytes += cap(value)
	if last := len(a.freeBigs) - 1; last >= 0 {
		n = uint64(a.freeBigs[last])
		a.freeBigs = a.freeBigs[:last]
		a.bigs[n] = value
		return n
	}
	a.bigs = append(a.bigs, value)
	return uint64(len(a.bigs) - 1)
}

// value is a record's value: a slice of the record, or a big one, which never changes.
func (a *arena) value(rec []byte) []byte {
	m := metaOf(rec)
	if m.big() {
		return a.bigs[bigOf(rec)]
	}
	at := recordHead + m.key()
	return rec[at : at+m.value() : at+m.value()]
}

// write fills a record's room of capacity bytes. An owned value may be kept, if it is big; otherwise
// it is copied.
func (a *arena) write(rec []byte, capacity int, key, value []byte, revision, hash uint64, owned bool) {
	le := binary.LittleEndian
	m := meta(len(key)) | meta(len(value))<<keyBits | meta(capacity/word)<<capShift
	copy(rec[recordHead:], key)
	at := recordHead + len(key)
	if len(value) > bigValue {
		m |= flagBig
		if !owned {
			value = slices.Clone(value)
		}
		le.PutUint64(rec[at:], a.addBig(value))
		le.PutUint64(rec[at+8:], hash)
	} else {
		copy(rec[at:], value)
	}
	le.PutUint64(rec, revision)
	le.PutUint64(rec[8:], uint64(m))
}

// bytes is what the arena holds of memory.
func (a *arena) bytes() int {
	return (len(a.chunks)-1-len(a.empty)+a.spare)*chunkBytes + a.bigBytes + len(a.chunks)*32 + cap(a.bigs)*24
}
