package ethernet

import (
	"encoding/binary"
	"net/netip"
)

// MicrosoftKey is the key of Microsoft's verification suite, and the default of many drivers.
var MicrosoftKey = [40]byte{
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
	0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
}

// tupleBytes is the hash's input for UDP and TCP over IPv4: source and destination address, source
// and destination port.
const tupleBytes = 12

// Toeplitz is the receive-side scaling hash of NICs, tabulated: what each value of each input byte
// adds.
type Toeplitz struct{ table [tupleBytes][256]uint32 }

// NewToeplitz tabulates a key, of which the first 16 bytes matter. A key that is too short is filled
// with zeros.
func NewToeplitz(key []byte) *Toeplitz {
	var k [tupleBytes + 8]byte
	copy(k[:], key)
	t := &Toeplitz{}
	for i := range t.table {
		window := binary.BigEndian.Uint64(k[i:])
		for bit := range 8 {
			add := uint32(window << bit >> 32)
			for value := range 256 {
				if value&(0x80>>bit) != 0 {
					t.table[i][value] ^= add
				}
			}
		}
	}
	return t
}

// Hash is the hash of an input of 8 bytes (addresses) or 12 (addresses and ports); of longer ones
// the first 12 count.
func (t *Toeplitz) Hash(input []byte) (h uint32) {
	for i, b := range input[:min(len(input), tupleBytes)] {
		h ^= t.table[i][b]
	}
	return h
}

// Packet is the hash of an Ethernet packet: over addresses and ports of UDP and TCP, over addresses
// of other IPv4 and of fragments, 0 of the rest.
func (t *Toeplitz) Packet(pkt []byte) uint32 {
	if len(pkt) < EthernetBytes+20 || pkt[12] != 0x08 || pkt[13] != 0 || pkt[14]>>4 != 4 {
		return 0
	}
	ip := pkt[EthernetBytes:]
	header := int(ip[0]&15) * 4
	var input [tupleBytes]byte
	copy(input[:8], ip[12:20])
	fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
	if ip[9] != protocolUDP && ip[9] != protocolTCP || fragment || header < 20 || len(ip) < header+4 {
		return t.Hash(input[:8])
	}
	copy(input[8:], ip[header:header+4])
	return t.Hash(input[:])
}

const protocolTCP = 6

// indirection is the redirection table's size; its entries go round robin over the queues, as a
// driver sets them up.
const indirection = 128

// Queue is where a packet with that hash goes, of queues.
func Queue(hash uint32, queues int) int { return int(hash%indirection) % queues }

// firstSpread is the first port that [Toeplitz.SpreadPort] returns: none below is private to a flow
// (RFC 6335 §6).
const firstSpread = 49152

// SpreadPort is a source port for the number-th of several flows of UDP from src to dst, such that
// their hashes fall on consecutive entries of a redirection table of 128: with the entries dealt out
// round robin, as NICs' are and [Queue] does, flow i goes to queue i modulo the number of queues,
// whatever that is. The receiver must hash by the same key. If the key has no such port, which
// Microsoft's always has, ports follow each other.
func (t *Toeplitz) SpreadPort(src netip.Addr, dst netip.AddrPort, number int) uint16 {
	var input [tupleBytes]byte
	from, to := src.Unmap().As4(), dst.Addr().Unmap().As4()
	copy(input[0:], from[:])
	copy(input[4:], to[:])
	binary.BigEndian.PutUint16(input[10:], dst.Port())
	for port := firstSpread; port < 1<<16; port++ {
		binary.BigEndian.PutUint16(input[8:], uint16(port))
		if int(t.Hash(input[:])%indirection) == number%indirection {
			return uint16(port)
		}
	}
	return uint16(firstSpread + number%(1<<14))
}
