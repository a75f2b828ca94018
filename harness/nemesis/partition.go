package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"metronome/harness/testbed"
	"metronome/system/wire"
)

// cut is which peers' packets are lost on the way to which; clients reach everyone.
type cut struct {
	name string
	lost func(from, to wire.Peer) bool
}

// fault drops what is lost where it would arrive; in the switch, if that is what joins the peers.
func (n *Network) fault(c cut) Fault {
	if n.star.Switched && n.weather != nil {
		return n.weather.ofCut(c)
	}
	f := n.rules("cut", c.name, func(to wire.Peer) string {
		var others []string
		for _, from := range n.peers {
			if from != to && c.lost(from, to) {
				others = append(others, n.Host(from))
			}
		}
		if len(others) == 0 {
			return ""
		}
		return fmt.Sprintf("ip saddr { %s } drop", strings.Join(others, ", "))
	})
	if n.weather != nil {
		f = both(f, n.weather.ofCut(c))
	}
	return f
}

// Partition cuts a set of peers off from all other peers, in both directions. Of a leader alone it is the
// classic: the others elect another while it still thinks it leads.
func (n *Network) Partition(minority ...wire.Peer) Fault {
	return n.fault(cut{fmt.Sprintf("partition of %v", minority), func(from, to wire.Peer) bool {
		return slices.Contains(minority, from) != slices.Contains(minority, to)
	}})
}

// Halves is a partition into two drawn halves, proxies among them: a majority of replicas on one side.
func (n *Network) Halves(rng *rand.Rand) Fault {
	replicas := n.shuffled(rng)
	minority := replicas[:(len(replicas)-1)/2]
	for _, p := range n.peers {
		if p.IsProxy() && rng.IntN(2) == 0 {
			minority = append(minority, p)
		}
	}
	return n.Partition(minority...)
}

func (n *Network) shuffled(rng *rand.Rand) []wire.Peer {
	all := n.replicas()
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// Bridge cuts replicas into two sides that only one drawn replica of the middle can reach; proxies reach all.
func (n *Network) Bridge(rng *rand.Rand) Fault { return n.fault(n.bridgeCut(rng)) }

func (n *Network) bridgeCut(rng *rand.Rand) cut {
	all := n.shuffled(rng)
	middle := len(all) / 2
	side := func(p wire.Peer) int {
		i := slices.Index(all, p)
		switch {
		case i < 0, i == middle:
			return 0
		case i < middle:
			return -1
		}
		return 1
	}
	return cut{fmt.Sprintf("bridge at %v", all[middle]), func(from, to wire.Peer) bool {
		return side(from)*side(to) < 0
	}}
}

// Ring leaves each replica with its two neighbours in a drawn ring: of five, everyone sees a majority and
// nobody sees the same one (jepsen.nemesis, majorities-ring). Of three, which are all neighbours, it takes
// one link away.
func (n *Network) Ring(rng *rand.Rand) Fault { return n.fault(n.ringCut(rng)) }

func (n *Network) ringCut(rng *rand.Rand) cut {
	all := n.shuffled(rng)
	if len(all) < 4 {
		c := n.bridgeCut(rng)
		c.name = "ring of three: " + c.name
		return c
	}
	return cut{fmt.Sprintf("ring %v", all), func(from, to wire.Peer) bool {
		i, j := slices.Index(all, from), slices.Index(all, to)
		apart := (i - j + len(all)) % len(all)
		return i >= 0 && j >= 0 && apart > 1 && apart < len(all)-1
	}}
}

// OneWay lets nothing pass from one peer to another; the other direction is whole.
func (n *Network) OneWay(from, to wire.Peer) Fault {
	return n.fault(cut{fmt.Sprintf("%v does not hear %v", to, from), func(a, b wire.Peer) bool {
		return a == from && b == to
	}})
}

// Deaf lets a peer send but not receive: an asymmetric partition.
func (n *Network) Deaf(deaf wire.Peer) Fault {
	name := fmt.Sprintf("%v hears no peer", deaf)
	hears := cut{name, func(_, to wire.Peer) bool { return to == deaf }}
	if n.star.Switched && n.weather != nil {
		return n.weather.ofCut(hears)
	}
	f := n.rules("cut", name, func(p wire.Peer) string {
		if p != deaf {
			return ""
		}
		return "ip saddr != " + testbed.BridgeAddr + " ip saddr 10.78.0.0/24 drop"
	})
	if n.weather != nil {
		f = both(f, n.weather.ofCut(hears))
	}
	return f
}
