package wire

import "encoding/binary"

// The frame's fixed figures; doc.go draws them.
const (
	Magic        = 0x4D54
	Version      = 1
	HeaderSize   = 72   // bytes before the items
	DigestOffset = 64   // the digest covers the bytes before it
	MaxFrame     = 1472 // bytes: a 1500-byte MTU less IPv4 and UDP headers; never fragmented by IP
	MaxPayload   = MaxFrame - HeaderSize
)

// Type is the kind of a frame.
type Type uint8

// The frame types.
const (
	TypeData      Type = 1
	TypeHeartbeat Type = 2
	TypeNack      Type = 3 // a replica asks for missing frames: First is its life's id, the payload gaps
)

// FlagRepair marks a frame sent again on request.
const FlagRepair = 1

// responderShift places the seat that is asked to answer in the flags' high half.
const responderShift = 4

// Responder is the seat of the replica that is asked to answer a frame's items; ok is false if the
// sender leaves it to the leader.
func (h *Header) Responder() (seat int, ok bool) {
	n := int(h.Flags >> responderShift)
	return n - 1, n > 0
}

// SetResponder asks the replica on a seat for the answers, or the leader if seat is -1.
func (h *Header) SetResponder(seat int) {
	h.Flags = h.Flags&(1<<responderShift-1) | uint8(seat+1)<<responderShift
}

// Header is a frame's header, decoded. Field by field it is doc.go's drawing.
type Header struct {
	Type        Type
	Mode        Mode
	Key         uint8 // place of the key that seals it, its number modulo KeyPlaces
	Flags       uint8
	Lane        uint16
	Cluster     uint32
	Proxy       uint32
	Incarnation uint32
	Count       uint16 // items completed by this frame
	Length      uint16 // bytes of payload
	Frame       uint64 // this frame's number in its lane
	First       uint64 // number of the first item completed here
	HighWater   uint64 // highest frame number sent in the lane
	Tail        uint64 // lowest frame number still repairable
	PayloadHash uint64
	Digest      uint64
}

// Put writes h into b[:HeaderSize], Digest included as it stands; [Seal] computes it.
func (h *Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	le := binary.LittleEndian
	le.PutUint16(b[0:], Magic)
	b[2], b[3], b[4], b[5] = Version, byte(h.Type), byte(h.Mode)|h.Key<<keyShift, h.Flags
	le.PutUint16(b[6:], h.Lane)
	le.PutUint32(b[8:], h.Cluster)
	le.PutUint32(b[12:], h.Proxy)
	le.PutUint32(b[16:], h.Incarnation)
	le.PutUint16(b[20:], h.Count)
	le.PutUint16(b[22:], h.Length)
	le.PutUint64(b[24:], h.Frame)
	le.PutUint64(b[32:], h.First)
	le.PutUint64(b[40:], h.HighWater)
	le.PutUint64(b[48:], h.Tail)
	le.PutUint64(b[56:], h.PayloadHash)
	le.PutUint64(b[DigestOffset:], h.Digest)
}

// Get reads h from b[:HeaderSize] and checks nothing: use [Opener.Open] on what a network
// delivered.
func (h *Header) Get(b []byte) {
	_ = b[HeaderSize-1]
	le := binary.LittleEndian
	h.Type, h.Mode, h.Key, h.Flags = Type(b[3]), Mode(b[4]&modeBits), b[4]>>keyShift, b[5]
	h.Lane = le.Uint16(b[6:])
	h.Cluster = le.Uint32(b[8:])
	h.Proxy = le.Uint32(b[12:])
	h.Incarnation = le.Uint32(b[16:])
	h.Count = le.Uint16(b[20:])
	h.Length = le.Uint16(b[22:])
	h.Frame = le.Uint64(b[24:])
	h.First = le.Uint64(b[32:])
	h.HighWater = le.Uint64(b[40:])
	h.Tail = le.Uint64(b[48:])
	h.PayloadHash = le.Uint64(b[56:])
	h.Digest = le.Uint64(b[DigestOffset:])
}
