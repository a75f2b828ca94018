package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/socket"
)

// PortConfig names a port and its buffers.
type PortConfig struct {
	Kind      string // one of PortKinds
	Interface string // kernel device; not for memif
	Group     netip.AddrPort

	Batch         int           // recvmmsg, gro: datagrams a call
	ReceiveBuffer int           // sockets: bytes
	BusyPoll      time.Duration // sockets
	SocketPath    string        // memif
	RingLog2      int           // memif: log2 of the ring's slots
	MemoryMB      int           // DPDK: bound on its heap
	Hugepages     bool
	Queue         int // af_xdp: the device's queue
}

// PortKinds lists what PortConfig.Kind may be: the modes of packet/socket, and DPDK's devices.
func PortKinds() []string {
	return []string{"recv", "net", "recvmmsg", "gro", "af_packet", "memif", "dpdk-af_xdp", "dpdk-af_packet"}
}

// Polling reports whether a port of this kind returns at once when there is nothing to receive.
func (c PortConfig) Polling() bool { return c.Kind == "memif" || strings.HasPrefix(c.Kind, "dpdk-") }

// Open opens the port on the calling thread, which must stay the one that polls it.
func (c PortConfig) Open() (packet.Port, Ready, error) {
	if c.Polling() {
		return c.openDPDK()
	}
	p, err := socket.Open(socket.Config{Mode: socket.Mode(c.Kind), Interface: c.Interface, Listen: c.Group,
		Batch: c.Batch, ReceiveBuffer: c.ReceiveBuffer, BusyPoll: c.BusyPoll})
	if err != nil {
		return nil, Ready{}, err
	}
	held := int64(c.ReceiveBuffer)
	if c.Kind != "af_packet" {
		held *= 2 // the kernel doubles SO_RCVBUF for its own bookkeeping (socket(7))
	}
	return p, Ready{BufferBytes: held, BoundBytes: held}, nil
}

// Rings that the af_packet and af_xdp drivers make.
const (
	afPacketFrames = 2048
	afXDPFrames    = 2048 // XSK_RING_CONS__DEFAULT_NUM_DESCS
	memifMbufs     = 1023 // the ring is the buffer; few mbufs stay in the cache
)

func (c PortConfig) openDPDK() (packet.Port, Ready, error) {
	var vdev, name string
	var ready Ready
	mbufs := 0 // as many as the rings ask for
	switch c.Kind {
	case "memif":
		m := dpdk.Memif{Server: true, Socket: c.SocketPath, RingLog2: c.RingLog2}
		vdev, name = m.Vdev(), m.Name()
		ready = Ready{RingFrames: 1 << c.RingLog2, UMEMBytes: int64(m.RegionBytes(1))}
		mbufs = memifMbufs
	case "dpdk-af_xdp":
		x := dpdk.AFXDP{Interface: c.Interface, StartQueue: c.Queue}
		vdev, name = x.Vdev(), x.Name()
		ready = Ready{RingFrames: afXDPFrames} // its pool is the UMEM
	case "dpdk-af_packet":
		a := dpdk.AFPacket{Interface: c.Interface, Frames: afPacketFrames}
		vdev, name = a.Vdev(), a.Name()
		ready = Ready{RingFrames: afPacketFrames, UMEMBytes: 2 * afPacketFrames * dpdk.DefaultMbufBytes}
	default:
		return nil, ready, fmt.Errorf("unknown port %q: use one of %s", c.Kind,
			strings.Join(PortKinds(), ", "))
	}
	eal := dpdk.EAL{Vdevs: []string{vdev}, MemoryMB: c.MemoryMB, Hugepages: c.Hugepages}
	if err := dpdk.Init(eal.Args()); err != nil {
		return nil, ready, err
	}
	if _, err := dpdk.Attach(); err != nil {
		return nil, ready, err
	}
	dev, err := dpdk.Open(dpdk.Config{Device: name, Listen: c.Group, RxRing: int(ready.RingFrames),
		Mbufs: mbufs})
	if err != nil {
		return nil, ready, err
	}
	pool := int64(dev.Info().PoolBytes)
	ready.BoundBytes = pool + ready.UMEMBytes
	if c.Kind == "dpdk-af_xdp" {
		ready.UMEMBytes = pool
	}
	ready.BufferBytes = ready.UMEMBytes
	ready.DPDK, ready.EALArgs = dpdk.Version(), strings.Join(eal.Args(), " ")
	return dpdkPort{dev.Port(0), dev}, ready, nil
}

// dpdkPort closes the device, and EAL with it, when its only port is closed.
type dpdkPort struct {
	*dpdk.Port
	dev *dpdk.Device
}

// Close implements packet.Port.
func (p dpdkPort) Close() error {
	if err := p.dev.Close(); err != nil {
		return err
	}
	return dpdk.Shutdown()
}
