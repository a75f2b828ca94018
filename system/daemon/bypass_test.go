package daemon

import (
	"testing"

	"metronome/system/wire"
)

// Every peer has an Ethernet address of its own that is local and nobody's group.
func TestBypassAddresses(t *testing.T) {
	seen := map[[6]byte]wire.Peer{}
	peers := []wire.Peer{wire.ReplicaPeer(0), wire.ReplicaPeer(1), wire.ReplicaPeer(15), wire.ProxyPeer(1),
		wire.ProxyPeer(2), wire.ProxyPeer(1 << 20)}
	for _, p := range peers {
		mac := bypassMAC(p)
		if mac[0]&3 != 2 {
			t.Errorf("%v: %x is not a local address of one host", p, mac)
		}
		if other, ok := seen[mac]; ok {
			t.Errorf("%v and %v are both %x", p, other, mac)
		}
		seen[mac] = p
	}
}

// A loop polls on for a while before it sleeps, and sleeps at once if it is told to.
func TestIdler(t *testing.T) {
	for _, limit := range []int{0, 1, 64} {
		i := idler{limit: limit}
		polls := 0
		for i.spins() {
			polls++
		}
		if polls != 2*limit {
			t.Errorf("limit %d: %d polls before sleeping", limit, polls)
		}
	}
}
