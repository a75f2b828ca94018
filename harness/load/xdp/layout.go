package xdp

import "encoding/binary"

// The program and Go share one map with one value: the state of the trial, then the lanes, then the
// tables of digest mode crc32c. Numbers are u64, offsets are bytes. Frames are little-endian and the
// program stores them as the machine does, so the machine must be little-endian too, as amd64 and
// arm64 are.
const (
	stateStart    = 0  // when the trial starts, CLOCK_MONOTONIC ns; Go writes it
	stateDuration = 8  // how long it lasts, ns; Go writes it
	stateInterval = 16 // between slots, ns << fracBits, 0 = no pacing; Go writes it
	stateSlack    = 24 // interval * MaxBehind; Go writes it
	stateLanes    = 32 // number of lanes; Go writes it
	stateNext     = 40 // the next slot, ns << fracBits after the start
	stateLane     = 48 // the next frame's lane
	stateEmitted  = 56 // frames sent
	stateMissed   = 64 // slots skipped because they were too far behind
	statePolls    = 72 // runs of the program between start and end
	stateFirst    = 80 // when the first frame was sent, ns
	stateLast     = 88 // when the last frame was sent, ns
	stateClock    = 96 // the time, in tests that bring their own
	stateSize     = 128

	laneNext   = 0  // number of the lane's next frame
	laneSum    = 8  // Internet checksum of everything constant in the datagram, not inverted
	laneDigest = 16 // the digest's constant part
	laneBlock1 = 24 // xxh3: bytes 16-23 of the header, keyed
	laneBlock3 = 32 // xxh3: bytes 56-63 of the header, keyed
	laneImage  = 40 // the packet's first imageSize bytes
	laneSize   = 160

	lanesOffset  = stateSize
	tablesOffset = lanesOffset + MaxLanes*laneSize
	tableFields  = 3 // frame and highwater (always equal), first, tail
	tableSize    = 8 * 256 * 4
	valueSize    = tablesOffset + tableFields*tableSize
)

// Where things are in the packet.
const (
	etherSize = 14
	ipSize    = 20
	udpSize   = 8
	ipOffset  = etherSize
	udpOffset = ipOffset + ipSize
	hdrOffset = udpOffset + udpSize // the frame

	sumOffset    = udpOffset + 6
	frameOffset  = hdrOffset + 24
	firstOffset  = hdrOffset + 32
	highOffset   = hdrOffset + 40
	tailOffset   = hdrOffset + 48
	hashOffset   = hdrOffset + 56
	digestOffset = hdrOffset + 64
	imageSize    = hdrOffset + 72
)

// fracBits is how finely slots are placed: an interval is off by at most 2^-17 ns, which at 10 M
// frames/s is one frame in 10^7. Trials may last 2^(64-16) ns, three days.
const fracBits = 16

// MaxBehind is how many slots may be sent late, one right after the other; a veth's ring holds 256.
const MaxBehind = 32

// value is the map's value, seen from Go.
type value []byte

func (v value) get(off int) uint64    { return binary.LittleEndian.Uint64(v[off:]) }
func (v value) put(off int, n uint64) { binary.LittleEndian.PutUint64(v[off:], n) }

// lane is the part of the value that belongs to one lane.
func (v value) lane(i int) value {
	return v[lanesOffset+i*laneSize:][:laneSize]
}
