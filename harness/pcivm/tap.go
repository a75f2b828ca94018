package pcivm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is the host's end of a NIC's cable: whole Ethernet packets, both ways.
type Wire struct{ fd int }

// maxWait is how long Recv waits at most before it finds that nothing came.
const maxWait = 100 * time.Millisecond

// wireBuffer holds everything a test sends, in bytes as the kernel counts them.
const wireBuffer = 8 << 20

// OpenWire opens the interface of the calling namespace with that name, which is up.
func OpenWire(name string) (*Wire, error) {
	all := binary.BigEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	network := binary.NativeEndian.Uint16([]byte{byte(all >> 8), byte(all)})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(network))
	if err != nil {
		return nil, fmt.Errorf("open wire: %w", err)
	}
	i, err := net.InterfaceByName(name)
	if err == nil {
		timeout := unix.NsecToTimeval(int64(maxWait))
		err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireBuffer),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: i.Index}))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open wire %s: %w", name, err), unix.Close(fd))
	}
	return &Wire{fd}, nil
}

// Send puts a packet on the wire.
func (w *Wire) Send(pkt []byte) error {
	if _, err := unix.Write(w.fd, pkt); err != nil {
		return fmt.Errorf("send on the wire: %w", err)
	}
	return nil
}

// Recv gives the next packet that the guest sent, or nil if none came for a while.
func (w *Wire) Recv() ([]byte, error) {
	pkt := make([]byte, 2048)
	n, err := unix.Read(w.fd, pkt)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("receive from the wire: %w", err)
	}
	return pkt[:n], nil
}

// Close closes the wire's end.
func (w *Wire) Close() error { return os.NewSyscallError("close", unix.Close(w.fd)) }
