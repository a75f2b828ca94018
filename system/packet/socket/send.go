package socket

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// Limits of one segmented datagram: the kernel's UDP_MAX_SEGMENTS, and what IPv4 and UDP can hold.
const (
	maxSegments  = 64
	maxSegmented = 65507
)

// sender transmits bursts by sendmmsg, each message one frame or, with GSO, a run of frames.
type sender struct {
	fd      int
	gso     bool
	msgs    []mmsghdr
	iovs    []unix.Iovec
	control []byte
	runs    []int // frames a message
}

func openSender(c Config) (_ *sender, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: open a UDP socket: %w", err)
	}
	defer closeOnError(fd, &err)
	if c.Source.IsValid() {
		if err = unix.Bind(fd, sockaddr(c.Source)); err != nil {
			return nil, fmt.Errorf("socket: send from %s: %w", c.Source, err)
		}
	}
	if c.Destination.Addr().IsMulticast() {
		if err = sendToGroup(fd, c); err != nil {
			return nil, err
		}
	}
	if err = unix.Connect(fd, sockaddr(c.Destination)); err != nil {
		return nil, unavailable("route to "+c.Destination.Addr().String(), "connect",
			"ip route add 239.0.0.0/8 dev INTERFACE", err)
	}
	return &sender{
		fd: fd, gso: c.GSO,
		msgs:    make([]mmsghdr, packet.MaxBurst),
		iovs:    make([]unix.Iovec, packet.MaxBurst),
		runs:    make([]int, packet.MaxBurst),
		control: make([]byte, packet.MaxBurst*unix.CmsgSpace(2)),
	}, nil
}

func sendToGroup(fd int, c Config) error {
	loop := 0
	if c.Loop {
		loop = 1
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, loop); err != nil {
		return fmt.Errorf("socket: IP_MULTICAST_LOOP: %w", err)
	}
	if c.Interface == "" {
		return nil
	}
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return fmt.Errorf("socket: interface %s: %w", c.Interface, err)
	}
	mreq := &unix.IPMreqn{Ifindex: int32(ifi.Index)}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreq); err != nil {
		return fmt.Errorf("socket: IP_MULTICAST_IF %s: %w", c.Interface, err)
	}
	return nil
}

// send hands frames over without waiting: what the socket's buffer has no room for is left.
func (s *sender) send(frames [][]byte, n *packet.Stats) (int, error) {
	frames = frames[:min(len(frames), packet.MaxBurst)]
	msgs := s.prepare(frames)
	if msgs == 0 {
		return 0, nil
	}
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(msgs), unix.MSG_DONTWAIT, 0, 0)
	taken := 0
	if errno == 0 {
		for _, run := range s.runs[:sent] {
			taken += run
		}
	}
	for _, f := range frames[:taken] {
		n.TxBytes += uint64(len(f))
	}
	n.TxFrames += uint64(taken)
	switch errno {
	case 0, unix.EAGAIN, unix.ENOBUFS:
		n.TxFull += uint64(len(frames) - taken)
		return taken, nil
	case unix.EINTR, unix.ECONNREFUSED: // the latter is an earlier datagram's ICMP answer
		return taken, nil
	}
	n.TxErrors++
	return taken, fmt.Errorf("socket: sendmmsg: %w", errno)
}

// prepare lays frames out as messages and returns how many.
func (s *sender) prepare(frames [][]byte) (msgs int) {
	for i := 0; i < len(frames); msgs++ {
		run := 1
		if s.gso {
			run = runLength(frames[i:])
		}
		for k, f := range frames[i : i+run] {
			s.iovs[i+k].Base = unsafe.SliceData(f)
			s.iovs[i+k].SetLen(len(f))
		}
		m := &s.msgs[msgs]
		*m = mmsghdr{}
		m.hdr.Iov = &s.iovs[i]
		m.hdr.SetIovlen(run)
		if run > 1 {
			s.setSegment(m, msgs, len(frames[i]))
		}
		s.runs[msgs] = run
		i += run
	}
	return msgs
}

// runLength is how many leading frames can be one segmented datagram: all of the first's length,
// but the last may be shorter.
func runLength(frames [][]byte) int {
	total := 0
	for i, f := range frames {
		total += len(f)
		if i == maxSegments || total > maxSegmented || len(f) > len(frames[0]) {
			return i
		}
		if len(f) < len(frames[0]) {
			return i + 1
		}
	}
	return len(frames)
}

func (s *sender) setSegment(m *mmsghdr, i, size int) {
	c := s.control[i*unix.CmsgSpace(2):]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&c[unix.SizeofCmsghdr])) = uint16(size)
	m.hdr.Control = &c[0]
	m.hdr.SetControllen(unix.CmsgSpace(2))
}

func (s *sender) close() error {
	if s == nil {
		return nil
	}
	return unix.Close(s.fd)
}
