package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"metronome/internal/strictyaml"
	"metronome/system/wire"
)

// Config describes a cluster. Load fills what the file leaves out.
type Config struct {
	Name       string    `yaml:"name"`
	Replicas   []Replica `yaml:"replicas"`
	Proxies    []Proxy   `yaml:"proxies"`
	Multicast  Multicast `yaml:"multicast"`
	Port       Port      `yaml:"port"`
	Integrity  string    `yaml:"integrity"`  // of datagrams: xxh3, crc32c, mac, aead
	Durability string    `yaml:"durability"` // fsync, memory
	// Consensus is the algorithm that orders cuts, for the life of the cluster; package order/orderers.
	Consensus string `yaml:"consensus"`
	// AcceptQuorum is how many replicas have to accept a cut: 0 is a majority. More than that is for
	// multipaxos, which then needs fewer of them to elect a leader.
	AcceptQuorum int     `yaml:"accept_quorum"`
	Storage      Storage `yaml:"storage"`
	Limits       Limits  `yaml:"limits"`
	Timing       Timing  `yaml:"timing"`
	Secrets      Secrets `yaml:"secrets"`

	Experiment Experiment `yaml:"experiment,omitempty"`

	dir string // secrets are relative to it
	doc *strictyaml.Document
}

// Replica is a seat of the cluster.
type Replica struct {
	Name     string `yaml:"name"`            // replica-N; by default N is the place in the list, from 0
	Stream   string `yaml:"stream"`          // host:port, TLS over TCP: ordering, repair, state transfer
	Datagram string `yaml:"datagram"`        // IPv4:port, UDP: unicast repairs, frames in mode unicast
	Ops      string `yaml:"ops"`             // host:port, HTTP: metrics and health; empty: none
	Data     string `yaml:"data"`            // its directory, relative to the file; default data/<name>
	Cores    *Cores `yaml:"cores,omitempty"` // nil: wherever the kernel likes

	// Device is what this node's datagrams pass, without the kernel: in port mode memif the path of
	// the switch's socket, relative to the file; in mode pci an address as in 0000:00:04.0.
	Device string `yaml:"device,omitempty"`
}

// Cores pins a replica's threads to CPUs. CPUs may be named more than once: roles then share.
type Cores struct {
	Ingest   []int `yaml:"ingest"`             // none: the ordering thread receives and verifies frames
	Ordering *int  `yaml:"ordering,omitempty"` // nil: wherever the kernel likes
	Apply    []int `yaml:"apply"`
}

// Proxy is a server that takes client requests.
type Proxy struct {
	Number   uint32 `yaml:"number"`   // from 1; by default the place in the list
	Stream   string `yaml:"stream"`   // host:port, TLS over TCP
	Datagram string `yaml:"datagram"` // IPv4:port, UDP: NACKs arrive here
	Resp     string `yaml:"resp"`     // host:port, the Redis protocol; empty: none
	Ops      string `yaml:"ops"`      // host:port, HTTP: metrics and health; empty: none
	Lanes    int    `yaml:"lanes"`    // 1 to 64; default 1

	Device string `yaml:"device,omitempty"` // as a replica's
}

// Multicast is how frames reach all replicas.
type Multicast struct {
	Mode      string `yaml:"mode"`      // multicast, or unicast: one copy a replica
	Group     string `yaml:"group"`     // IPv4 group:port
	Ports     int    `yaml:"ports"`     // UDP ports, from the group's on, over which lanes are spread
	Interface string `yaml:"interface"` // device of the group's traffic; empty: the kernel's choice
	TTL       int    `yaml:"ttl"`       // routers a frame may pass, plus one
	Loop      bool   `yaml:"loop"`      // also to this machine's own replicas
}

// Port is how datagrams are received and sent. The modes of sockets are those of packet/socket.
// Those of dpdk are memif and pci, in which all datagrams of all nodes pass each node's device and
// the kernel is not asked, and af_xdp and af_packet, in which replicas receive frames so on
// multicast's interface.
type Port struct {
	Kind          string `yaml:"kind"`           // socket, dpdk
	Mode          string `yaml:"mode"`           // of the kind
	Burst         int    `yaml:"burst"`          // frames a receive call
	ReceiveBuffer Bytes  `yaml:"receive_buffer"` // of each socket
	GSO           bool   `yaml:"gso"`            // socket: the kernel cuts runs of frames apart (UDP_SEGMENT)
	// EmptyPolls is after how many empty polls a dpdk port's loop yields its core, and after as many
	// again sleeps; 0: at once.
	EmptyPolls int `yaml:"empty_polls"`
}

// Storage is how a replica with durability fsync keeps what it must not forget.
type Storage struct {
	Journal      Bytes `yaml:"journal"`       // on disk, at most; with two snapshots 3 × live data more
	Floor        Bytes `yaml:"floor"`         // free space below which no new writes are taken
	TransferRate Bytes `yaml:"transfer_rate"` // a second, of a snapshot sent while clients work; 0: no bound
}

// Limits bound memory and requests (I6). They are part of the replicated state (R23).
type Limits struct {
	Key              Bytes         `yaml:"key"`
	Value            Bytes         `yaml:"value"`
	LaneWindowFrames int           `yaml:"lane_window_frames"` // a lane's frames in flight
	LaneArenaBytes   Bytes         `yaml:"lane_arena_bytes"`   // memory of those frames
	RetainBytes      Bytes         `yaml:"retain_bytes"`       // of all lanes' frames, at one replica
	StoreBytes       Bytes         `yaml:"store_bytes"`        // keys, values and what they need
	Sessions         int           `yaml:"sessions"`
	SessionTTL       time.Duration `yaml:"session_ttl"` // in log time
	Clients          int           `yaml:"clients"`     // connections of one proxy
	StreamQueueBytes Bytes         `yaml:"stream_queue_bytes"`
}

// Timing is the cluster's clockwork.
type Timing struct {
	Tick           time.Duration `yaml:"tick"`
	ElectionTicks  int           `yaml:"election_ticks"`
	HeartbeatTicks int           `yaml:"heartbeat_ticks"`
	RoundInterval  time.Duration `yaml:"round_interval"` // least time between rounds under load
	PeerTimeout    time.Duration `yaml:"peer_timeout"`   // silence after which a connection is dead
}

// Experiment has the knobs that experiments turn and nobody else should: each slows one part of a
// process down, to see what then limits the whole.
type Experiment struct {
	// ForceRoundInterval: rounds keep to round_interval even when idle.
	ForceRoundInterval bool `yaml:"force_round_interval,omitempty"`
	// ApplyPerItem is CPU time that a replica wastes for each item it applies.
	ApplyPerItem time.Duration `yaml:"apply_per_item,omitempty"`
	// FramesPerSecond bounds the new frames of one proxy; 0 = no bound.
	FramesPerSecond int64 `yaml:"frames_per_second,omitempty"`
	// FeatureLevel makes a replica behave as a version that knows no higher level; 0 = the build's.
	FeatureLevel uint32 `yaml:"feature_level,omitempty"`
	// FsyncEachFrame makes a replica write and sync frame by frame instead of once a round.
	FsyncEachFrame bool `yaml:"fsync_each_frame,omitempty"`
}

// Secrets says where they lie, relative to the file.
type Secrets struct {
	ClusterKeyFile string `yaml:"cluster_key_file"`
	CA             string `yaml:"ca"`    // one or several certificates
	Certs          string `yaml:"certs"` // folder of <peer>.crt and <peer>.key
}

// Default is a configuration that lacks name and addresses only.
func Default() Config {
	return Config{
		Multicast: Multicast{Mode: "multicast", Ports: 1, TTL: 1, Loop: true},
		Port: Port{Kind: "socket", Mode: "gro", Burst: 64, ReceiveBuffer: 64 << 20, GSO: true,
			EmptyPolls: 64},
		Integrity:  "xxh3",
		Durability: "fsync",
		Consensus:  Algorithms[0],
		Storage:    Storage{Journal: 512 << 20, Floor: 512 << 20, TransferRate: 32 << 20},
		Limits: Limits{
			Key: wire.MaxKey, Value: wire.MaxValue,
			LaneWindowFrames: 32768, LaneArenaBytes: 64 << 20, RetainBytes: 512 << 20, StoreBytes: 4 << 30,
			Sessions: 1 << 16, SessionTTL: 10 * time.Minute, Clients: 16384, StreamQueueBytes: 64 << 20,
		},
		Timing: Timing{Tick: 20 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 2,
			RoundInterval: 500 * time.Microsecond, PeerTimeout: time.Second},
		Secrets: Secrets{ClusterKeyFile: "secrets/cluster.key", CA: "secrets/ca.crt", Certs: "secrets"},
	}
}

// Load reads, completes and validates a cluster file. Its error names every problem, with lines.
func Load(path string) (*Config, error) {
	source, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no cluster file at %s: start one from the example, or use metronome dev: %w",
			path, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster file: %w", err)
	}
	c, err := Parse(source, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load of a file's content; secrets are relative to dir.
func Parse(source []byte, dir string) (*Config, error) {
	c := Default()
	doc, err := strictyaml.Decode(source, &c)
	if err != nil {
		return nil, err
	}
	c.dir, c.doc = dir, doc
	c.complete()
	if _, err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// complete fills in what a list's place implies.
func (c *Config) complete() {
	for i := range c.Replicas {
		if c.Replicas[i].Name == "" {
			c.Replicas[i].Name = wire.ReplicaPeer(i).String()
		}
		if c.Replicas[i].Data == "" {
			c.Replicas[i].Data = filepath.Join("data", c.Replicas[i].Name)
		}
	}
	for i := range c.Proxies {
		p, path := &c.Proxies[i], fmt.Sprintf("proxies[%d]", i)
		if p.Number == 0 && !c.says(path+".number") {
			p.Number = uint32(i + 1)
		}
		if p.Lanes == 0 && !c.says(path+".lanes") {
			p.Lanes = 1
		}
	}
}

// says reports whether the file has a value at a path: a zero that is written there is not a default.
func (c *Config) says(path string) bool { return c.doc != nil && c.doc.Has(path) }

// Durable reports whether replicas keep what they hold across restarts.
func (c *Config) Durable() bool { return c.Durability == "fsync" }

// DataDir is a replica's data directory.
func (c *Config) DataDir(r *Replica) string { return c.Path(r.Data) }

// Peer is who the replica is; 0 if its name is not valid.
func (r *Replica) Peer() wire.Peer {
	p, err := wire.ParsePeer(r.Name)
	if err != nil || !p.IsReplica() {
		return 0
	}
	return p
}

// Peer is who the proxy is.
func (p *Proxy) Peer() wire.Peer { return wire.ProxyPeer(p.Number) }

// Peers lists everybody: the replicas, then the proxies, in the file's order.
func (c *Config) Peers() (all []wire.Peer) {
	for i := range c.Replicas {
		all = append(all, c.Replicas[i].Peer())
	}
	for i := range c.Proxies {
		all = append(all, c.Proxies[i].Peer())
	}
	return all
}

// Replica is the replica that is peer; nil if there is none.
func (c *Config) Replica(peer wire.Peer) *Replica {
	i := slices.IndexFunc(c.Replicas, func(r Replica) bool { return r.Peer() == peer })
	if i < 0 {
		return nil
	}
	return &c.Replicas[i]
}

// Proxy is the proxy that is peer; nil if there is none.
func (c *Config) Proxy(peer wire.Peer) *Proxy {
	i := slices.IndexFunc(c.Proxies, func(p Proxy) bool { return p.Peer() == peer })
	if i < 0 {
		return nil
	}
	return &c.Proxies[i]
}

// StreamAddresses is where each peer listens for streams.
func (c *Config) StreamAddresses() map[wire.Peer]string {
	all := make(map[wire.Peer]string, len(c.Replicas)+len(c.Proxies))
	for i := range c.Replicas {
		all[c.Replicas[i].Peer()] = c.Replicas[i].Stream
	}
	for i := range c.Proxies {
		all[c.Proxies[i].Peer()] = c.Proxies[i].Stream
	}
	return all
}

// Mode is the integrity of datagrams. It must have been validated.
func (c *Config) Mode() wire.Mode {
	m, _ := wire.ParseMode(c.Integrity)
	return m
}

// Path is where a file that the configuration names lies.
func (c *Config) Path(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(c.dir, file)
}

// Bypass reports whether all datagrams pass devices of the nodes' own, instead of the kernel.
func (c *Config) Bypass() bool {
	return c.Port.Kind == "dpdk" && (c.Port.Mode == "memif" || c.Port.Mode == "pci")
}

// Device is the device of a peer's datagrams, if Bypass: a socket's path or a PCI address.
func (c *Config) Device(peer wire.Peer) string {
	var device string
	if r := c.Replica(peer); r != nil {
		device = r.Device
	} else if p := c.Proxy(peer); p != nil {
		device = p.Device
	}
	if c.Port.Mode == "memif" && device != "" {
		return c.Path(device)
	}
	return device
}

// IngestCPUs are the CPUs of the replica's ingest cores; none: it has none.
func (r *Replica) IngestCPUs() []int {
	if r.Cores == nil {
		return nil
	}
	return r.Cores.Ingest
}

// LanesOf is how many lanes a proxy has, and the number of its first among all lanes of the cluster, in
// the file's order: lanes are spread by it.
func (c *Config) LanesOf(proxy wire.Peer) (first, lanes int) {
	for i := range c.Proxies {
		if c.Proxies[i].Peer() == proxy {
			return first, c.Proxies[i].Lanes
		}
		first += c.Proxies[i].Lanes
	}
	return 0, 0
}

// Addresses are the group with each of its ports.
func (m *Multicast) Addresses() []string {
	group, err := netip.ParseAddrPort(m.Group)
	if err != nil || m.Ports <= 1 {
		return []string{m.Group}
	}
	var all []string
	for i := range m.Ports {
		all = append(all, netip.AddrPortFrom(group.Addr(), group.Port()+uint16(i)).String())
	}
	return all
}
