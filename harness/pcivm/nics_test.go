package pcivm

import (
	"strings"
	"testing"
	"time"

	"metronome/harness/vswitch"
	"metronome/system/packet/dpdk"
)

// machineNICs are the machine's: the one it is managed by, and those to be bound.
var machineNICs = []NIC{
	{PCI: ManagementPCI, Model: "virtio-net-pci,disable-legacy=on,iommu_platform=on",
		MAC: [6]byte{2, 'N', 0, 0, 0, 3}, Tap: "mtn-manage"},
	{PCI: "0000:00:04.0", Model: "virtio-net-pci,disable-legacy=on,iommu_platform=on,rss=on", Queues: 4,
		MAC: [6]byte{2, 'N', 0, 0, 0, 4}, Tap: "mtn-virtio"},
	{PCI: "0000:00:05.0", Model: "e1000e", MAC: [6]byte{2, 'N', 0, 0, 0, 5}, Tap: "mtn-e1000e"},
	{PCI: "0000:00:06.0", Model: "vmxnet3", MAC: [6]byte{2, 'N', 0, 0, 0, 6}, Tap: "mtn-vmxnet3"},
	{PCI: "0000:00:07.0", Model: "virtio-net-pci,disable-legacy=on,iommu_platform=on",
		MAC: [6]byte{2, 'N', 0, 0, 0, 7}, Tap: "mtn-steered"},
}

// cases say what is expected of the NICs, in the order of machineNICs without the first. The last one stays
// with the kernel, and a cable joins it to a tap of DPDK's, which is the device that takes rules for flows.
var cases = []struct {
	name   string
	kernel string // its driver before
	pmd    string
	queues int // asked for
	filter dpdk.Filter
	rss    string
	excess string
	spread bool // the NIC does spread packets
}{
	{"virtio", "virtio-pci", "net_virtio", 4, dpdk.FilterAllMulticast, "ipv4_udp", "has 4 queue pairs", true},
	{"e1000e", "", "net_e1000_em", 2, dpdk.FilterList, "none", "has 2 queue pairs", false},
	{"vmxnet3", "vmxnet3", "net_vmxnet3", 2, dpdk.FilterAllMulticast, "ipv4", "has 8 queue pairs", false},
	{"tap", "", "net_tap", 4, dpdk.FilterList, "rules", "has 16 queue pairs", true},
}

// bound are the cases whose NICs are bound to vfio-pci.
var bound = cases[:3]

const record = "/tmp/record"

// TestPCI goes the whole way with each NIC: bound, opened, joined, received from, left, given back.
func TestPCI(t *testing.T) {
	m := boot(t, machineNICs)
	bindings(t, m)
	for i, c := range cases {
		if !t.Run(c.name, func(t *testing.T) { receives(t, m, i) }) {
			return // the guest may be anywhere
		}
	}
	for i, c := range bound {
		a := bind(t, m, map[string]any{"pci": machineNICs[i+1].PCI, "record": record, "state": "restored"})
		if a.Bound.Failed || a.Bound.Changed != (i == 0) || a.Driver != c.kernel {
			t.Errorf("%s is not given back: %+v, driver %q", c.name, a.Bound, a.Driver)
		}
	}
}

func bind(t *testing.T, m *Machine, args map[string]any) *Answer {
	t.Helper()
	a, err := m.Ask(Command{Do: "bind", Args: args})
	must(t, err)
	return a
}

// bindings has the Ansible module bind the NICs, and refuse the one it must not take.
func bindings(t *testing.T, m *Machine) {
	a := bind(t, m, map[string]any{"pci": ManagementPCI, "record": record})
	if !a.Bound.Failed || !strings.Contains(a.Bound.Msg, "has the default route") || a.Driver != "virtio-pci" {
		t.Fatalf("the NIC that the machine is managed by is not refused: %+v, driver %q", a.Bound, a.Driver)
	}
	for i, c := range bound {
		args := map[string]any{"pci": machineNICs[i+1].PCI, "record": record}
		a := bind(t, m, args)
		from := c.kernel + " -> vfio-pci"
		if a.Bound.Failed || len(a.Bound.Changes) != 1 || !strings.Contains(a.Bound.Changes[0], from) ||
			a.Driver != "vfio-pci" {
			t.Fatalf("%s is not bound: %+v, driver %q", c.name, a.Bound, a.Driver)
		}
	}
	again := bind(t, m, map[string]any{"pci": machineNICs[1].PCI, "record": record})
	if again.Bound.Failed || again.Bound.Changed {
		t.Errorf("a bound NIC is bound again: %+v", again.Bound)
	}
}

// handedOut are the frames that ports hand to ingest cores, whatever those think of them.
const handedOut = Lanes*framesPerLane + duplicates + badDigests

// receives opens a NIC in the guest, sends it lanes and judges what its ingest cores made of them.
func receives(t *testing.T, m *Machine, i int) {
	c, nic := cases[i], machineNICs[i+1]
	w, err := OpenWire(nic.Tap)
	must(t, err)
	defer w.Close()
	own := [6]byte{2, 'M', 0, 0, 0, byte(i)} // a replica's address follows from its number
	ask := Command{Do: "open", PCI: nic.PCI, Queues: c.queues, Key: vswitch.MicrosoftKey[:], MAC: own,
		Tap: i >= len(bound)}
	for l := range uint16(Lanes) {
		ask.Flows = append(ask.Flows, Source.Port()+l)
	}
	a, err := m.Ask(ask)
	must(t, err)
	if a.Info.Driver != c.pmd || a.Info.Filter != c.filter || a.Info.RSS != c.rss || a.Info.MAC != own ||
		!strings.Contains(a.Excess, c.excess) {
		t.Errorf("the NIC is not as expected: %+v; more queues: %s", a.Info, a.Excess)
	}
	s := newSender(t, w, own)
	if s.queues = c.queues; c.rss == dpdk.RSSRules {
		s.queueOf = ruled
	}
	s.heard(true, 2) // in both versions
	s.query()
	s.heard(true, 1)
	s.multicast()
	before := reported(t, m, func(a *Answer) bool { return frames(a) == handedOut-1 })
	for l, mark := range marks(t, before) {
		if l != lateLane && mark != s.expect[l] || l == lateLane && mark.Frames != lateFrame {
			t.Errorf("lane %d stands at %+v, not at %+v", l, mark, s.expect[l])
		}
	}
	s.repair()
	after := reported(t, m, func(a *Answer) bool { return frames(a) == handedOut })
	if mark := marks(t, after)[lateLane]; mark != s.expect[lateLane] {
		t.Errorf("after its repair lane %d stands at %+v, not at %+v", lateLane, mark, s.expect[lateLane])
	}
	counters(t, i, after)
	spread(t, s, i, after)
	_, err = m.Ask(Command{Do: "close"})
	must(t, err)
	s.heard(false, 2)
}

// reported asks for reports until one is as it should be.
func reported(t *testing.T, m *Machine, done func(*Answer) bool) *Answer {
	t.Helper()
	var a *Answer
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		a, err = m.Ask(Command{Do: "report"})
		must(t, err)
		if done(a) {
			return a
		}
	}
	for i, q := range a.Queues {
		t.Logf("queue %d: %+v %v %+v", i, q.Port, q.Verdicts, q.Ingest)
	}
	t.Fatalf("%d frames came; the device says %+v", frames(a), a.Device)
	return nil
}

// frames that came out of all queues.
func frames(a *Answer) (n uint64) {
	for _, q := range a.Queues {
		n += q.Port.RxFrames
	}
	return n
}
