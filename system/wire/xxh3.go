package wire

import (
	"encoding/binary"
	"math/bits"
)

// XXH3-64 of exactly 64 bytes, the part of a header that its digest covers. The library finds out
// the length and works the seed into the secret again for every frame; done once, the digest costs
// half. The specification is xxHash's doc/xxhash_spec.md, "medium inputs"; the tests compare with
// the library.

// secret64 is the part of XXH3's default secret that inputs of 64 bytes meet, in the order in which
// they meet it.
var secret64 = [8]uint64{
	0xbe4ba423396cfeb8, 0x1cad21f72c81017c, // bytes 0 to 15, with the first 16 bytes of input
	0xdb979083e96dd4de, 0x1f67b3b7a4a44072, // 16 to 31, with the last
	0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, // 32 to 47, with the second
	0x8e2443f7744608b8, 0x4c263a81e69035e0, // 48 to 63, with the third
}

const (
	prime64     = 0x9E3779B185EBCA87
	avalancheBy = 0x165667919E3779F9
)

// seeded works a seed into the secret.
func seeded(seed uint64) (key [8]uint64) {
	for i := 0; i < len(key); i += 2 {
		key[i], key[i+1] = secret64[i]+seed, secret64[i+1]-seed
	}
	return key
}

// xxh3of64 hashes b[:64].
func xxh3of64(b []byte, key *[8]uint64) uint64 {
	_ = b[63]
	le := binary.LittleEndian
	h := uint64(64 * prime64 & (1<<64 - 1))
	h += fold(le.Uint64(b[0:])^key[0], le.Uint64(b[8:])^key[1])
	h += fold(le.Uint64(b[48:])^key[2], le.Uint64(b[56:])^key[3])
	h += fold(le.Uint64(b[16:])^key[4], le.Uint64(b[24:])^key[5])
	h += fold(le.Uint64(b[32:])^key[6], le.Uint64(b[40:])^key[7])
	h ^= h >> 37
	h *= avalancheBy
	return h ^ h>>32
}

// fold multiplies to 128 bits and adds the halves without carry (XXH3_mul128_fold64).
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
