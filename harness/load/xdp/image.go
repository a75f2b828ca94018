package xdp

import (
	"encoding/binary"

	"metronome/system/wire"
)

// fillLane writes a lane's part of the map: the first imageSize bytes of its packets as they are in
// frame 0 with all changing fields zero, and the constants the program starts from.
func (c *Config) fillLane(v value, lane int, incarnation uint32) {
	clear(v)
	img := v[laneImage:][:imageSize]
	c.putEthernet(img)
	c.putIP(img[ipOffset:])
	c.putUDP(img[udpOffset:], lane)
	hdr := img[hdrOffset:]
	var h wire.Header
	h.Get(c.Header)
	h.Lane, h.Incarnation = uint16(lane), incarnation
	h.Frame, h.First, h.HighWater, h.Tail, h.Digest = 0, 0, 0, 0, 0
	h.Put(hdr)
	v.put(laneSum, uint64(c.constantSum(img)))
	switch h.Mode {
	case wire.ModeXXH3:
		fillXXH3(v, hdr, c.HeaderSeed)
	case wire.ModeCRC32C:
		v.put(laneDigest, crcOf(hdr[:wire.DigestOffset], c.HeaderSeed))
	}
}

func (c *Config) putEthernet(b []byte) {
	copy(b[0:], c.dstMAC())
	copy(b[6:], c.SrcMAC)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
}

// putIP writes an IPv4 header without options, with the don't-fragment flag. The identification is 0,
// as RFC 6864 allows for such datagrams, so that the checksum never changes.
func (c *Config) putIP(b []byte) {
	const version4, flagDF, protoUDP = 0x45, 0x4000, 17
	b[0] = version4
	binary.BigEndian.PutUint16(b[2:], uint16(ipSize+udpSize+wire.HeaderSize+len(c.Payload)))
	binary.BigEndian.PutUint16(b[6:], flagDF)
	b[8] = 64 // time to live
	b[9] = protoUDP
	copy(b[12:], c.Src.AsSlice())
	copy(b[16:], c.Dst.AsSlice())
	binary.LittleEndian.PutUint16(b[10:], ^onesSum(0, b[:ipSize]))
}

func (c *Config) putUDP(b []byte, lane int) {
	binary.BigEndian.PutUint16(b[0:], c.SrcPort+uint16(lane))
	binary.BigEndian.PutUint16(b[2:], c.DstPort)
	binary.BigEndian.PutUint16(b[4:], uint16(udpSize+wire.HeaderSize+len(c.Payload)))
}

// constantSum sums what a UDP checksum covers: the pseudo-header (addresses, protocol, length), the
// UDP header, the frame. img has zeros where the program adds the numbers' share.
func (c *Config) constantSum(img []byte) uint16 {
	pseudo := make([]byte, 0, 12)
	pseudo = append(pseudo, img[ipOffset+12:ipOffset+20]...)
	pseudo = append(pseudo, 0, img[ipOffset+9], img[udpOffset+4], img[udpOffset+5])
	return onesSum(onesSum(onesSum(0, pseudo), img[udpOffset:]), c.Payload)
}

// onesSum adds b to a ones' complement sum of 16-bit words. Words are read in the machine's order:
// the sum of swapped words is the swapped sum (RFC 1071, section 2B). Only the last of several pieces
// may have an odd length.
func onesSum(sum uint16, b []byte) uint16 {
	s := uint64(sum)
	for ; len(b) >= 2; b = b[2:] {
		s += uint64(binary.LittleEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0])
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
