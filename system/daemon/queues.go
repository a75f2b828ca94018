package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"

	"metronome/system/bench"
	"metronome/system/cluster"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/socket"
)

// Where a replica's frames come in: one port for the loop, or one for each ingest core. A device or a
// cluster file that has only one for several cores gives them that one, and they distribute in
// software; one that has several, and too few, is an error that says so.

// dpdkMemoryMB bounds what DPDK sets aside for one queue.
const dpdkMemoryMB = 256

// listenAddresses are where frames come in.
func listenAddresses(c *cluster.Config, r *cluster.Replica) (all []netip.AddrPort, err error) {
	texts := []string{r.Datagram}
	if c.Multicast.Mode != "unicast" {
		texts = c.Multicast.Addresses()
	}
	for _, t := range texts {
		at, err := netip.ParseAddrPort(t)
		if err != nil {
			return nil, fmt.Errorf("daemon: listen for frames on %q: %w", t, err)
		}
		all = append(all, at)
	}
	return all, nil
}

// receivePort opens the port on which a replica without ingest cores receives frames.
func receivePort(c *cluster.Config, r *cluster.Replica, log *slog.Logger) (packet.Port, error) {
	listen, err := listenAddresses(c, r)
	if err != nil {
		return nil, err
	}
	if c.Port.Kind == "dpdk" {
		if _, err := usableQueues(c.Multicast.Interface, 1, c.Port.Mode == modeAFXDP); err != nil {
			return nil, err
		}
		p, _, err := bench.PortConfig{Kind: "dpdk-" + c.Port.Mode, Interface: c.Multicast.Interface,
			Group: listen[0], MemoryMB: dpdkMemoryMB}.Open()
		return p, err
	}
	ports, err := openSockets(c, listen, 1, log)
	if err != nil {
		return nil, err
	}
	return ports[0], nil
}

// receivePorts opens the ports of so many ingest cores: one a core, or one for all.
func receivePorts(c *cluster.Config, r *cluster.Replica, cores int, log *slog.Logger) (ports []packet.Port,
	shut func() error, err error,
) {
	listen, err := listenAddresses(c, r)
	if err != nil {
		return nil, nil, err
	}
	if c.Port.Kind == "dpdk" {
		return openDevice(c, listen[0], cores)
	}
	if len(listen) == 1 {
		cores = 1 // a second socket on the same port would receive the same frames again
	}
	ports, err = openSockets(c, listen, cores, log)
	return ports, func() error { return closeAll(ports) }, err
}

func closeAll(ports []packet.Port) error {
	var errs []error
	for _, p := range ports {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// openSockets opens a socket for each address and deals them out to n ports.
func openSockets(c *cluster.Config, listen []netip.AddrPort, n int, log *slog.Logger) ([]packet.Port, error) {
	ports := make([]joined, n)
	for i, at := range listen {
		p, err := openSocket(c, at, log)
		if err != nil {
			for k := range ports {
				err = errors.Join(err, ports[k].Close())
			}
			return nil, err
		}
		ports[i%n].ports = append(ports[i%n].ports, p)
	}
	all := make([]packet.Port, n)
	for i := range ports {
		if all[i] = &ports[i]; len(ports[i].ports) == 1 {
			all[i] = ports[i].ports[0]
		}
	}
	return all, nil
}

func openSocket(c *cluster.Config, at netip.AddrPort, log *slog.Logger) (packet.Port, error) {
	cfg := socket.Config{Mode: socket.Mode(c.Port.Mode), Interface: c.Multicast.Interface, Listen: at,
		Batch: c.Port.Burst, ReceiveBuffer: int(c.Port.ReceiveBuffer), Wait: -1}
	for {
		p, err := socket.Open(cfg)
		var short *packet.ErrUnavailable
		if !errors.As(err, &short) || short.What != "receive buffer" || cfg.ReceiveBuffer <= leastBuffer {
			return p, err
		}
		// A smaller one costs repairs under bursts, and nothing else.
		log.Warn("the kernel grants less than port.receive_buffer", "asked", cfg.ReceiveBuffer, "next", short.Next)
		cfg.ReceiveBuffer /= 2
	}
}

// leastBuffer is what any Linux grants an ordinary user.
const leastBuffer = 128 << 10

// joined is several ports as one that only receives. Frames of one call may come from all of them.
type joined struct {
	ports []packet.Port
	first int // the port that is asked first
}

// Recv implements packet.Port.
func (j *joined) Recv(frames [][]byte) (n int, err error) {
	for left := len(j.ports); left > 0; left-- {
		j.first = (j.first + 1) % len(j.ports)
		// Each gets its share of the burst, and what those before it left over.
		if end := n + (len(frames)-n+left-1)/left; n < end {
			got, err := j.ports[j.first].Recv(frames[n:end])
			if n += got; err != nil {
				return n, err
			}
		}
	}
	j.first = (j.first + 1) % len(j.ports)
	return n, nil
}

// Send implements packet.Port, and sends nothing.
func (*joined) Send([][]byte) (int, error) { return 0, packet.ErrClosed }

// Stats implements packet.Port.
func (j *joined) Stats() (sum packet.Stats) {
	for _, p := range j.ports {
		addStats(&sum, p.Stats())
	}
	return sum
}

// addStats adds up what was received.
func addStats(sum *packet.Stats, s packet.Stats) {
	sum.RxFrames += s.RxFrames
	sum.RxBytes += s.RxBytes
	sum.RxCalls += s.RxCalls
	sum.RxEmpty += s.RxEmpty
	sum.RxDropped += s.RxDropped
	sum.RxErrors += s.RxErrors
	sum.RxForeign += s.RxForeign
	sum.RxBadUDP += s.RxBadUDP
	sum.RxSegs += s.RxSegs
	sum.RxHeld += s.RxHeld
}

// Close implements packet.Port.
func (j *joined) Close() error { return closeAll(j.ports) }

// Descriptor is one of several: see descriptors.
func (j *joined) Descriptor() int { return descriptor(j.ports[0]) }

// descriptors are what to wait for on a port.
func descriptors(p packet.Port) (all []int) {
	if j, ok := p.(*joined); ok {
		for _, one := range j.ports {
			all = append(all, descriptor(one))
		}
		return all
	}
	return []int{descriptor(p)}
}

// openQueues opens a device with cfg.Queues queues. One that has no more than one, or that spreads no
// flows, is opened with one. One that does not take the key of the hash keeps its own: lanes are then
// spread by chance.
func openQueues(cfg dpdk.Config, log *slog.Logger) (*dpdk.Device, error) {
	dev, err := openSpread(cfg, log)
	if err != nil || dev.Ports() == 1 {
		return dev, err
	}
	info := dev.Info()
	if info.Spreads() || info.Driver == "net_memif" { // whose peer spreads
		log.Info("the device spreads lanes over its queues", "device", info.Device, "queues", info.Queues, "by",
			info.RSS)
		return dev, nil
	}
	log.Warn("the device has several queues and spreads no flows over them: it can neither hash UDP ports nor "+
		"take rules for them, so that one queue is used", "device", info.Device, "driver", info.Driver)
	if err := dev.Close(); err != nil {
		return nil, err
	}
	cfg.Queues, cfg.RSSKey = 1, nil
	return dpdk.Open(cfg)
}

func openSpread(cfg dpdk.Config, log *slog.Logger) (*dpdk.Device, error) {
	dev, err := dpdk.Open(cfg)
	if few := (*dpdk.ErrQueues)(nil); errors.As(err, &few) {
		if few.Has > 1 {
			return nil, tooFew(cfg.Device, few.Want, few.Has)
		}
		cfg.Queues, cfg.RSSKey = 1, nil
		return dpdk.Open(cfg)
	}
	if err != nil && cfg.RSSKey != nil {
		cfg.RSSKey = nil
		if again, e := dpdk.Open(cfg); e == nil {
			log.Warn("the NIC does not take our RSS key, so that lanes are spread by chance", "device", cfg.Device,
				"error", err)
			return again, nil
		}
	}
	return dev, err
}

func tooFew(device string, want, has int) error {
	return fmt.Errorf("daemon: cores.ingest names %d CPUs, %s has %d queues: name at most %d, or one", want,
		device, has, has)
}

// openDevice opens a kernel interface by AF_XDP or AF_PACKET, with as many queues as there are cores.
func openDevice(c *cluster.Config, at netip.AddrPort, cores int) (ports []packet.Port, shut func() error,
	err error,
) {
	if cores, err = usableQueues(c.Multicast.Interface, cores, c.Port.Mode == modeAFXDP); err != nil {
		return nil, nil, err
	}
	vdevs, configs := kernelDevices(c, at, cores)
	eal := dpdk.EAL{Vdevs: vdevs, MemoryMB: dpdkMemoryMB * cores}
	if err := dpdk.Init(eal.Args()); err != nil {
		return nil, nil, err
	}
	var devices []*dpdk.Device
	shut = func() (err error) {
		for _, d := range devices {
			err = errors.Join(err, d.Close())
		}
		return errors.Join(err, dpdk.Shutdown())
	}
	for _, cfg := range configs {
		d, err := dpdk.Open(cfg)
		if err != nil {
			return nil, nil, errors.Join(err, shut())
		}
		devices = append(devices, d)
		for i := range d.Ports() {
			ports = append(ports, deviceQueue{d.Port(i)})
		}
	}
	return ports, shut, nil
}

// kernelDevices are the devices that read so many queues of a kernel interface: one by AF_PACKET; by AF_XDP
// one a queue, because its driver takes a veth for an interface of one queue.
func kernelDevices(c *cluster.Config, at netip.AddrPort, queues int) (vdevs []string, all []dpdk.Config) {
	cfg := dpdk.Config{Listen: at, RxRing: deviceRing}
	if c.Port.Mode != modeAFXDP {
		a := dpdk.AFPacket{Interface: c.Multicast.Interface, Queues: queues, Frames: deviceRing}
		cfg.Device, cfg.Queues = a.Name(), queues
		return []string{a.Vdev()}, []dpdk.Config{cfg}
	}
	for i := range queues {
		x := dpdk.AFXDP{Index: i, Interface: c.Multicast.Interface, StartQueue: i}
		cfg.Device = x.Name()
		vdevs, all = append(vdevs, x.Vdev()), append(all, cfg)
	}
	return vdevs, all
}

// modeAFXDP is a value of port.mode of the cluster file.
const modeAFXDP = "af_xdp"

// deviceRing is the rings of the af_xdp driver, in frames.
const deviceRing = 2048

// usableQueues is how many queues of a kernel interface the cores get: as many as they are, or one. If all of
// them have to be read, because the interface deals frames out to all, there may not be more.
func usableQueues(name string, cores int, all bool) (int, error) {
	found, err := filepath.Glob(filepath.Join("/sys/class/net", filepath.Base(name), "queues", "rx-*"))
	switch {
	case err != nil || len(found) <= 1:
		return 1, nil // if there is no such interface, opening it says so
	case len(found) < cores:
		return 0, tooFew(name, cores, len(found))
	case all && len(found) > cores:
		return 0, fmt.Errorf("daemon: %s has %d receive queues for %d ingest cores: nobody would read the others, "+
			"and their frames would come by repair only. Next: name as many CPUs in cores.ingest, or "+
			"ethtool -L %[1]s combined %[3]d (a veth: rx %[3]d)", name, len(found), cores)
	}
	return cores, nil
}

// deviceQueue is a queue of a device that only receives. Whoever opened the device closes it.
type deviceQueue struct{ *dpdk.Port }

// bypassQueue is one ingest core's queue of a bypass. The first also sends, for the ordering thread, and
// looks after the link.
type bypassQueue struct {
	b     *bypass
	port  *dpdk.Port
	index int
	mu    sync.Mutex // the queue is in use
}

// Recv implements packet.Port.
func (q *bypassQueue) Recv(frames [][]byte) (int, error) {
	if !q.b.up.Load() && (q.index > 0 || !q.b.linked()) {
		return 0, nil
	}
	q.mu.Lock()
	n, err := q.port.Recv(frames)
	q.mu.Unlock()
	if n == 0 && err == nil && q.index == 0 {
		q.b.linked()
	}
	return n, err
}

// Send implements packet.Port, and sends nothing: bypassUnicast does.
func (*bypassQueue) Send([][]byte) (int, error) { return 0, packet.ErrClosed }

// Stats implements packet.Port.
func (q *bypassQueue) Stats() packet.Stats { return q.port.Stats() }

// Close implements packet.Port: the bypass is closed as a whole.
func (*bypassQueue) Close() error { return nil }
