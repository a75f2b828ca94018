package vswitch

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Spread asks for source ports of lanes, such that a receiver's RSS gives every queue its share of them.
type Spread struct {
	Key   []byte // the receiver's hash key; nil: Microsoft's
	Table []int  // its redirection table: a queue for each value of the hash's low bits; a power of two long
	Src   netip.Addr
	Dst   netip.AddrPort
	Lanes int
	First uint16 // lowest port to use
	Taken []uint16
}

// TableSize is how many entries the redirection table has that [Queue] goes by.
const TableSize = 128

// RoundRobin is the redirection table that drivers set up: size entries, dealt out to the queues in turn.
func RoundRobin(size, queues int) []int {
	table := make([]int, size)
	for i := range table {
		table[i] = i % queues
	}
	return table
}

// Ports chooses a source port for each lane: lane i's frames reach the i-th queue of the table's, counted
// round and round, so that no queue has two lanes more than another. It fails if there are not as many
// ports of the kind above First that nobody has taken; a key and table may well never reach a queue.
func (s Spread) Ports() ([]uint16, error) {
	queues, err := s.queues()
	if err != nil {
		return nil, err
	}
	key := s.Key
	if key == nil {
		key = MicrosoftKey[:]
	}
	hash := NewToeplitz(key)
	used := map[int]bool{}
	for _, p := range s.Taken {
		used[int(p)] = true
	}
	from, next := s.input(), make([]int, queues) // where each queue's search goes on
	ports := make([]uint16, s.Lanes)
	for lane := range ports {
		queue := lane % queues
		port := max(next[queue], int(s.First))
		for ; port < 1<<16; port++ {
			binary.BigEndian.PutUint16(from[8:], uint16(port))
			if !used[port] && s.Table[int(hash.Hash(from[:]))&(len(s.Table)-1)] == queue {
				break
			}
		}
		if port == 1<<16 {
			return nil, fmt.Errorf("vswitch: no free port from %d on takes lane %d from %s to queue %d of %d; "+
				"next: use fewer lanes, a lower first port, or another key", s.First, lane, s.Src, queue, queues)
		}
		ports[lane], used[port], next[queue] = uint16(port), true, port+1
	}
	return ports, nil
}

// queues is how many queues the table has; each must occur in it.
func (s Spread) queues() (n int, err error) {
	size := len(s.Table)
	switch {
	case size == 0 || size&(size-1) != 0:
		return 0, fmt.Errorf("vswitch: a redirection table of %d entries: use a power of two", size)
	case !s.Src.Unmap().Is4() || !s.Dst.Addr().Unmap().Is4():
		return 0, fmt.Errorf("vswitch: %s to %s is not IPv4", s.Src, s.Dst)
	case s.Lanes < 0 || s.Lanes > 1<<16:
		return 0, fmt.Errorf("vswitch: %d lanes: use 0 to %d", s.Lanes, 1<<16)
	}
	seen := map[int]bool{}
	for _, q := range s.Table {
		n = max(n, q+1)
		seen[q] = true
	}
	for q := range n {
		if !seen[q] {
			return 0, fmt.Errorf("vswitch: the redirection table never names queue %d of %d", q, n)
		}
	}
	if len(seen) != n {
		return 0, fmt.Errorf("vswitch: the redirection table names a queue below 0")
	}
	return n, nil
}

// input is the hash's input but for the source port.
func (s Spread) input() (in [tupleLen]byte) {
	src, dst := s.Src.Unmap().As4(), s.Dst.Addr().Unmap().As4()
	copy(in[:4], src[:])
	copy(in[4:8], dst[:])
	binary.BigEndian.PutUint16(in[10:], s.Dst.Port())
	return in
}

// tupleLen is what RSS hashes of a datagram over IPv4: both addresses and both ports.
const tupleLen = 12
