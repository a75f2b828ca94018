package socket

import (
	"fmt"
	"net"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// A ring's block is the unit in which the kernel hands packets over (packet(7), TPACKET_V3).
const (
	blockBytes     = 256 << 10
	retireMillis   = 1 // the kernel hands over a block that is not full after this
	blockStatusAt  = 8 // struct tpacket_block_desc: version, offset_to_priv, then tpacket_hdr_v1
	blockPacketsAt = 12
	blockFirstAt   = 16
	packetSnapAt   = 12 // struct tpacket3_hdr: next, sec, nsec, snaplen, len, status, mac, net
	packetStatusAt = 20
	packetMACAt    = 24
)

// ring reads a device's packets from a ring of blocks shared with the kernel.
type ring struct {
	fd       int
	mem      []byte
	blocks   int
	block    int    // the block being read
	left     uint32 // packets left in it
	packet   uint32 // offset of the next one in it
	done     bool   // the block is read and its frames may still be borrowed
	group    [4]byte
	udpPort  uint16
	poll     []unix.PollFd
	wait     int // milliseconds
	n        packet.Stats
	counters sockopt[unix.TpacketStatsV3]
	member   int // a UDP socket that holds the group's membership
}

func openRing(c Config) (_ receiver, err error) {
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("socket: interface %s: %w", c.Interface, err)
	}
	// Protocol 0 keeps packets out until the ring is there and bind names the protocol.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, unavailable("AF_PACKET", "open a packet socket", "run as root (CAP_NET_RAW)", err)
	}
	defer closeOnError(fd, &err)
	r := &ring{fd: fd, member: -1,
		counters: newSockopt[unix.TpacketStatsV3](fd, unix.SOL_PACKET, unix.PACKET_STATISTICS),
		blocks:   max(2, c.ReceiveBuffer/blockBytes), udpPort: c.Listen.Port(),
		group: c.Listen.Addr().As4(), wait: int(max(1, c.Wait.Milliseconds())),
		poll: []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLERR}}}
	if err = r.open(ifi, c); err != nil {
		_ = r.unmap()
		return nil, err
	}
	return r, nil
}

func (r *ring) open(ifi *net.Interface, c Config) (err error) {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return unavailable("TPACKET_V3", "set PACKET_VERSION", "use a kernel ≥ 3.2", err)
	}
	req := unix.TpacketReq3{Block_size: blockBytes, Block_nr: uint32(r.blocks), Frame_size: datagramBytes,
		Frame_nr: uint32(r.blocks * blockBytes / datagramBytes), Retire_blk_tov: retireMillis}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("socket: a packet ring of %d blocks of %d bytes: %w", r.blocks, blockBytes, err)
	}
	r.mem, err = unix.Mmap(r.fd, 0, r.blocks*blockBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("socket: map the packet ring: %w", err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return unavailable("PACKET_IGNORE_OUTGOING", "set it", "use a kernel ≥ 4.20", err)
	}
	if c.Listen.Addr().IsMulticast() {
		if err := r.join(c); err != nil {
			return err
		}
	}
	ip := uint16(unix.ETH_P_IP)
	addr := &unix.SockaddrLinklayer{Protocol: ip<<8 | ip>>8, Ifindex: ifi.Index}
	if err := unix.Bind(r.fd, addr); err != nil {
		return fmt.Errorf("socket: bind to %s: %w", ifi.Name, err)
	}
	return nil
}

// join keeps a membership so that the network sends the group here; its socket receives nothing.
func (r *ring) join(c Config) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: open a UDP socket: %w", err)
	}
	r.member = fd
	return join(fd, c)
}

func (r *ring) recv(frames [][]byte) (int, error) {
	if r.done {
		r.release()
	}
	if r.left == 0 && !r.take() {
		return 0, nil
	}
	n := 0
	for n < len(frames) && r.left > 0 {
		if f, ok := r.parse(); ok {
			frames[n] = f
			n++
		}
	}
	r.done = r.left == 0
	return n, nil
}

func (r *ring) current() []byte { return r.mem[r.block*blockBytes : (r.block+1)*blockBytes] }

func u32(b []byte, at uint32) uint32 { return *(*uint32)(unsafe.Pointer(&b[at])) }

// ready reports whether the kernel has handed the block over. The load is atomic for its ordering:
// the packets must not be read before it.
func ready(b []byte) bool {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[blockStatusAt])))&unix.TP_STATUS_USER != 0
}

// release hands the current block back and moves to the next.
func (r *ring) release() {
	status := (*uint32)(unsafe.Pointer(&r.current()[blockStatusAt]))
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	r.block = (r.block + 1) % r.blocks
	r.done = false
}

// take waits for the current block to be handed over.
func (r *ring) take() bool {
	b := r.current()
	if !ready(b) {
		if _, err := unix.Poll(r.poll, r.wait); err != nil || !ready(b) {
			return false
		}
	}
	r.left, r.packet = u32(b, blockPacketsAt), u32(b, blockFirstAt)
	r.n.RxSegs += uint64(r.left)
	if r.left == 0 {
		r.release()
		return false
	}
	return true
}

// parse takes the next packet of the block apart.
func (r *ring) parse() ([]byte, bool) {
	b, at := r.current(), r.packet
	mac := at + uint32(*(*uint16)(unsafe.Pointer(&b[at+packetMACAt])))
	size := u32(b, at+packetSnapAt)
	// A packet of this host, or one the device vouches for, has a checksum that is right or not yet
	// made.
	const vouched = unix.TP_STATUS_CSUMNOTREADY | unix.TP_STATUS_CSUM_VALID
	verify := u32(b, at+packetStatusAt)&vouched == 0
	r.packet += u32(b, at)
	r.left--
	payload, v := ethernet.UDPPayload(b[mac:mac+size:mac+size], r.group, r.udpPort, verify)
	switch {
	case v == ethernet.OK:
		return payload, true
	case v.Damaged():
		r.n.RxBadUDP++
	default:
		r.n.RxForeign++
	}
	return nil, false
}

func (r *ring) stats(n *packet.Stats) {
	// Reading the statistics resets them.
	if s, ok := r.counters.read(); ok {
		r.n.RxDropped += uint64(s.Drops)
	}
	n.RxDropped, n.RxForeign, n.RxBadUDP, n.RxSegs = r.n.RxDropped, r.n.RxForeign, r.n.RxBadUDP, r.n.RxSegs
	n.RxHeld = uint64(len(r.mem))
}

func (r *ring) unmap() error {
	if r.member >= 0 {
		_ = unix.Close(r.member)
	}
	if r.mem == nil {
		return nil
	}
	return unix.Munmap(r.mem)
}

func (r *ring) close() error {
	if err := r.unmap(); err != nil {
		return fmt.Errorf("socket: unmap the packet ring: %w", err)
	}
	return unix.Close(r.fd)
}

func (r *ring) descriptor() int { return r.fd }
