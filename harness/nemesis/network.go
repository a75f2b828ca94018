package nemesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"

	"metronome/harness/testbed"
	"metronome/system/cluster"
	"metronome/system/wire"
)

// Network is a network namespace for each peer round a bridge, or the software switch, in this program's own
// namespace. It needs root, ip(8), tc(8) and nft(8), and is made inside a [testbed.Sandbox], so that it
// vanishes with the program.
type Network struct {
	peers   []wire.Peer
	star    testbed.Star
	weather *weather // of the cluster's ports, bypass or the kernel's; nil: they pass no switch
}

// NewNetwork makes the namespaces of a cluster with so many replicas and proxies.
func NewNetwork(ctx context.Context, replicas, proxies int) (*Network, error) {
	return networkOf(ctx, false, peerNames(replicas, proxies))
}

// NewSwitchedNetwork makes such namespaces for the software switch instead of a bridge: a cluster with
// [Options].Switch starts it, and what peers say to each other passes it, their streams too. What this
// program says to them, and what they answer, does not.
func NewSwitchedNetwork(ctx context.Context, replicas, proxies int) (*Network, error) {
	return networkOf(ctx, true, peerNames(replicas, proxies))
}

func peerNames(replicas, proxies int) (names []string) {
	for i := range replicas {
		names = append(names, wire.ReplicaPeer(i).String())
	}
	for i := range proxies {
		names = append(names, wire.ProxyPeer(uint32(i+1)).String())
	}
	return names
}

// NetworkOf makes namespaces for programs of any kind. A name that is no peer's gets no address from
// [Network.Host].
func NetworkOf(ctx context.Context, names ...string) (*Network, error) {
	return networkOf(ctx, false, names)
}

func networkOf(ctx context.Context, switched bool, names []string) (*Network, error) {
	n := &Network{star: testbed.Star{Switched: switched}}
	for _, name := range names {
		p, err := wire.ParsePeer(name)
		if err != nil {
			return nil, fmt.Errorf("nemesis: namespace %q: %w", name, err)
		}
		n.peers = append(n.peers, p)
		n.star.Nodes = append(n.star.Nodes, testbed.StarNode{Namespace: name, Port: name, Address: n.Host(p)})
	}
	if err := n.star.Make(ctx); err != nil {
		return nil, errors.Join(err, n.star.Remove(ctx))
	}
	return n, nil
}

// Close takes the namespaces away. Processes in them must have ended.
func (n *Network) Close(ctx context.Context) error { return n.star.Remove(ctx) }

// name is a peer's namespace, and its port of the bridge.
func (n *Network) name(p wire.Peer) string { return p.String() }

// Inside is a command line that runs another in a peer's namespace, under the same process id.
func (n *Network) Inside(p wire.Peer, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", n.name(p)}, argv...)
}

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
	c.Multicast.Interface = testbed.StarDevice
	c.Port.GSO = false
}

func onHost(addr, host string) string {
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, port)
}

// replicas are the peers that are replicas, by seat.
func (n *Network) replicas() (all []wire.Peer) {
	return slices.DeleteFunc(slices.Clone(n.peers), wire.Peer.IsProxy)
}

// rules filters what comes in at every peer, by rules in a table that no other fault has at the time.
func (n *Network) rules(table, name string, rule func(p wire.Peer) string) Fault {
	each := func(ctx context.Context, script func(p wire.Peer) string) error {
		var errs []error
		for _, p := range n.peers {
			if s := script(p); s != "" {
				argv := n.Inside(p, "nft", "-f", "-")
				errs = append(errs, shell(ctx, s, argv[0], argv[1:]...))
			}
		}
		return errors.Join(errs...)
	}
	return Fault{Name: name,
		Apply: func(ctx context.Context) error {
			return each(ctx, func(p wire.Peer) string {
				if r := rule(p); r != "" {
					return "table ip " + table + " { chain in { type filter hook prerouting priority -300; " + r + "\n}\n}\n"
				}
				return ""
			})
		},
		Heal: func(ctx context.Context) error {
			return each(ctx, func(p wire.Peer) string {
				if rule(p) == "" {
					return ""
				}
				return "table ip " + table + "\ndelete table ip " + table + "\n" // also if it is not there
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
