//go:build dpdk

package dpdk

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet/ethernet"
)

// How often WaitLink looks, and how long a memif client's attempt to connect is given before the next. One
// that nobody took is soon repeated. One that a server took has more time, on a busy machine too: the
// driver's server corrupts its memory, and never greets anybody again, if a client goes before it was
// greeted. It is repeated all the same: a server that listens already but is not started yet turns a client
// away for good.
const (
	linkPoll  = 5 * time.Millisecond
	reconnect = 200 * time.Millisecond
	greeting  = 2 * time.Second

	disconnect = 50 * time.Millisecond
)

// Device is one DPDK device with all its queue pairs.
type Device struct {
	id     C.uint16_t
	cfg    Config
	client bool // a memif that connects
	slot   int  // bytes a packet may have: a memif's slot, or no limit
	info   Info
	ports  []*Port
	host   ethernet.Host

	mu     sync.Mutex // guards what follows, against Stats while closing
	joined bool
	closed bool
	retry  time.Time   // when Connect may try again
	last   DeviceStats // after Close
}

// Open configures and starts the device that cfg names. It reports group membership at once if the
// link is up; otherwise WaitLink does. *[ErrQueues] says that the device has too few queues.
func Open(cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if !running() {
		return nil, errNotRunning
	}
	d := &Device{cfg: cfg}
	if d.id, d.cfg.Device, err = findDevice(cfg.Device); err != nil {
		return nil, err
	}
	d.slot = math.MaxInt
	if m, ok := memifClient(d.cfg.Device); ok {
		d.client, d.slot = true, m.slot
	}
	if err := d.configure(); err != nil {
		return nil, err
	}
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.join()
	return d, nil
}

// findDevice resolves a name or a decimal port id to both.
func findDevice(device string) (C.uint16_t, string, error) {
	var name [64]C.char
	if id, err := strconv.ParseUint(device, 10, 16); err == nil {
		if C.mtn_port_name(C.uint16_t(id), &name[0]) != 0 {
			return 0, "", fmt.Errorf("dpdk: there is no port %d; next: check --vdev and -a", id)
		}
		return C.uint16_t(id), C.GoString(&name[0]), nil
	}
	var id C.uint16_t
	s := C.CString(device)
	defer C.free(unsafe.Pointer(s))
	if C.mtn_port_by_name(s, &id) != 0 {
		return 0, "", fmt.Errorf("dpdk: EAL has no device %q; next: check --vdev and -a", device)
	}
	return id, device, nil
}

// configure sets up everything that must be known before the device starts.
func (d *Device) configure() error {
	var dev C.struct_mtn_info
	if rc := C.mtn_info(d.id, &dev); rc != 0 {
		return wrap("read "+d.cfg.Device, rc)
	}
	if d.cfg.Queues > int(dev.max_queues) {
		return &ErrQueues{Device: d.cfg.Device, Has: int(dev.max_queues), Want: d.cfg.Queues}
	}
	rss, name := d.rss(C.GoString(&dev.driver[0]), uint64(dev.rss))
	key := (*C.uint8_t)(C.CBytes(d.cfg.RSSKey))
	defer C.free(unsafe.Pointer(key))
	if len(d.cfg.RSSKey) == 0 {
		key = nil
	}
	n := C.uint16_t(d.cfg.Queues)
	if rc := C.mtn_configure(d.id, n, C.uint64_t(rss), key, C.uint8_t(len(d.cfg.RSSKey))); rc != 0 {
		return wrap("configure "+d.cfg.Device, rc)
	}
	rx, tx := C.uint16_t(d.cfg.RxRing), C.uint16_t(d.cfg.TxRing)
	if rc := C.mtn_adjust_rings(d.id, &rx, &tx); rc != 0 {
		return wrap("size the rings of "+d.cfg.Device, rc)
	}
	d.setMAC(&dev)
	pool, err := d.cfg.PoolBytes()
	d.info = Info{
		Device: d.cfg.Device, Driver: C.GoString(&dev.driver[0]), PortID: int(d.id), MAC: d.host.MAC,
		MTU: int(dev.mtu), Queues: d.cfg.Queues, RxRing: int(rx), TxRing: int(tx), RSS: name,
		Mbufs: d.cfg.Mbufs, MbufBytes: d.cfg.MbufBytes, PoolBytes: pool, DPDK: Version(),
	}
	return errors.Join(err, d.addPorts(rx, tx))
}

// rss picks the hash functions: UDP ports and addresses, or addresses, or nothing.
func (d *Device) rss(driver string, known uint64) (functions uint64, name string) {
	udp, ip := uint64(C.mtn_rss_bits(1)), uint64(C.mtn_rss_bits(0))
	switch {
	case driver == "net_tap": // promises a hash, and leaves packets to the kernel's, which has no key
	case d.cfg.Queues > 1 && known&udp != 0:
		return known & (udp | ip), RSSPorts
	case d.cfg.Queues > 1 && known&ip != 0:
		return ip, RSSAddresses
	}
	return 0, RSSNone
}

// setMAC decides under which address the device speaks, and asks it to listen to it.
func (d *Device) setMAC(dev *C.struct_mtn_info) {
	d.host.IP = as4(d.cfg.Source.Addr())
	for i := range d.host.MAC {
		d.host.MAC[i] = byte(dev.mac[i])
	}
	if d.cfg.MAC != [6]byte{} {
		d.host.MAC = d.cfg.MAC
		C.mtn_set_mac(d.id, (*C.uint8_t)(&d.host.MAC[0])) // a device that cannot still sends it
	}
}

// addPorts makes the queue pairs with their pools.
func (d *Device) addPorts(rx, tx C.uint16_t) error {
	for i := range d.cfg.Queues {
		q := C.mtn_queue_new(d.id, C.uint16_t(i), C.uint32_t(d.cfg.Mbufs), C.uint16_t(d.cfg.MbufBytes))
		if q == nil {
			return errors.Join(fmt.Errorf("dpdk: no memory for %d buffers of %d bytes; "+
				"next: raise EAL's -m", d.cfg.Mbufs, d.cfg.MbufBytes), d.Close())
		}
		if d.info.Driver == "net_memif" {
			q.guard = 1
		}
		p, err := newPort(d, q)
		d.ports = append(d.ports, p)
		if err != nil {
			return errors.Join(err, d.Close())
		}
		if rc := C.mtn_queue_setup(q, rx, tx); rc != 0 {
			return errors.Join(wrap("set up a queue of "+d.cfg.Device, rc), d.Close())
		}
	}
	return nil
}

// start starts the device and opens its filter for the group. A memif client whose server is not
// there yet is left to WaitLink.
func (d *Device) start() error {
	rc := C.mtn_start(d.id)
	if rc != 0 && !d.client {
		return wrap("start "+d.cfg.Device, rc)
	}
	d.attempted(rc)
	var mac *C.uint8_t
	if group := ethernet.MulticastMAC(d.cfg.group()); d.cfg.joins() {
		mac = (*C.uint8_t)(C.CBytes(group[:]))
		defer C.free(unsafe.Pointer(mac))
	}
	d.info.Filter = [...]Filter{
		C.MTN_FILTER_LIST:          FilterList,
		C.MTN_FILTER_ALL_MULTICAST: FilterAllMulticast,
		C.MTN_FILTER_PROMISCUOUS:   FilterPromiscuous,
		C.MTN_FILTER_NONE:          FilterNone,
	}[C.mtn_set_filter(d.id, mac)]
	d.spread()
	d.steer()
	return nil
}

// steer gives a device that does not spread flows by their ports a rule for each. One that refuses any has
// none.
func (d *Device) steer() {
	if d.cfg.Queues < 2 || d.info.Spreads() || len(d.cfg.Flows) == 0 {
		return
	}
	for i, port := range d.cfg.Flows {
		if C.mtn_steer(d.id, C.uint16_t(port), C.uint16_t(i%d.cfg.Queues)) != 0 {
			C.mtn_steer_nothing(d.id)
			return
		}
	}
	d.info.RSS = RSSRules
}

// spread fills the redirection table; a device that refuses has lost its RSS.
func (d *Device) spread() {
	var dev C.struct_mtn_info
	if d.info.RSS == RSSNone || C.mtn_info(d.id, &dev) != 0 || dev.reta_size == 0 {
		return
	}
	if C.mtn_set_reta(d.id, dev.reta_size, C.uint16_t(d.cfg.Queues)) != 0 {
		d.info.RSS += " (driver's own table)"
	}
}

// Ports is the number of queue pairs.
func (d *Device) Ports() int { return len(d.ports) }

// Port is the i-th queue pair, from 0.
func (d *Device) Port(i int) *Port { return d.ports[i] }

// Info describes the device.
func (d *Device) Info() Info { return d.info }

// LinkUp reports whether the device has a carrier or, for memif, a peer.
func (d *Device) LinkUp() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closed && C.mtn_link_up(d.id) == 1
}

// WaitLink waits for LinkUp, connecting a memif client as often as it takes, and then reports group
// membership. Call it before polling begins.
func (d *Device) WaitLink(ctx context.Context) error {
	for !d.LinkUp() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("dpdk: wait for the link of %s: %w", d.cfg.Device, ctx.Err())
		case <-time.After(linkPoll):
		}
		d.mu.Lock()
		d.again()
		d.mu.Unlock()
	}
	d.join()
	return nil
}

// Connect reports whether the link is up and, if it is not, lets a memif client try once more to
// connect; when it has, it reports group membership anew. A poll loop that outlives its peers calls
// it now and then while nothing arrives; it must be the goroutine that polls.
func (d *Device) Connect() bool {
	if d.LinkUp() {
		d.join()
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.joined = false
	d.again()
	return false
}

// again has a memif client try once more, if it is time to. The caller holds mu.
func (d *Device) again() {
	if d.client && !d.closed && time.Now().After(d.retry) {
		d.attempted(C.mtn_restart(d.id)) // a failure is the link that stays down
	}
}

// attempted notes that a memif client has tried to connect, and whether somebody listens.
func (d *Device) attempted(rc C.int) {
	d.retry = time.Now().Add(reconnect)
	if rc == 0 {
		d.retry = time.Now().Add(greeting)
	}
}

// WaitDown waits until the link is down. A memif sender does so before it closes, so that the
// receiver, which may still poll, is the one to go first (see the package's hazards).
func (d *Device) WaitDown(ctx context.Context) error {
	for d.LinkUp() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("dpdk: wait for the peer of %s to close: %w", d.cfg.Device, ctx.Err())
		case <-time.After(linkPoll):
		}
	}
	// memif says that the link is down and then frees what belonged to it, in EAL's interrupt thread. To
	// close the device meanwhile frees it twice, and nothing tells when that is over.
	time.Sleep(disconnect)
	return nil
}

// Stats reads the device's counters, those of the moment it was closed afterwards.
func (d *Device) Stats() (DeviceStats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats()
}

func (d *Device) stats() (DeviceStats, error) {
	if d.closed {
		return d.last, nil
	}
	var s C.struct_mtn_stats
	if rc := C.mtn_stats(d.id, &s); rc != 0 {
		return DeviceStats{}, wrap("read counters of "+d.cfg.Device, rc)
	}
	faults := uint64(0)
	for _, p := range d.ports {
		faults += uint64(p.q.faults)
	}
	return DeviceStats{Faults: faults,
		RxPackets: uint64(s.rx_packets), RxBytes: uint64(s.rx_bytes), RxMissed: uint64(s.rx_missed),
		RxNoMbuf: uint64(s.rx_nombuf), RxErrors: uint64(s.rx_errors), TxPackets: uint64(s.tx_packets),
		TxBytes: uint64(s.tx_bytes), TxErrors: uint64(s.tx_errors),
	}, nil
}

// XStats reads the driver's extended counters.
func (d *Device) XStats() ([]XStat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil
	}
	n := C.mtn_xstats(d.id, nil, 0)
	if n <= 0 {
		return nil, wrap("read extended counters of "+d.cfg.Device, n)
	}
	raw := make([]C.struct_mtn_xstat, n)
	if n = C.mtn_xstats(d.id, &raw[0], n); n < 0 {
		return nil, wrap("read extended counters of "+d.cfg.Device, n)
	}
	stats := make([]XStat, n)
	for i := range stats {
		stats[i] = XStat{Name: C.GoString(&raw[i].name[0]), Value: uint64(raw[i].value)}
	}
	return stats, nil
}

// Close takes leave of the group, stops the device and frees its buffers. It must not run while a
// port of the device receives or sends. An error names buffers that the driver never gave back.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.leave()
	d.last, _ = d.stats()
	d.closed = true
	for _, p := range d.ports {
		p.release()
		if d.info.Driver == "net_ring" {
			C.mtn_queue_drain(p.q) // its ring is not emptied by closing it
		}
	}
	err := wrap("close "+d.cfg.Device, C.mtn_close(d.id))
	if errors.Is(err, unix.ENOTSUP) {
		err = nil // nothing to stop in this driver
	}
	return errors.Join(err, d.freePools())
}

// freePools frees the buffers of all queues. A burst that faulted, of any device, has lost some. The
// AF_XDP driver forgets what it lent to the kernel, whose claim ended with the socket: with the pool
// that memory is gone as well.
func (d *Device) freePools() error {
	var lost uint64
	for _, p := range d.ports {
		lost += uint64(C.mtn_queue_free(p.q))
		p.q = nil
	}
	if lost > 0 && C.mtn_faults() == 0 && d.info.Driver != "net_af_xdp" {
		return fmt.Errorf("dpdk: %s kept %d buffers", d.cfg.Device, lost)
	}
	return nil
}
