//go:build !dpdk

package dpdk

import (
	"context"
	"net/netip"

	"metronome/system/packet"
)

// errNoDPDK is the answer of every entry point of a build without DPDK.
var errNoDPDK = &packet.ErrUnavailable{
	What: "dpdk",
	Why:  "this binary was built without it (build tag dpdk)",
	Next: "make setup && make build",
}

// Version is the linked DPDK's version; empty in this build.
func Version() string { return "" }

// Init starts EAL; in this build it is unavailable.
func Init([]string) error { return errNoDPDK }

// Shutdown ends EAL; in this build there is nothing to end.
func Shutdown() error { return nil }

// Attach makes the calling goroutine's thread known to EAL; in this build it is unavailable.
func Attach() (detach func(), err error) { return func() {}, errNoDPDK }

// HeapUse reads the use of EAL's memory; in this build it is zero.
func HeapUse() Heap { return Heap{} }

// Device is one DPDK device; this build opens none.
type Device struct{}

// Open opens a device; in this build it is unavailable.
func Open(Config) (*Device, error) { return nil, errNoDPDK }

// Ports is the number of queue pairs.
func (*Device) Ports() int { return 0 }

// Port is the i-th queue pair.
func (*Device) Port(int) *Port { return nil }

// Info describes the device.
func (*Device) Info() Info { return Info{} }

// LinkUp reports whether the device has a peer.
func (*Device) LinkUp() bool { return false }

// Connect connects a memif client that has no peer.
func (*Device) Connect() bool { return false }

// WaitLink waits for a peer.
func (*Device) WaitLink(context.Context) error { return errNoDPDK }

// WaitDown waits for the peer to close.
func (*Device) WaitDown(context.Context) error { return errNoDPDK }

// Stats reads the device's counters.
func (*Device) Stats() (DeviceStats, error) { return DeviceStats{}, errNoDPDK }

// XStats reads the driver's extended counters.
func (*Device) XStats() ([]XStat, error) { return nil, errNoDPDK }

// Close closes the device.
func (*Device) Close() error { return nil }

// Port is one queue pair.
type Port struct{}

var _ packet.Port = (*Port)(nil)

// Recv is unavailable in this build.
func (*Port) Recv([][]byte) (int, error) { return 0, errNoDPDK }

// Send is unavailable in this build.
func (*Port) Send([][]byte) (int, error) { return 0, errNoDPDK }

// Reserve is unavailable in this build.
func (*Port) Reserve(int, int) ([]Out, error) { return nil, errNoDPDK }

// Transmit is unavailable in this build.
func (*Port) Transmit(int) (int, error) { return 0, errNoDPDK }

// Relay is unavailable in this build.
func (*Port) Relay(*Port, []uint16) (int, error) { return 0, errNoDPDK }

// SendPackets is unavailable in this build.
func (*Port) SendPackets([][]byte) (int, error) { return 0, errNoDPDK }

// Route is unavailable in this build.
func (*Port) Route(netip.AddrPort, [6]byte) (*Route, error) { return nil, errNoDPDK }

// RouteFrom is unavailable in this build.
func (*Port) RouteFrom(uint16, netip.AddrPort, [6]byte) (*Route, error) { return nil, errNoDPDK }

// SendTo is unavailable in this build.
func (*Port) SendTo(*Route, [][]byte) (int, error) { return 0, errNoDPDK }

// Stats reads the port's counters.
func (*Port) Stats() packet.Stats { return packet.Stats{} }

// Verdicts counts received packets by verdict.
func (*Port) Verdicts() Verdicts { return Verdicts{} }

// Close closes the port.
func (*Port) Close() error { return nil }
