package arm

import (
	"fmt"
	"strconv"

	"metronome/harness/record"
	"metronome/harness/spec"
)

// Wire is what an arm's frames cross.
type Wire string

// The wires.
const (
	Veth     Wire = "veth"     // XDP generator → veth → the kernel's receive path
	Loopback Wire = "loopback" // GSO sender → the loopback device
	Memif    Wire = "memif"    // DPDK sender → shared memory
)

// Arm is one implementation of receiving.
type Arm struct {
	Name    string
	Wire    Wire
	Program string // another device under test than metronome bench ingest: a binary beside it
	Build   string // what makes that
	Testpmd bool   // the reference receiver instead of ours
	Txonly  bool   // and the reference sender
	Single  bool   // one frame a call: the burst factor does not apply
	GRO     bool   // datagrams must come merged, or the trial measures nothing of the kind
	Flags   func(f spec.Factors) []string
	Leans   map[string]string // offloads it leans on → how one sees that
}

func flags(list ...string) func(spec.Factors) []string {
	return func(spec.Factors) []string { return list }
}

func batched(list ...string) func(spec.Factors) []string {
	return func(f spec.Factors) []string { return append(list, "--batch", strconv.Itoa(f.Burst)) }
}

// Words of the offload ledger (check.Offloads).
const (
	checksum = "checksum"
	filter   = "multicast-filter"
	gro      = "gro"
)

var (
	kernelUDP = map[string]string{
		checksum: "the kernel verifies every UDP checksum, in hardware where a NIC can",
		filter:   "IP_ADD_MEMBERSHIP programs the device's filter",
	}
	kernelGRO = map[string]string{
		checksum: kernelUDP[checksum], filter: kernelUDP[filter],
		gro: "UDP_GRO is set; segments_per_skb tells what it merged",
	}
	noOffload = map[string]string{}
)

// All lists the arms by name.
func All() []Arm {
	return []Arm{
		{Name: "socket-recv", Wire: Veth, Single: true, Leans: kernelUDP, Flags: flags("--port", "recv")},
		{Name: "socket-net", Wire: Veth, Single: true, Leans: kernelUDP, Flags: flags("--port", "net")},
		{Name: "socket-recvmmsg", Wire: Veth, Leans: kernelUDP, Flags: batched("--port", "recvmmsg")},
		{Name: "socket-gro", Wire: Veth, GRO: true, Leans: kernelGRO, Flags: batched("--port", "gro")},
		{Name: "socket-busypoll", Wire: Veth, Leans: kernelUDP,
			Flags: batched("--port", "recvmmsg", "--busy-poll", "50us")},
		{Name: "socket-af_packet-v3", Wire: Veth, Leans: kernelUDP, Flags: flags("--port", "af_packet")},
		{Name: "dpdk-af_packet", Wire: Veth, Leans: noOffload, Flags: flags("--port", "dpdk-af_packet", "--yield")},
		{Name: "dpdk-af_xdp", Wire: Veth, Leans: noOffload, Flags: flags("--port", "dpdk-af_xdp", "--yield")},
		{Name: "socket-gso-loopback", Wire: Loopback, GRO: true, Leans: kernelGRO, Flags: batched("--port", "gro")},
		{Name: "dpdk-memif", Wire: Memif, Leans: noOffload, Flags: flags("--port", "memif")},
		{Name: "dpdk-memif-null", Wire: Memif, Leans: noOffload,
			Flags: func(f spec.Factors) []string {
				return []string{"--port", "memif", "--null", "--null-items", strconv.Itoa(f.Items)}
			}},
		{Name: "go-dpdk-memif", Wire: Memif, Leans: noOffload, Flags: flags(),
			Program: "ingest-godpdk", Build: "make godpdk"},
		{Name: "testpmd-memif", Wire: Memif, Testpmd: true, Leans: noOffload},
		{Name: "testpmd-testpmd", Wire: Memif, Testpmd: true, Txonly: true, Leans: noOffload},
	}
}

// Find is the arm of the given name.
func Find(name string) (Arm, error) {
	for _, a := range All() {
		if a.Name == name {
			return a, nil
		}
	}
	return Arm{}, fmt.Errorf("arm %q is declared but not implemented", name)
}

// Offloads is the arm's rows of the offload ledger.
func (a Arm) Offloads(words []string) (rows []record.Offload) {
	for _, w := range words {
		row := record.Offload{Arm: a.Name, Offload: w, State: record.OffloadOff, Evidence: "not asked for"}
		if why, ok := a.Leans[w]; ok {
			row.State, row.Evidence = record.OffloadOn, why
		}
		rows = append(rows, row)
	}
	return rows
}
