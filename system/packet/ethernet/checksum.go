package ethernet

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to the one's complement sum s, both as little-endian 64-bit lanes. A one's complement
// sum does not care for byte order as long as both sides agree (RFC 1071 §2B), so the bytes are
// never swapped; an odd last byte counts as if followed by a zero.
func sum(s uint64, b []byte) uint64 {
	var c uint64
	for len(b) >= 64 {
		// Two chains of add-with-carry run side by side: 64 bytes cost about what 32 would.
		var t, d uint64
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), c)
		t, d = bits.Add64(binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:]), 0)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(b[48:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(b[56:64]), d)
		s = add(add(s, c), add(t, d))
		b = b[64:]
	}
	for len(b) >= 8 {
		s = add(s, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) > 0 {
		s = add(s, tail(b))
	}
	return s
}

// sum20 is sum(0, b) of an IPv4 header without options, which nearly every packet has.
func sum20(b []byte) uint64 {
	s, c := bits.Add64(binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), 0)
	s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint32(b[16:20])), c)
	return s + c
}

// add is one's complement addition: the carry out of the top comes back in at the bottom.
func add(s, v uint64) uint64 {
	s, c := bits.Add64(s, v, 0)
	return s + c
}

// tail reads the last 1 to 7 bytes as a little-endian number.
func tail(b []byte) uint64 {
	if len(b) >= 4 {
		return uint64(binary.LittleEndian.Uint32(b)) | small(b[4:])<<32
	}
	return small(b)
}

// small reads 0 to 3 bytes as a little-endian number.
func small(b []byte) uint64 {
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// fold brings a sum down to the 16 bits of a checksum field, not yet complemented, in the byte
// order in which binary.LittleEndian.PutUint16 puts it down right.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// Checksum is the Internet checksum of b (RFC 1071), ready for the header field as a big-endian
// number: Checksum over data that already holds its right checksum is 0.
func Checksum(b []byte) uint16 { return swap(^fold(sum(0, b))) }

// pseudo is the sum over the IPv4 pseudo header of UDP: addresses (the 8 bytes at addresses),
// protocol and length.
func pseudo(addresses []byte, length int) uint64 {
	s := binary.LittleEndian.Uint64(addresses)
	return add(s, uint64(swap(uint16(length)))+protocolUDP<<8)
}

// swap turns a 16-bit number between this file's little-endian reading and its value on the wire.
func swap(v uint16) uint16 { return v<<8 | v>>8 }
