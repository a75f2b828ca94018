package nemesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"metronome/system/cluster"
	"metronome/system/wire"
)

// Network is a bridge with a network namespace for each peer, this program's own namespace being the
// bridge's: 10.78.0.1. It needs root, ip(8) and nft(8); make it inside a [Sandbox], so that it vanishes
// with the program.
type Network struct {
	peers []wire.Peer
}

// NewNetwork makes the namespaces of a cluster with so many replicas and proxies.
func NewNetwork(ctx context.Context, replicas, proxies int) (*Network, error) {
	n := &Network{}
	for i := range replicas {
		n.peers = append(n.peers, wire.ReplicaPeer(i))
	}
	for i := range proxies {
		n.peers = append(n.peers, wire.ProxyPeer(uint32(i+1)))
	}
	script := "link add br0 type bridge mcast_snooping 0\naddr add 10.78.0.1/24 dev br0\nlink set br0 up\n"
	for _, p := range n.peers {
		script += fmt.Sprintf("netns add %[1]s\nlink add %[1]s type veth peer name eth0 netns %[1]s\n"+
			"link set %[1]s master br0 up\n", n.name(p))
	}
	if err := shell(ctx, script, "ip", "-batch", "-"); err != nil {
		return nil, err
	}
	for _, p := range n.peers {
		script := fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n"+
			"route add 224.0.0.0/4 dev eth0\n", n.Host(p))
		if err := shell(ctx, script, "ip", "-netns", n.name(p), "-batch", "-"); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Close takes the namespaces away. Processes in them must have ended.
func (n *Network) Close(ctx context.Context) error {
	script := "link del br0\n"
	for _, p := range n.peers {
		script += "netns del " + n.name(p) + "\n"
	}
	return shell(ctx, script, "ip", "-batch", "-")
}

// name is a peer's namespace, and its port of the bridge.
func (n *Network) name(p wire.Peer) string { return p.String() }

// Host is a peer's address.
func (n *Network) Host(p wire.Peer) string {
	if p.IsProxy() {
		return fmt.Sprintf("10.78.0.%d", 100+p.Number())
	}
	return fmt.Sprintf("10.78.0.%d", 10+p.Seat())
}

// address moves a cluster from the loopback interface to the network. Frames travel one by one, as on a wire:
// what the kernel hands on in one piece would be lost in one piece.
func (n *Network) address(c *cluster.Config) {
	for i := range c.Replicas {
		r := &c.Replicas[i]
		for _, a := range []*string{&r.Stream, &r.Datagram, &r.Ops} {
			*a = onHost(*a, n.Host(wire.ReplicaPeer(i)))
		}
	}
	for i := range c.Proxies {
		p := &c.Proxies[i]
		for _, a := range []*string{&p.Stream, &p.Datagram, &p.Ops, &p.Resp} {
			*a = onHost(*a, n.Host(p.Peer()))
		}
	}
	c.Multicast.Interface = "eth0"
	c.Port.GSO = false
}

func onHost(addr, host string) string {
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, port)
}

// Loss loses a share of the datagrams that reach each peer, each peer its own.
func (n *Network) Loss(share float64) Fault {
	return n.rules(fmt.Sprintf("loss of %g of all datagrams", share), func(wire.Peer) string {
		return fmt.Sprintf("ip protocol udp numgen random mod 100000 < %d drop", int(share*100000))
	})
}

// Twice lets a share of the datagrams come twice.
func (n *Network) Twice(share float64) Fault {
	f := Fault{Name: fmt.Sprintf("%g of all datagrams twice", share)}
	f.Apply = func(ctx context.Context) error {
		script := "table netdev twice {\n"
		for _, p := range n.peers {
			script += fmt.Sprintf("chain %[1]s { type filter hook egress device \"%[2]s\" priority 0; "+
				"ip protocol udp numgen random mod 100000 < %[3]d dup to \"%[2]s\"\n}\n",
				strings.ReplaceAll(n.name(p), "-", ""), n.name(p), int(share*100000))
		}
		return shell(ctx, script+"}\n", "nft", "-f", "-")
	}
	f.Heal = func(ctx context.Context) error {
		return shell(ctx, "delete table netdev twice\n", "nft", "-f", "-")
	}
	return f
}

// Partition cuts a set of peers off from all other peers, in both directions; clients reach everyone.
func (n *Network) Partition(minority ...wire.Peer) Fault {
	cut := map[wire.Peer]bool{}
	for _, p := range minority {
		cut[p] = true
	}
	return n.rules(fmt.Sprintf("partition of %v", minority), func(p wire.Peer) string {
		var others []string
		for _, q := range n.peers {
			if cut[p] != cut[q] {
				others = append(others, n.Host(q))
			}
		}
		return fmt.Sprintf("ip saddr { %s } drop", strings.Join(others, ", "))
	})
}

// Deaf lets a peer send but not receive: an asymmetric partition.
func (n *Network) Deaf(deaf wire.Peer) Fault {
	return n.rules(fmt.Sprintf("%v hears no peer", deaf), func(p wire.Peer) string {
		if p != deaf {
			return ""
		}
		return "ip saddr != 10.78.0.1 ip saddr 10.78.0.0/24 drop"
	})
}

// rules filters what comes in at every peer.
func (n *Network) rules(name string, rule func(p wire.Peer) string) Fault {
	each := func(ctx context.Context, script func(p wire.Peer) string) error {
		var errs []error
		for _, p := range n.peers {
			if s := script(p); s != "" {
				errs = append(errs, shell(ctx, s, "ip", "netns", "exec", n.name(p), "nft", "-f", "-"))
			}
		}
		return errors.Join(errs...)
	}
	return Fault{Name: name,
		Apply: func(ctx context.Context) error {
			return each(ctx, func(p wire.Peer) string {
				r := rule(p)
				if r == "" {
					return ""
				}
				return "table ip fault { chain in { type filter hook prerouting priority -300; " + r + "\n}\n}\n"
			})
		},
		Heal: func(ctx context.Context) error {
			return each(ctx, func(p wire.Peer) string {
				if rule(p) == "" {
					return ""
				}
				return "delete table ip fault\n"
			})
		}}
}

// shell runs a program on a script.
func shell(ctx context.Context, script, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nemesis: %s %s: %w: %s\n%s", name, strings.Join(args, " "), err, out.String(), script)
	}
	return nil
}
