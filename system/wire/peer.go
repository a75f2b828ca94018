package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Peer names a process of the cluster as its certificate does: a replica by its seat, its place in
// the cluster file, or a proxy by its number. Who sits on a seat may change; PROTOCOL's R1 gives
// each life of a replica's state an id of its own.
type Peer uint32

const (
	peerReplica = 1 << 24
	peerProxy   = 2 << 24
	peerNumber  = 1<<24 - 1
)

// MaxSeats bounds the replicas of a cluster, learners included.
const MaxSeats = 15

// ReplicaPeer is the replica on a seat.
func ReplicaPeer(seat int) Peer { return peerReplica | Peer(seat)&peerNumber }

// ProxyPeer is the proxy of a number below 2^24.
func ProxyPeer(number uint32) Peer { return peerProxy | Peer(number)&peerNumber }

// IsReplica reports whether p names a replica.
func (p Peer) IsReplica() bool { return p&^peerNumber == peerReplica }

// IsProxy reports whether p names a proxy.
func (p Peer) IsProxy() bool { return p&^peerNumber == peerProxy }

// Seat is a replica's seat.
func (p Peer) Seat() int { return int(p & peerNumber) }

// Number is a proxy's number.
func (p Peer) Number() uint32 { return uint32(p & peerNumber) }

// String is the name in certificates, logs and metrics: "replica-0", "proxy-1".
func (p Peer) String() string {
	switch {
	case p.IsReplica():
		return "replica-" + strconv.Itoa(p.Seat())
	case p.IsProxy():
		return "proxy-" + strconv.Itoa(int(p.Number()))
	}
	return "peer-" + strconv.Itoa(int(p))
}

// ParsePeer reads what String writes.
func ParsePeer(s string) (Peer, error) {
	role, number, _ := strings.Cut(s, "-")
	n, err := strconv.ParseUint(number, 10, 24)
	switch {
	case err == nil && role == "replica" && n < MaxSeats:
		return ReplicaPeer(int(n)), nil
	case err == nil && role == "proxy":
		return ProxyPeer(uint32(n)), nil
	}
	return 0, fmt.Errorf("wire: %q names no peer: use replica-0 to replica-%d, or proxy-N", s, MaxSeats-1)
}
