package pcivm

import (
	"net/netip"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

// The lanes that are sent and received. Both ends know them.
const (
	Cluster     = 0xC1
	Proxy       = 1
	Incarnation = 1
	Lanes       = 16
)

// Group is where lanes are sent, from Source's port plus the lane: a flow for each.
var (
	Group  = netip.MustParseAddrPort("239.77.0.1:7700")
	Source = netip.MustParseAddrPort("10.77.0.1:7800")
	Own    = netip.MustParseAddrPort("10.77.0.2:7700")
)

// LaneConfig bounds the guest's lanes.
var LaneConfig = lane.Config{Window: 256, Arena: 1 << 18}

// NewIngest makes the receiving half of the lanes, as each ingest core of a replica owns one.
func NewIngest() (*lane.Ingest, error) {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("pcivm"))
	if err != nil {
		return nil, err
	}
	in, err := lane.NewIngest(Cluster, d, LaneConfig)
	if err != nil {
		return nil, err
	}
	return in, in.Open(Proxy, Incarnation, Lanes)
}

// Command is a line of JSON from the host to the guest. The guest answers each with one [Answer].
type Command struct {
	Do     string         `json:"do"`               // bind, open, report, close, off
	Args   map[string]any `json:"args,omitempty"`   // bind: the module's arguments
	PCI    string         `json:"pci,omitempty"`    // open: the NIC's address
	Queues int            `json:"queues,omitempty"` // open
	Key    []byte         `json:"key,omitempty"`    // open: the RSS key
	MAC    [6]byte        `json:"mac,omitempty"`    // open: an address to take
	Tap    bool           `json:"tap,omitempty"`    // open: a tap of DPDK's that a cable joins to the NIC
	Flows  []uint16       `json:"flows,omitempty"`  // open: source ports to be steered
}

// Answer is a line of JSON from the guest.
type Answer struct {
	Error  string           `json:"error,omitempty"`
	Bound  *Bound           `json:"bound,omitempty"`
	Driver string           `json:"driver,omitempty"` // bind: the NIC's driver afterwards, as /sys says
	Info   *dpdk.Info       `json:"info,omitempty"`
	Excess string           `json:"excess,omitempty"` // open: the refusal of more queues than there are
	Device dpdk.DeviceStats `json:"device,omitzero"`
	Queues []Queue          `json:"queues,omitempty"`
}

// Bound is what the Ansible module answers.
type Bound struct {
	Changed bool     `json:"changed"`
	Failed  bool     `json:"failed"`
	Msg     string   `json:"msg"`
	Changes []string `json:"changes"`
}

// Queue is what one queue's ingest holds.
type Queue struct {
	Port     packet.Stats    `json:"port"`
	Verdicts dpdk.Verdicts   `json:"verdicts"`
	Ingest   lane.Counters   `json:"ingest"`
	Lanes    [Lanes]LaneMark `json:"lanes"`
}

// LaneMark is where a lane stands in one queue's ingest.
type LaneMark struct {
	Mark lane.Mark `json:"mark"`
	Held uint64    `json:"held"` // frames held beyond the mark or at it, not trimmed
}
