package socket

import (
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

func closeOnError(fd int, err *error) {
	if *err != nil {
		_ = unix.Close(fd)
	}
}

// listenUDP opens the socket that every mode but af_packet and net reads.
func listenUDP(c Config) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: open a UDP socket: %w", err)
	}
	defer closeOnError(fd, &err)
	if err = configure(fd, c); err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, sockaddr(c.Listen)); err != nil {
		return -1, fmt.Errorf("socket: bind to %s: %w", c.Listen, err)
	}
	return fd, nil
}

// configure sets what a receiving socket needs before it is bound.
func configure(fd int, c Config) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("socket: SO_REUSEADDR: %w", err)
	}
	if err := setReceiveBuffer(fd, c.ReceiveBuffer); err != nil {
		return err
	}
	wait := unix.NsecToTimeval(max(c.Wait, 0).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return fmt.Errorf("socket: SO_RCVTIMEO: %w", err)
	}
	if c.BusyPoll > 0 {
		if err := busyPoll(fd, c.BusyPoll); err != nil {
			return err
		}
	}
	if c.Listen.Addr().IsMulticast() {
		return join(fd, c)
	}
	return nil
}

// setReceiveBuffer makes the receive buffer hold size bytes, beyond net.core.rmem_max if the user
// may, and checks what it got: the kernel clamps without a word, and doubles what it grants
// (socket(7)).
func setReceiveBuffer(fd, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return fmt.Errorf("socket: SO_RCVBUF: %w", err)
		}
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return fmt.Errorf("socket: read SO_RCVBUF: %w", err)
	}
	if got < size {
		return &packet.ErrUnavailable{What: "receive buffer",
			Why:  fmt.Sprintf("asked for %d bytes, the kernel grants %d", size, got/2),
			Next: fmt.Sprintf("sysctl -w net.core.rmem_max=%d, or run as root", size)}
	}
	return nil
}

func busyPoll(fd int, d time.Duration) error {
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"SO_BUSY_POLL", unix.SO_BUSY_POLL, int(d.Microseconds())},
		{"SO_PREFER_BUSY_POLL", unix.SO_PREFER_BUSY_POLL, 1},
		{"SO_BUSY_POLL_BUDGET", unix.SO_BUSY_POLL_BUDGET, 64},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.opt, o.value); err != nil {
			return unavailable("busy polling", "set "+o.name, "run as root (CAP_NET_ADMIN)", err)
		}
	}
	return nil
}

// join subscribes to the group on the interface and to nothing that others on this host subscribed
// to.
func join(fd int, c Config) error {
	mreq := &unix.IPMreqn{Multiaddr: c.Listen.Addr().As4()}
	if c.Interface != "" {
		ifi, err := net.InterfaceByName(c.Interface)
		if err != nil {
			return fmt.Errorf("socket: interface %s: %w", c.Interface, err)
		}
		mreq.Ifindex = int32(ifi.Index)
	}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq); err != nil {
		return unavailable("multicast group "+c.Listen.Addr().String(), "join it",
			"ip route add 239.0.0.0/8 dev "+c.Interface, err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
		return fmt.Errorf("socket: IP_MULTICAST_ALL: %w", err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// Indices into SO_MEMINFO's array (linux/sock_diag.h).
const (
	memRcvAlloc = 0
	memDrops    = 8
	memVars     = 9
)

// sockopt reads one fixed-size socket option again and again without allocating: what a system call
// is given a pointer to moves to the heap, so it lives there from the start.
type sockopt[T any] struct {
	fd, level, name int
	value           *T
	size            *uint32
}

func newSockopt[T any](fd, level, name int) sockopt[T] {
	return sockopt[T]{fd: fd, level: level, name: name, value: new(T), size: new(uint32)}
}

func (o sockopt[T]) read() (*T, bool) {
	*o.size = uint32(unsafe.Sizeof(*o.value))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(o.fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(o.value)), uintptr(unsafe.Pointer(o.size)), 0)
	return o.value, errno == 0
}

// memInfo reads SO_MEMINFO: the socket's drop counter and the bytes it holds.
type memInfo struct{ sockopt[[memVars]uint32] }

func newMemInfo(fd int) memInfo {
	return memInfo{newSockopt[[memVars]uint32](fd, unix.SOL_SOCKET, unix.SO_MEMINFO)}
}

func (m memInfo) into(n *packet.Stats) {
	if info, ok := m.read(); ok {
		n.RxDropped, n.RxHeld = uint64(info[memDrops]), uint64(info[memRcvAlloc])
	}
}

// temporary reports whether a receive call merely found nothing in time.
func temporary(errno unix.Errno) bool {
	return errno == unix.EAGAIN || errno == unix.EINTR || errno == unix.ECONNREFUSED
}
