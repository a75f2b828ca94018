package nemesis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"metronome/harness/testbed"
	"metronome/harness/vswitch"
	"metronome/system/wire"
)

// million is what shares of datagrams are counted in.
const million = 1_000_000

// Loss loses a share of the datagrams that reach each peer, each peer its own, each datagram by itself. Round
// a bridge the kernel draws: a seed does not decide which. Of ports that the switch joins the switch does, by
// [Options].Seed; so with all faults of packets. Streams are spared.
func (n *Network) Loss(share float64) Fault {
	name := fmt.Sprintf("loss of %g of all datagrams", share)
	if n.weather != nil {
		return n.weather.ofPackets(name, vswitch.Impairment{Loss: share, Datagrams: true})
	}
	return n.rules("lossy", name, func(wire.Peer) string {
		return fmt.Sprintf("ip protocol udp numgen random mod %d < %d drop", million, int(share*million))
	})
}

// Bursts loses a share of the datagrams that reach each peer, so many in a row: the first ones of every
// length/share. Which ones is decided by their count alone. By the switch, bursts of that length on average
// (Gilbert's channel).
func (n *Network) Bursts(share float64, length int) Fault {
	every := max(length, int(float64(length)/share))
	name := fmt.Sprintf("loss of %g of all datagrams, %d in a row", share, length)
	if n.weather != nil {
		return n.weather.ofPackets(name, vswitch.Impairment{Burst: BurstsOf(share, length), Datagrams: true})
	}
	return n.rules("lossy", name, func(wire.Peer) string {
		return fmt.Sprintf("ip protocol udp numgen inc mod %d < %d drop", every, length)
	})
}

// BurstsOf is Gilbert's channel that loses a share of all packets, so many in a row on average.
func BurstsOf(share float64, length int) vswitch.Burst {
	if share == 0 {
		return vswitch.Burst{}
	}
	leave := 1 / float64(length)
	return vswitch.Burst{Enter: min(1, leave*share/(1-share)), Leave: leave, Bad: 1}
}

// Twice lets a share of the datagrams come twice.
func (n *Network) Twice(share float64) Fault {
	f := Fault{Name: fmt.Sprintf("%g of all datagrams twice", share)}
	if n.weather != nil {
		return n.weather.ofPackets(f.Name, vswitch.Impairment{Duplicate: share, Datagrams: true})
	}
	f.Apply = func(ctx context.Context) error {
		script := "table netdev twice {\n"
		for _, p := range n.peers {
			script += fmt.Sprintf("chain %[1]s { type filter hook egress device \"%[2]s\" priority 0; "+
				"ip protocol udp numgen random mod %[4]d < %[3]d dup to \"%[2]s\"\n}\n",
				strings.ReplaceAll(n.name(p), "-", ""), n.name(p), int(share*million), million)
		}
		return shell(ctx, script+"}\n", "nft", "-f", "-")
	}
	f.Heal = func(ctx context.Context) error {
		return shell(ctx, "table netdev twice\ndelete table netdev twice\n", "nft", "-f", "-")
	}
	return f
}

// slowLaneBits is the rate of [Network.Reorder]'s slow lane.
const slowLaneBits = 4_000_000

// slowLaneWait is how long the software switch's slow lane takes, whatever the load.
const slowLaneWait = vswitch.Span(3 * time.Millisecond)

// Reorder sends a share of the datagrams that leave each peer by a slow lane of 4 Mbit/s, where each waits
// until those before it have passed: the others overtake it, by a few milliseconds, more under load. What
// finds no room there (300 datagrams) is lost. This kernel has neither netem nor fq, so a delay that does
// not depend on the load cannot be had.
func (n *Network) Reorder(share float64) Fault {
	f := Fault{Name: fmt.Sprintf("%g of all datagrams by a slow lane", share)}
	if n.weather != nil {
		return n.weather.ofPackets(f.Name, vswitch.Impairment{Reorder: share, ReorderBy: slowLaneWait,
			Datagrams: true})
	}
	f.Apply = func(ctx context.Context) error {
		mark := fmt.Sprintf("table ip lanes { chain out { type route hook output priority 0; ip protocol udp "+
			"numgen random mod %d < %d meta priority set 1:20\n}\n}\n", million, int(share*million))
		lanes := fmt.Sprintf("qdisc add dev %[1]s root handle 1: htb default 10\n"+
			"class add dev %[1]s parent 1: classid 1:10 htb rate 10gbit\n"+
			"class add dev %[1]s parent 1: classid 1:20 htb rate %[2]d burst 1600 cburst 1600\n"+
			"qdisc add dev %[1]s parent 1:20 pfifo limit 300\n", testbed.StarDevice, slowLaneBits)
		return n.each(ctx, func(p wire.Peer) error {
			return errors.Join(shell(ctx, lanes, "tc", "-netns", n.name(p), "-batch", "-"), n.nft(ctx, p, mark))
		})
	}
	f.Heal = func(ctx context.Context) error {
		return n.each(ctx, func(p wire.Peer) error {
			_ = shell(ctx, "qdisc del dev "+testbed.StarDevice+" root\n", "tc", "-netns", n.name(p), "-batch", "-")
			return n.nft(ctx, p, "table ip lanes\ndelete table ip lanes\n")
		})
	}
	return f
}

func (n *Network) each(ctx context.Context, do func(p wire.Peer) error) error {
	var errs []error
	for _, p := range n.peers {
		errs = append(errs, do(p))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// nft changes a peer's packet filter.
func (n *Network) nft(ctx context.Context, p wire.Peer, script string) error {
	argv := n.Inside(p, "nft", "-f", "-")
	return shell(ctx, script, argv[0], argv[1:]...)
}
