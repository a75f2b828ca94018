package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Format constants; doc.go draws them.
const (
	blockSize   = 4096
	headerSize  = 80
	recordSize  = 8 // what a record takes beside its bytes
	headsSize   = 2 * blockSize
	magic       = 0x6c6e4a4d // "MJnl"
	version     = 1
	flagRecycle = 1 // in a head: the segment's space held another one before
)

type kind uint16

const (
	kindHead  kind = iota + 1 // a segment begins; twice, its one record is the identity
	kindBatch                 // records
	kindSeal                  // no records: testifies to what is synced, and to what is trimmed
	kindEnd                   // a seal that says: the next segment is durable
)

var kindNames = [...]string{"none", "head", "batch", "seal", "end"}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what each block begins with that begins anything.
type header struct {
	kind       kind
	segment    uint64
	batch      uint64 // this batch's number, or the next one's
	first      uint64 // the number of its first record, or of the next
	synced     uint64 // batches below were synced before this was written
	keep       uint64 // segments below are trimmed
	keepRecord uint64 // the first record of segment keep
	count      uint32 // records
	length     uint32 // bytes of records
	salt       uint32 // the segment's
	life       uint32 // the salt of the life that wrote it
	flags      uint32
}

func (h *header) encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], magic)
	le.PutUint16(b[4:], version)
	le.PutUint16(b[6:], uint16(h.kind))
	le.PutUint64(b[8:], h.segment)
	le.PutUint64(b[16:], h.batch)
	le.PutUint64(b[24:], h.first)
	le.PutUint64(b[32:], h.synced)
	le.PutUint64(b[40:], h.keep)
	le.PutUint64(b[48:], h.keepRecord)
	le.PutUint32(b[56:], h.count)
	le.PutUint32(b[60:], h.length)
	le.PutUint32(b[64:], h.salt)
	le.PutUint32(b[68:], h.life)
	le.PutUint32(b[72:], h.flags)
	le.PutUint32(b[76:], crc32.Checksum(b[:76], castagnoli))
}

// decode reads a header and checks it by itself. The version is not judged.
func decode(b []byte) (h header, v uint16, ok bool) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b) != magic {
		return h, 0, false
	}
	if le.Uint32(b[76:]) != crc32.Checksum(b[:76], castagnoli) {
		return h, 0, false
	}
	h = header{kind: kind(le.Uint16(b[6:])), segment: le.Uint64(b[8:]), batch: le.Uint64(b[16:]),
		first: le.Uint64(b[24:]), synced: le.Uint64(b[32:]), keep: le.Uint64(b[40:]),
		keepRecord: le.Uint64(b[48:]), count: le.Uint32(b[56:]), length: le.Uint32(b[60:]),
		salt: le.Uint32(b[64:]), life: le.Uint32(b[68:]), flags: le.Uint32(b[72:])}
	return h, le.Uint16(b[4:]), true
}

// plausible reports whether the header's own fields go together.
func (h *header) plausible() bool {
	records := h.kind == kindHead || h.kind == kindBatch
	return h.kind >= kindHead && h.kind <= kindEnd && h.synced <= h.batch && h.keep <= h.segment &&
		h.keepRecord <= h.first &&
		uint64(h.count)*recordSize <= uint64(h.length) && (h.count > 0) == records &&
		h.length <= MaxRecord+recordSize+maxBatchBytes && h.first+uint64(h.count) >= h.first
}

// size is what the block and what belongs to it take on the disk.
func (h *header) size() int64 { return alignUp(headerSize + int64(h.length)) }

func alignUp(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

// mask ties a record's checksum to its number and to the life that wrote it, so that neither a
// record counted wrongly nor one left from before is taken for what it is not.
func mask(life uint32, number uint64) uint32 {
	return life ^ (uint32(number)+uint32(number>>32)*0x85ebca6b)*0x9e3779b1
}

// batch is records on their way to the disk: room for a header, and what doc.go draws.
type batch struct {
	buf   []byte
	first uint64
	count uint32
}

func (b *batch) reset(first uint64, keep int) {
	if cap(b.buf) > 2*keep+blockSize {
		b.buf = nil // one large record's room is not kept
	}
	b.buf = append(b.buf[:0], make([]byte, headerSize)...)
	b.first, b.count = first, 0
}

func (b *batch) add(life uint32, record []byte) {
	at := len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	b.buf = append(b.buf, record...)
	r := b.buf[at:]
	binary.LittleEndian.PutUint32(r[4:], uint32(len(record)))
	check := crc32.Checksum(r[4:], castagnoli) ^ mask(life, b.first+uint64(b.count))
	binary.LittleEndian.PutUint32(r, check)
	b.count++
}

// sizeWith is the batch's size on the disk with one more record of n bytes.
func (b *batch) sizeWith(n int) int64 { return alignUp(int64(len(b.buf) + recordSize + n)) }

// seal fills in the header and pads to whole blocks.
func (b *batch) seal(h *header) []byte {
	h.count, h.length = b.count, uint32(len(b.buf)-headerSize)
	h.encode(b.buf)
	for pad := alignUp(int64(len(b.buf))) - int64(len(b.buf)); pad > 0; {
		n := min(pad, int64(len(zeros)))
		b.buf = append(b.buf, zeros[:n]...)
		pad -= n
	}
	return b.buf
}

// zeros are what is written where nothing is.
var zeros [1 << 20]byte

// split takes a record off body, unchecked. rest is nil if where the next begins cannot be told.
func split(body []byte) (record, rest []byte, ok bool) {
	if len(body) < recordSize {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(body[4:]))
	if n > uint64(len(body)-recordSize) {
		return nil, nil, false
	}
	end := recordSize + int(n)
	return body[recordSize:end:end], body[end:], true
}

// next is split; ok also says that the checksum is that of the record with this number.
func next(body []byte, life uint32, number uint64) (record, rest []byte, ok bool) {
	record, rest, ok = split(body)
	if !ok {
		return nil, nil, false
	}
	check := crc32.Checksum(body[4:recordSize+len(record)], castagnoli) ^ mask(life, number)
	return record, rest, check == binary.LittleEndian.Uint32(body)
}
