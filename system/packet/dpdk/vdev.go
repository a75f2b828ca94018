package dpdk

import (
	"fmt"
	"strconv"
	"strings"
)

// Memif describes a memif interface: a ring in shared memory between this process and one peer. The
// client owns the memory and connects; the server listens on a socket path. Either may start first:
// WaitLink connects as often as it takes.
type Memif struct {
	Index       int    // n of the device's name, net_memif<n>
	Server      bool   // listens on Socket; otherwise connects to it
	Socket      string // path, at most 107 bytes
	ID          int    // interface on that socket; both ends give the same
	RingLog2    int    // log2 of the ring's slots, 1 to 14; 0 means 10; the client's counts
	BufferBytes int    // bytes a slot, holding a whole packet; 0 means 2048; the client's counts
}

// Name is the device's name for [Config].Device.
func (m Memif) Name() string { return "net_memif" + strconv.Itoa(m.Index) }

// Vdev is the device's description for [EAL].Vdevs.
func (m Memif) Vdev() string {
	role := "client"
	if m.Server {
		role = "server"
	}
	return fmt.Sprintf("%s,role=%s,socket=%s,socket-abstract=no,id=%d,rsize=%d,bsize=%d",
		m.Name(), role, m.Socket, m.ID, orDefault(m.RingLog2, 10), orDefault(m.BufferBytes, memifSlot))
}

// RegionBytes is the shared memory that the interface maps for queues pairs, in bytes: a descriptor
// and a buffer for every slot.
func (m Memif) RegionBytes(queues int) uint64 {
	slots := uint64(2*queues) << orDefault(m.RingLog2, 10)
	return slots * uint64(memifDescriptorBytes+orDefault(m.BufferBytes, memifSlot))
}

const (
	memifSlot            = 2048 // bytes, the driver's default
	memifDescriptorBytes = 16
)

// AFXDP describes a device over a kernel interface by AF_XDP sockets, one a queue. Needs root.
type AFXDP struct {
	Index      int
	Interface  string
	StartQueue int // first queue of the interface; a veth picks it by the sending CPU's number
	Queues     int // 0 means 1
	BusyBudget int // packets the kernel polls on our behalf a call; 0 leaves polling to its own thread
	ForceCopy  bool
}

// Name is the device's name for [Config].Device.
func (x AFXDP) Name() string { return "net_af_xdp" + strconv.Itoa(x.Index) }

// Vdev is the device's description for [EAL].Vdevs.
func (x AFXDP) Vdev() string {
	s := fmt.Sprintf("%s,iface=%s,start_queue=%d,queue_count=%d,busy_budget=%d",
		x.Name(), x.Interface, x.StartQueue, orDefault(x.Queues, 1), x.BusyBudget)
	if x.ForceCopy {
		s += ",force_copy=1"
	}
	return s
}

// AFPacket describes a device over a kernel interface by AF_PACKET rings. Needs root. Slow; for
// comparison.
type AFPacket struct {
	Index      int
	Interface  string
	Queues     int // 0 means 1
	FrameBytes int // bytes a slot, a power of two; 0 means 2048
	Frames     int // slots a ring; 0 means 512
}

// Name is the device's name for [Config].Device.
func (a AFPacket) Name() string { return "net_af_packet" + strconv.Itoa(a.Index) }

// Vdev is the device's description for [EAL].Vdevs.
func (a AFPacket) Vdev() string {
	size := orDefault(a.FrameBytes, 2048)
	return fmt.Sprintf("%s,iface=%s,qpairs=%d,blocksz=%d,framesz=%d,framecnt=%d", a.Name(),
		a.Interface, orDefault(a.Queues, 1), 2*size, size, orDefault(a.Frames, 512))
}

// Null describes a device that invents packets of zeros and swallows what is sent: the cost of the
// loop.
type Null struct {
	Index       int
	PacketBytes int // 0 means 64
}

// Name is the device's name for [Config].Device.
func (n Null) Name() string { return "net_null" + strconv.Itoa(n.Index) }

// Vdev is the device's description for [EAL].Vdevs.
func (n Null) Vdev() string {
	return fmt.Sprintf("%s,size=%d", n.Name(), orDefault(n.PacketBytes, 64))
}

// Ring describes a device that receives what it sent: a loopback of one queue inside the process.
type Ring struct{ Index int }

// Name is the device's name for [Config].Device.
func (r Ring) Name() string { return "net_ring" + strconv.Itoa(r.Index) }

// Vdev is the device's description for [EAL].Vdevs.
func (r Ring) Vdev() string { return r.Name() }

// memifArg is what EAL's arguments say of a memif interface.
type memifArg struct {
	name   string
	server bool
	socket string // path; empty for an abstract socket, which leaves nothing behind
	slot   int    // bytes
}

// memifArgs finds the memif interfaces in EAL's arguments.
func memifArgs(args []string) []memifArg {
	var found []memifArg
	for _, v := range vdevs(args) {
		name, _, _ := strings.Cut(v, ",")
		if !strings.HasPrefix(name, "net_memif") {
			continue
		}
		o := vdevOptions(v)
		m := memifArg{name: name, server: o["role"] == "server", slot: memifSlot}
		if n, err := strconv.Atoi(o["bsize"]); err == nil {
			m.slot = n
		}
		if o["socket-abstract"] == "no" {
			m.socket = o["socket"]
		}
		found = append(found, m)
	}
	return found
}

// vdevs are the virtual devices in EAL's arguments.
func vdevs(args []string) []string {
	var found []string
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--vdev="); ok {
			found = append(found, v)
		} else if a == "--vdev" && i+1 < len(args) {
			found = append(found, args[i+1])
		}
	}
	return found
}

// vdevOptions splits "name,key=value,…".
func vdevOptions(vdev string) map[string]string {
	options := map[string]string{}
	for field := range strings.SplitSeq(vdev, ",") {
		if key, value, ok := strings.Cut(field, "="); ok {
			options[key] = value
		}
	}
	return options
}
