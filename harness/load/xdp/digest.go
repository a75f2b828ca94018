package xdp

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"metronome/system/wire"
)

// Constants of XXH3 (https://github.com/Cyan4973/xxHash, xxhash.h), of which only the path for an
// input of 33 to 64 bytes is used: four blocks of 16 bytes, each against 16 bytes of the secret.
const (
	xxPrime64  = 0x9E3779B185EBCA87
	xxPrimeMX1 = 0x165667919E3779F9
)

// xxSecret is the first 64 bytes of XXH3's default secret as eight little-endian words.
var xxSecret = [8]uint64{
	0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072,
	0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0,
}

// xxSecretOf says at which word of the secret each 16-byte block of a 64-byte input finds its key.
var xxSecretOf = [4]int{0, 4, 6, 2}

// xxKey is the key of one block's two words.
func xxKey(block int, seed uint64) (lo, hi uint64) {
	w := xxSecretOf[block]
	return xxSecret[w] + seed, xxSecret[w+1] - seed
}

// xxMix is one block's share of the hash: the two halves of a 128-bit product, folded.
func xxMix(lo, hi uint64) uint64 {
	h, l := bits.Mul64(lo, hi)
	return h ^ l
}

// fillXXH3 prepares what is constant in the hash of the header: block 0 whole (nothing in it changes
// within a lane), the first half of block 1 (incarnation, count, length) and the second half of
// block 3 (payload hash).
func fillXXH3(v value, hdr []byte, seed uint64) {
	le := binary.LittleEndian
	lo, hi := xxKey(0, seed)
	first := xxMix(le.Uint64(hdr[0:])^lo, le.Uint64(hdr[8:])^hi)
	length := uint64(wire.DigestOffset)
	v.put(laneDigest, length*xxPrime64+first)
	lo, _ = xxKey(1, seed)
	v.put(laneBlock1, le.Uint64(hdr[16:])^lo)
	_, hi = xxKey(3, seed)
	v.put(laneBlock3, le.Uint64(hdr[56:])^hi)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcOf is wire's crc32c digest of a header.
func crcOf(hdr []byte, seed uint64) uint64 {
	return uint64(crc32.Update(uint32(seed), castagnoli, hdr))
}

// fillCRCTables writes, for each byte of each changing number, what each of its values does to the
// CRC. A CRC is linear: the effect of a byte depends on nothing else, and effects add up by XOR
// (seed and final inversion cancel between two messages of one length). frame and highwater are
// always equal, so they share a table.
func fillCRCTables(v value) {
	t := v[tablesOffset:]
	fields := [tableFields][]int{
		{frameOffset - hdrOffset, highOffset - hdrOffset},
		{firstOffset - hdrOffset},
		{tailOffset - hdrOffset},
	}
	zero := crcOf(make([]byte, wire.DigestOffset), 0)
	for f, offsets := range fields {
		for i := range 8 * 256 {
			var msg [wire.DigestOffset]byte
			for _, off := range offsets {
				msg[off+i/256] = byte(i)
			}
			effect := uint32(crcOf(msg[:], 0) ^ zero)
			binary.LittleEndian.PutUint32(t[f*tableSize+i*4:], effect)
		}
	}
}
