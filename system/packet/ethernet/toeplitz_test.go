package ethernet

import (
	"net/netip"
	"testing"
)

// Goal: flows from spread ports go to the queues in turn, whatever the number of queues. Method: stamp
// packets as a proxy does, hash them as a NIC does.
func TestSpreadPorts(t *testing.T) {
	h := NewToeplitz(MicrosoftKey[:])
	for _, addresses := range [][2]string{
		{"10.0.0.11:7702", "239.77.0.1:7700"}, {"192.0.2.7:1", "10.1.2.3:65535"}, {"127.0.0.1:9", "239.1.1.1:9"},
	} {
		src, dst := netip.MustParseAddrPort(addresses[0]), netip.MustParseAddrPort(addresses[1])
		seen := map[uint16]bool{}
		for flow := range indirection {
			port := h.SpreadPort(src.Addr(), dst, flow)
			if port < firstSpread || seen[port] {
				t.Fatalf("%v, flow %d: port %d is taken or too low", addresses, flow, port)
			}
			seen[port] = true
			tmpl, err := NewTemplate(Flow{Src: netip.AddrPortFrom(src.Addr(), port), Dst: dst})
			if err != nil {
				t.Fatal(err)
			}
			pkt := make([]byte, HeaderBytes+100)
			tmpl.Put(pkt, 0)
			for queues := 1; queues <= 16; queues++ {
				if got := Queue(h.Packet(pkt), queues); got != flow%queues {
					t.Fatalf("%v, flow %d of %d queues goes to %d", addresses, flow, queues, got)
				}
			}
		}
		if h.SpreadPort(src.Addr(), dst, 3) != h.SpreadPort(src.Addr(), dst, 3+indirection) {
			t.Error("the entries of the table are not gone round")
		}
	}
}
