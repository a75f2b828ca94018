package cluster

import (
	"cmp"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"time"

	"metronome/system/packet"
	"metronome/system/wire"
)

// MaxLanes bounds a proxy's lanes.
const MaxLanes = 64

// Validate checks everything that can be checked without looking at the machine. The error, if any,
// is Problems; warnings are what is allowed and probably not meant.
func (c *Config) Validate() (warnings []Problem, err error) {
	k := &check{c: c}
	k.name()
	k.replicas()
	k.proxies()
	k.addresses()
	k.multicast()
	k.port()
	k.words()
	k.storage()
	k.limits()
	k.window()
	k.timing()
	k.secrets()
	for _, ps := range []Problems{k.warnings, k.problems} {
		slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	}
	if len(k.problems) > 0 {
		return k.warnings, k.problems
	}
	return k.warnings, nil
}

// A DNS label: the name is part of certificates.
var nameShape = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

func (k *check) name() {
	if !nameShape.MatchString(k.c.Name) {
		k.wrong("name", "%q: use 1 to 32 of a-z, 0-9 and -, beginning with a letter", k.c.Name)
	}
}

func (k *check) replicas() {
	n := len(k.c.Replicas)
	switch {
	case n == 0:
		k.wrong("replicas", "none: name at least one, with stream and datagram")
	case n > wire.MaxSeats:
		k.wrong("replicas", "%d: use at most %d", n, wire.MaxSeats)
	case n == 1:
		k.warn("replicas", "one replica survives nothing: use 3 or 5")
	case n%2 == 0:
		k.warn("replicas", "%d replicas survive no more failures than %d: use an odd number", n, n-1)
	}
	seen := map[wire.Peer]int{}
	for i := range k.c.Replicas {
		r, path := &k.c.Replicas[i], fmt.Sprintf("replicas[%d]", i)
		peer := r.Peer()
		if peer == 0 {
			k.wrong(path+".name", "%q: use replica-0 to replica-%d", r.Name, wire.MaxSeats-1)
			continue
		}
		if first, twice := seen[peer]; twice {
			k.wrong(path+".name", "%s is replicas[%d] already", peer, first)
		}
		seen[peer] = i
		k.cores(path, r.Cores)
	}
}

func (k *check) cores(path string, c *Cores) {
	if c == nil {
		return
	}
	all := append(append([]int{}, c.Ingest...), c.Apply...)
	if c.Ordering != nil {
		all = append(all, *c.Ordering)
	}
	for _, cpu := range all {
		if cpu < 0 || cpu > 4095 {
			k.wrong(path+".cores", "CPU %d: use numbers as in /proc/cpuinfo", cpu)
		}
	}
	k.ingest(path, c)
}

func (k *check) proxies() {
	seen := map[uint32]int{}
	if len(k.c.Proxies) == 0 {
		k.warn("proxies", "none: nobody can write to this cluster")
	}
	for i := range k.c.Proxies {
		p, path := &k.c.Proxies[i], fmt.Sprintf("proxies[%d]", i)
		k.between(path+".number", int64(p.Number), 1, 1<<24-1)
		k.between(path+".lanes", int64(p.Lanes), 1, MaxLanes)
		if first, twice := seen[p.Number]; twice {
			k.wrong(path+".number", "%s is proxies[%d] already", p.Peer(), first)
		}
		seen[p.Number] = i
		if p.Resp == "" {
			k.warn(path+".resp", "empty: clients of the Redis protocol cannot reach %s", p.Peer())
		}
	}
}

var portModes = map[string][]string{
	"socket": {"recv", "net", "recvmmsg", "gro", "af_packet"},
	"dpdk":   {"memif", "pci", "af_xdp", "af_packet"},
}

func (k *check) port() {
	p := &k.c.Port
	if k.oneOf("port.kind", p.Kind, "socket", "dpdk") {
		k.oneOf("port.mode", p.Mode, portModes[p.Kind]...)
	}
	k.between("port.burst", int64(p.Burst), 1, packet.MaxBurst)
	k.sized("port.receive_buffer", p.ReceiveBuffer, 64<<10, 1<<30)
	k.between("port.empty_polls", int64(p.EmptyPolls), 0, 1<<30)
	k.devices()
	if (p.Kind == "dpdk" || p.Mode == "af_packet") && !k.c.Bypass() && k.c.Multicast.Interface == "" {
		k.wrong("multicast.interface", "empty: port %s %s needs the name of a device", p.Kind, p.Mode)
	}
}

// pciShape is domain:bus:device.function, or a form without the domain.
var pciShape = regexp.MustCompile(`^([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$`)

// maxSocketPath is what the kernel takes for a unix socket.
const maxSocketPath = 107

// devices holds that every node has a device of its own where one is needed, and none where not.
func (k *check) devices() {
	seen := map[string]string{}
	one := func(path, device string, peer wire.Peer) {
		at := k.c.Device(peer)
		switch {
		case !k.c.Bypass():
			if device != "" {
				k.warn(path, "%q is not used: port is %s %s, not dpdk memif or pci", device, k.c.Port.Kind, k.c.Port.Mode)
			}
			return
		case device == "" && k.c.Port.Mode == "memif":
			k.wrong(path, "missing: port mode memif needs the path of the switch's socket for this node")
			return
		case device == "":
			k.wrong(path, "missing: port mode pci needs the address of this node's NIC, as in 0000:00:04.0")
			return
		case k.c.Port.Mode == "pci" && !pciShape.MatchString(device):
			k.wrong(path, "%q: use a PCI address, as in 0000:00:04.0 (lspci -D)", device)
		case k.c.Port.Mode == "memif" && len(at) > maxSocketPath:
			k.wrong(path, "%s has %d bytes: a socket's path has at most %d", at, len(at), maxSocketPath)
		case k.c.Port.Mode == "memif" && seen[at] != "":
			k.wrong(path, "%s is %s already: give each node a socket of its own", device, seen[at])
		}
		seen[at] = path
	}
	for i := range k.c.Replicas {
		one(fmt.Sprintf("replicas[%d].device", i), k.c.Replicas[i].Device, k.c.Replicas[i].Peer())
	}
	for i := range k.c.Proxies {
		one(fmt.Sprintf("proxies[%d].device", i), k.c.Proxies[i].Device, k.c.Proxies[i].Peer())
	}
}

func (k *check) words() {
	if k.c.Integrity == "none" {
		k.wrong("integrity", `"none" is for benchmarks: it lets damaged and foreign frames in: `+
			`use xxh3, crc32c, mac or aead`)
	} else {
		k.oneOf("integrity", k.c.Integrity, "xxh3", "crc32c", "mac", "aead")
	}
	k.oneOf("durability", k.c.Durability, "fsync", "memory")
	k.consensus()
}

// Algorithms are those that can order cuts, the default first. Only raft's members can change.
var Algorithms = []string{"raft", "multipaxos", "mencius", "baxos", "rabia", "racs"}

func (k *check) consensus() {
	c, n := k.c, len(k.c.Replicas)
	if !k.oneOf("consensus", c.Consensus, Algorithms...) {
		return
	}
	majority := n/2 + 1
	switch q := c.AcceptQuorum; {
	case q == 0 || q == majority:
	case c.Consensus == "raft":
		k.wrong("accept_quorum", "%d: raft commits with a majority, %d: leave it out, or use consensus: multipaxos",
			q, majority)
	case q < majority || q > n:
		k.wrong("accept_quorum", "%d of %d replicas: use %d to %d: with fewer, acknowledged would not mean that a "+
			"majority holds it", q, n, majority, n)
	}
	if c.Consensus != "raft" && c.Durability == "memory" {
		k.warn("durability", "memory with consensus %s: its members are fixed, so that a replica that ends does "+
			"not come back: use fsync, or raft", c.Consensus)
	}
}

func (k *check) storage() {
	s := &k.c.Storage
	k.sized("storage.journal", s.Journal, 16<<20, 1<<40)
	k.sized("storage.floor", s.Floor, 0, 1<<50)
	if s.TransferRate != 0 {
		k.sized("storage.transfer_rate", s.TransferRate, 1<<20, 1<<40)
	}
	used := map[string]int{}
	for i := range k.c.Replicas {
		dir := k.c.DataDir(&k.c.Replicas[i])
		if first, ok := used[dir]; ok && k.c.Durable() {
			k.wrong(fmt.Sprintf("replicas[%d].data", i), "%s is replica %d's: give each its own directory", dir, first)
		}
		used[dir] = i
	}
}

func (k *check) limits() {
	l := &k.c.Limits
	k.sized("limits.key", l.Key, 1, wire.MaxKey)
	k.sized("limits.value", l.Value, 1, wire.MaxValue)
	k.sized("limits.store_bytes", l.StoreBytes, 1<<20, 1<<46)
	k.between("limits.sessions", int64(l.Sessions), 1, 1<<24)
	k.between("limits.clients", int64(l.Clients), 1, 1<<20)
	k.sized("limits.stream_queue_bytes", l.StreamQueueBytes, 8<<20, 1<<32)
	if l.SessionTTL < time.Second {
		k.wrong("limits.session_ttl", "%v: use at least 1s", l.SessionTTL)
	}
	if n := l.LaneWindowFrames; n < 2 || n > 1<<24 || n&(n-1) != 0 {
		k.wrong("limits.lane_window_frames", "%d: use a power of two, 2 to %d", n, 1<<24)
	}
	if n := l.LaneArenaBytes; n < 4096 || n > 1<<31 || n&(n-1) != 0 {
		k.wrong("limits.lane_arena_bytes", "%v: use a power of two, 4KiB to 2GiB", n)
	}
	lanes := 0
	for i := range k.c.Proxies {
		lanes += k.c.Proxies[i].Lanes
	}
	if held := Bytes(lanes) * l.LaneArenaBytes; held > l.RetainBytes {
		k.wrong("limits.retain_bytes", "%v: %d lanes of %v need %v", l.RetainBytes, lanes, l.LaneArenaBytes, held)
	}
}

// frameSlack is what a held frame occupies in the arena beyond its bytes, at most.
const frameSlack = 8

// LargestItemFrames is how many frames the largest item the limits allow is cut into, if every
// frame carries the longest key and all extensions.
func (l *Limits) LargestItemFrames(m wire.Mode) int {
	const extensions = 64 // session, expect and fragment fields
	room := wire.MaxPayload - m.Overhead() - wire.ItemHeader - extensions - int(l.Key)
	return (int(l.Value)+room-1)/room + 1
}

// window holds R6: a lane's window takes the largest item, or that item blocks its lane for ever.
func (k *check) window() {
	l := &k.c.Limits
	if l.Key < 1 || l.Key > wire.MaxKey || l.Value < 1 || l.Value > wire.MaxValue {
		return
	}
	frames := l.LargestItemFrames(k.c.Mode())
	if l.LaneWindowFrames < frames {
		k.wrong("limits.lane_window_frames", "%d: a value of %v under a key of %v takes %d frames: "+
			"use %d, or lower limits.value", l.LaneWindowFrames, l.Value, l.Key, frames, ceilPower(frames))
	}
	if need := frames * (wire.MaxFrame + frameSlack); int(l.LaneArenaBytes) < need {
		k.wrong("limits.lane_arena_bytes", "%v: a value of %v under a key of %v takes %d bytes: "+
			"use %v, or lower limits.value", l.LaneArenaBytes, l.Value, l.Key, need, Bytes(ceilPower(need)))
	}
}

// ceilPower is the least power of two that is not below n.
func ceilPower(n int) int { return 1 << bits.Len(uint(n-1)) }

func (k *check) timing() {
	t := &k.c.Timing
	k.span("timing.tick", t.Tick, time.Millisecond, time.Second)
	k.span("timing.round_interval", t.RoundInterval, 0, time.Second)
	k.span("timing.peer_timeout", t.PeerTimeout, 100*time.Millisecond, time.Minute)
	k.between("timing.heartbeat_ticks", int64(t.HeartbeatTicks), 1, 100)
	k.between("timing.election_ticks", int64(t.ElectionTicks), 3, 1000)
	if t.ElectionTicks < 3*t.HeartbeatTicks {
		k.wrong("timing.election_ticks", "%d: use at least 3 x heartbeat_ticks = %d, "+
			"or one lost heartbeat starts an election", t.ElectionTicks, 3*t.HeartbeatTicks)
	}
}

func (k *check) span(path string, d, least, most time.Duration) {
	if d < least || d > most {
		k.wrong(path, "%v: use %v to %v", d, least, most)
	}
}

func (k *check) secrets() {
	s := &k.c.Secrets
	for _, f := range [][2]string{{"cluster_key_file", s.ClusterKeyFile}, {"ca", s.CA}, {"certs", s.Certs}} {
		if f[1] == "" {
			k.wrong("secrets."+f[0], "empty: name a place; metronome pki init fills it")
		}
	}
}
