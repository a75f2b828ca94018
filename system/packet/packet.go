package packet

import (
	"errors"
	"fmt"
)

// MaxBurst is the largest number of frames one [Port] call moves.
const MaxBurst = 512

// Port moves bursts of frames, where a frame is the payload of one UDP datagram. A port belongs to
// one goroutine: no two of its methods may run at the same time. Neither Recv nor Send allocates in
// steady state.
type Port interface {
	// Recv fills frames, a slice of 1 to [MaxBurst] elements, with up to len(frames) received
	// frames and returns how many. The frames are borrowed: they are valid, and may be
	// overwritten in place, until the next Recv or Close. Zero frames and a nil error mean that
	// nothing arrived within the port's wait (see Config of each implementation; a polling port
	// returns at once). A non-nil error is final.
	Recv(frames [][]byte) (int, error)

	// Send transmits frames in order to the port's destination and returns how many were taken.
	// Fewer than len(frames) with a nil error means that a ring or buffer is full: the caller
	// decides whether to retry. Frames may be reused as soon as Send returns.
	Send(frames [][]byte) (int, error)

	// Stats reads the port's counters.
	Stats() Stats

	// Close releases everything the port holds. Borrowed frames become invalid.
	Close() error
}

// Stats counts what a port saw since it was opened. Counters that an implementation cannot read
// stay zero and are named in its package documentation.
type Stats struct {
	RxFrames  uint64 // frames handed to the caller of Recv
	RxBytes   uint64 // bytes of those frames (UDP payload)
	RxCalls   uint64 // calls of Recv
	RxEmpty   uint64 // calls of Recv that returned no frame
	RxDropped uint64 // datagrams lost for want of a buffer: SO_RXQ_OVFL, imissed + rx_nombuf, a full ring
	RxErrors  uint64 // datagrams a device or the kernel discarded as damaged
	RxForeign uint64 // packets that were not a UDP datagram to this port's group and port number
	RxBadUDP  uint64 // packets to this port with a wrong length or checksum
	RxSegs    uint64 // received buffers; RxFrames / RxSegs is the segments per skb under GRO
	RxHeld    uint64 // bytes of kernel memory the port holds for datagrams now: not a counter

	TxFrames uint64 // frames taken by Send
	TxBytes  uint64 // bytes of those frames
	TxFull   uint64 // frames refused because a ring or buffer was full
	TxErrors uint64 // frames an error kept from leaving
}

// ErrUnavailable says that this machine or this build cannot provide a kind of port. Callers skip
// or mark the arm; they test for it with errors.As.
type ErrUnavailable struct {
	What string // the thing that is missing: "dpdk", "af_xdp", "multicast route", …
	Why  string // what was tried and what it answered
	Next string // the command or the document that would mend it; may be empty
}

func (e *ErrUnavailable) Error() string {
	s := fmt.Sprintf("%s is unavailable here: %s", e.What, e.Why)
	if e.Next != "" {
		s += "; next: " + e.Next
	}
	return s
}

// ErrClosed is returned by Recv and Send after Close.
var ErrClosed = errors.New("packet: port is closed")
