package probe

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device reads a network device's own counters, those of `ethtool -S`. It stays bound to the
// namespace it was opened in and may then be read from any thread.
type Device struct {
	name  string
	fd    int
	names []string // of the counters, in the driver's order
}

// ethtool commands' structures, linux/ethtool.h, with room for their variable parts.
const (
	ethStringSet  = 1 // ETH_SS_STATS
	ethNameSize   = 32
	stringsHeader = 12 // cmd, string_set, len
	statsHeader   = 8  // cmd, n_stats
)

// OpenDevice opens a device of the calling thread's network namespace. A driver without counters of
// its own gives a Device that reads none.
func OpenDevice(name string) (*Device, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open device %s: %w", name, err)
	}
	d := &Device{name: name, fd: fd}
	if err := d.readNames(); err != nil {
		d.Close()
		return nil, fmt.Errorf("open device %s: %w", name, err)
	}
	return d, nil
}

// Name is the device's name in its namespace.
func (d *Device) Name() string { return d.name }

// Close releases the device.
func (d *Device) Close() { _ = unix.Close(d.fd) }

func (d *Device) readNames() error {
	info, err := unix.IoctlGetEthtoolDrvinfo(d.fd, d.name)
	if err != nil {
		return fmt.Errorf("ask driver: %w", err)
	}
	if info.N_stats == 0 {
		return nil
	}
	buf := make([]byte, stringsHeader+int(info.N_stats)*ethNameSize)
	if err := d.ethtool(buf, unix.ETHTOOL_GSTRINGS, ethStringSet, info.N_stats); err != nil {
		return fmt.Errorf("read counters' names: %w", err)
	}
	for b := buf[stringsHeader:]; len(b) > 0; b = b[ethNameSize:] {
		name, _, _ := bytes.Cut(b[:ethNameSize], []byte{0})
		d.names = append(d.names, string(name))
	}
	return nil
}

// Read reads all counters.
func (d *Device) Read() (Counters, error) {
	c := make(Counters, len(d.names))
	if len(d.names) == 0 {
		return c, nil
	}
	// The kernel writes u64s, so the buffer is made of them.
	buf := make([]uint64, statsHeader/8+len(d.names))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), len(buf)*8)
	if err := d.ethtool(raw, unix.ETHTOOL_GSTATS, uint32(len(d.names))); err != nil {
		return nil, fmt.Errorf("read counters of device %s: %w", d.name, err)
	}
	for i, name := range d.names {
		c[name] = buf[statsHeader/8+i]
	}
	return c, nil
}

// ethtool makes one ioctl whose buffer begins with the given words.
func (d *Device) ethtool(buf []byte, words ...uint32) error {
	for i, w := range words {
		*(*uint32)(unsafe.Pointer(&buf[i*4])) = w
	}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the rest of struct ifreq's union
	}{data: unsafe.Pointer(&buf[0])}
	copy(req.name[:unix.IFNAMSIZ-1], d.name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.SIOCETHTOOL,
		uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(buf)
	if errno != 0 {
		return errno
	}
	return nil
}

// Veth is what a veth device's own counters say, summed over its queues.
type Veth struct {
	RingFull    uint64 // frames XDP could not put into the peer's ring: read it at the sending end
	Transmitted uint64 // frames XDP did put there, likewise
	Dropped     uint64 // received, then dropped for want of memory: read it at the receiving end
	XDPPackets  uint64 // received through this end's NAPI
	XDPDropped  uint64 // of these: dropped by an XDP program or on its behalf (a full AF_XDP ring)
	Redirected  uint64 // of these: redirected, to an AF_XDP socket for one
}

// Veth sums a veth device's counters, or those of its growth.
func (c Counters) Veth() Veth {
	var v Veth
	for name, n := range c {
		switch {
		case strings.HasSuffix(name, "_xdp_xmit_errors"):
			v.RingFull += n
		case strings.HasSuffix(name, "_xdp_xmit"):
			v.Transmitted += n
		case strings.HasSuffix(name, "_xdp_drops"):
			v.XDPDropped += n
		case strings.HasSuffix(name, "_xdp_redirect"):
			v.Redirected += n
		case strings.HasSuffix(name, "_xdp_packets"):
			v.XDPPackets += n
		case strings.HasPrefix(name, "rx_queue_") && strings.HasSuffix(name, "_drops"):
			v.Dropped += n
		}
	}
	return v
}
