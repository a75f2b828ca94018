package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"metronome/system/packet"
	"metronome/system/wire"
)

// MaxLanes is the largest number of lanes a generator sends in.
const MaxLanes = 64

// Config says what the generator sends and where. All frames of all trials carry one payload.
type Config struct {
	Device string // the sending device, in the network namespace of the thread that calls Run

	SrcMAC net.HardwareAddr // nil: the device's
	DstMAC net.HardwareAddr // nil: derived from a multicast Dst (RFC 1112)
	Src    netip.Addr       // IPv4
	Dst    netip.Addr       // IPv4, unicast or multicast

	SrcPort uint16 // lane i sends from SrcPort + i: one 5-tuple a lane
	DstPort uint16

	Lanes int // 1 to MaxLanes, taken in turn: the g-th frame is frame g / Lanes of lane g % Lanes

	// Header is the frame's header as bytes, [wire.HeaderSize] long. The generator overwrites lane,
	// incarnation, frame, first, highwater, tail and digest; it takes the digest mode and the
	// number of items a frame from it, and sends the rest as it stands.
	Header  []byte
	Payload []byte // 0 to wire.MaxPayload bytes, sent as they are

	HeaderSeed uint64 // [wire.Digester.HeaderSeed]: seeds the digest in modes xxh3 and crc32c
	Window     uint64 // frames that count as repairable: tail = frame + 1 - Window, at least 0
}

// check names the first thing in the config that cannot be sent.
func (c *Config) check() error {
	switch {
	case len(c.SrcMAC) != 6:
		return fmt.Errorf("source MAC %q: want 6 bytes", c.SrcMAC)
	case !c.Src.Is4() || !c.Dst.Is4():
		return fmt.Errorf("addresses %v to %v: want IPv4", c.Src, c.Dst)
	case c.DstMAC == nil && !c.Dst.IsMulticast():
		return fmt.Errorf("no destination MAC for unicast address %v", c.Dst)
	case c.DstMAC != nil && len(c.DstMAC) != 6:
		return fmt.Errorf("destination MAC %q: want 6 bytes", c.DstMAC)
	case c.Lanes < 1 || c.Lanes > MaxLanes:
		return fmt.Errorf("%d lanes: want 1 to %d", c.Lanes, MaxLanes)
	case int(c.SrcPort)+c.Lanes > 1<<16:
		return fmt.Errorf("source ports %d and up for %d lanes: past 65535", c.SrcPort, c.Lanes)
	}
	return c.checkFrame()
}

func (c *Config) checkFrame() error {
	if len(c.Header) != wire.HeaderSize {
		return fmt.Errorf("header of %d bytes: want %d", len(c.Header), wire.HeaderSize)
	}
	if len(c.Payload) > wire.MaxPayload {
		return fmt.Errorf("payload of %d bytes: %w", len(c.Payload), wire.ErrTooLong)
	}
	var h wire.Header
	h.Get(c.Header)
	if int(h.Length) != len(c.Payload) {
		return fmt.Errorf("header says %d bytes of payload, there are %d", h.Length, len(c.Payload))
	}
	switch h.Mode {
	case wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C:
		return nil
	case wire.ModeMAC, wire.ModeAEAD:
		return &packet.ErrUnavailable{What: "digest mode " + h.Mode.String() + " in the XDP generator",
			Why:  "a BPF program cannot compute AES",
			Next: "use xxh3, crc32c or none, or measure mode " + h.Mode.String() + " over memif"}
	}
	return errors.New("unknown digest " + h.Mode.String())
}

// dstMAC is where the frames go on the link.
func (c *Config) dstMAC() net.HardwareAddr {
	if c.DstMAC != nil {
		return c.DstMAC
	}
	return MulticastMAC(c.Dst)
}

// MulticastMAC is the link address of an IPv4 multicast group: 01:00:5e and the address's low 23 bits
// (RFC 1112, section 6.4).
func MulticastMAC(group netip.Addr) net.HardwareAddr {
	a := group.As4()
	return net.HardwareAddr{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
}
