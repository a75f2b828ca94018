package socket

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

const groBytes = 1 << 16 // the most that UDP_GRO merges into one buffer

// batch reads many buffers a call; under GRO each may hold many datagrams of one length.
type batch struct {
	fd      int
	gro     bool
	poll    bool // never wait
	mem     memInfo
	msgs    []mmsghdr
	iovs    []unix.Iovec
	buf     []byte
	control []byte // one cmsg a buffer: the segment's size
	stride  int    // bytes of buf a message

	filled  int // messages the last call returned
	at, off int // the next datagram: message, and offset in it
	segs    uint64
}

var controlBytes = unix.CmsgSpace(4)

func openBatch(c Config) (receiver, error) {
	fd, err := listenUDP(c)
	if err != nil {
		return nil, err
	}
	b := &batch{fd: fd, mem: newMemInfo(fd), gro: c.Mode == GRO, poll: c.Wait < 0, stride: datagramBytes}
	if b.gro {
		b.stride = groBytes
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			_ = unix.Close(fd)
			return nil, unavailable("UDP GRO", "set UDP_GRO", "use a kernel ≥ 5.0", err)
		}
	}
	b.msgs = make([]mmsghdr, c.Batch)
	b.iovs = make([]unix.Iovec, c.Batch)
	b.buf = make([]byte, c.Batch*b.stride)
	b.control = make([]byte, c.Batch*controlBytes)
	for i := range b.msgs {
		b.iovs[i].Base = &b.buf[i*b.stride]
		b.iovs[i].SetLen(b.stride)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b, nil
}

func (b *batch) recv(frames [][]byte) (int, error) {
	if b.at == b.filled {
		if err := b.fill(min(len(frames), len(b.msgs))); err != nil {
			return 0, err
		}
	}
	n := 0
	for ; n < len(frames) && b.at < b.filled; n++ {
		frames[n] = b.next()
	}
	return n, nil
}

// fill asks the kernel for up to want messages: first without blocking, then waiting for one.
func (b *batch) fill(want int) error {
	b.at, b.off, b.filled = 0, 0, 0
	if b.gro {
		for i := range want {
			b.msgs[i].hdr.Control = &b.control[i*controlBytes]
			b.msgs[i].hdr.SetControllen(controlBytes)
		}
	}
	p := uintptr(unsafe.Pointer(&b.msgs[0]))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.fd), p, uintptr(want),
		unix.MSG_DONTWAIT, 0, 0)
	if errno == unix.EAGAIN && !b.poll {
		n, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b.fd), p, uintptr(want),
			unix.MSG_WAITFORONE, 0, 0)
	}
	if errno != 0 {
		if temporary(errno) {
			return nil
		}
		return fmt.Errorf("socket: recvmmsg: %w", errno)
	}
	b.filled = int(n)
	b.segs += uint64(n)
	return nil
}

// next cuts the next datagram out of the current message.
func (b *batch) next() []byte {
	m := &b.msgs[b.at]
	buf := b.buf[b.at*b.stride:]
	end := int(m.len)
	if b.gro {
		if size := segmentSize(b.control[b.at*controlBytes:], int(m.hdr.Controllen)); size > 0 {
			end = min(end, b.off+size)
		}
	}
	f := buf[b.off:end:end]
	if b.off = end; end >= int(m.len) {
		b.at++
		b.off = 0
	}
	return f
}

// segmentSize reads the UDP_GRO control message: the length of all datagrams merged but the last,
// or 0 if nothing was merged.
func segmentSize(control []byte, n int) int {
	if n < unix.SizeofCmsghdr+4 {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != unix.IPPROTO_UDP || h.Type != unix.UDP_GRO {
		return 0
	}
	return int(*(*int32)(unsafe.Pointer(&control[unix.SizeofCmsghdr])))
}

func (b *batch) stats(n *packet.Stats) {
	b.mem.into(n)
	n.RxSegs = b.segs
}

func (b *batch) close() error    { return unix.Close(b.fd) }
func (b *batch) descriptor() int { return b.fd }
