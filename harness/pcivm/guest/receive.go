package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"metronome/harness/pcivm"
	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// openEnv holds the command that opens a NIC.
const openEnv = "PCIVM_OPEN"

const (
	memoryMB = 128
	ring     = 512
	linkWait = 2 * time.Minute
	idle     = time.Millisecond // between empty polls: two emulated cores carry all of this
)

// core is one ingest core.
type core struct {
	port *dpdk.Port
	in   *lane.Ingest
	mu   sync.Mutex // guards in between polling and reporting
}

// receive opens a NIC, receives lanes from all its queues and answers the host's questions, until
// the host says close.
func receive(r io.Reader, w io.Writer) error {
	var c pcivm.Command
	if err := json.Unmarshal([]byte(os.Getenv(openEnv)), &c); err != nil {
		return err
	}
	opened, dev, wire, err := open(&c)
	if err != nil {
		return writeLine(w, pcivm.Answer{Error: err.Error()})
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cores, wait, err := start(ctx, dev)
	if err != nil {
		return writeLine(w, pcivm.Answer{Error: err.Error()})
	}
	if err := writeLine(w, opened); err != nil {
		return err
	}
	for c.Do != "close" {
		if err := readLine(r, &c); err != nil {
			return err
		}
		if c.Do != "close" {
			if err := writeLine(w, report(dev, cores)); err != nil {
				return err
			}
		}
	}
	stop()
	last := pcivm.Answer{}
	if err := errors.Join(wait(), dev.Close(), wire.close(), dpdk.Shutdown()); err != nil {
		last.Error = err.Error()
	}
	return writeLine(w, last)
}

// tapName is the kernel's interface of a DPDK tap.
const tapName = "dtap0"

// open starts DPDK and opens the NIC, or a tap that a cable joins to it, first with more queues than any of
// them has.
func open(c *pcivm.Command) (opened pcivm.Answer, dev *dpdk.Device, wire *cable, err error) {
	eal := dpdk.EAL{PCI: []string{c.PCI}, MemoryMB: memoryMB, Hugepages: true}
	device := c.PCI
	if c.Tap {
		device = "net_tap0"
		eal.PCI, eal.Vdevs = nil, []string{device + ",iface=" + tapName}
	}
	if err := dpdk.Init(eal.Args()); err != nil {
		return opened, nil, nil, err
	}
	if c.Tap {
		if wire, err = plug(c.PCI, tapName, c.MAC); err != nil {
			return opened, nil, nil, err
		}
	}
	cfg := dpdk.Config{Device: device, Listen: pcivm.Group, Unicast: pcivm.Own, Source: pcivm.Own, MAC: c.MAC,
		Queues: 128, RxRing: ring, TxRing: ring, Mbufs: 4095, VerifyChecksum: true, RSSKey: c.Key, Flows: c.Flows}
	_, excess := dpdk.Open(cfg)
	cfg.Queues = c.Queues
	if dev, err = dpdk.Open(cfg); err != nil {
		return opened, nil, nil, errors.Join(err, wire.close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), linkWait)
	defer cancel()
	if err := dev.WaitLink(ctx); err != nil {
		return opened, nil, nil, errors.Join(err, dev.Close(), wire.close())
	}
	info := dev.Info()
	return pcivm.Answer{Info: &info, Excess: fmt.Sprint(excess)}, dev, wire, nil
}

// start gives each queue a goroutine; wait waits for their end after ctx's.
func start(ctx context.Context, dev *dpdk.Device) (cores []*core, wait func() error, err error) {
	errs := make(chan error, dev.Ports())
	for i := range dev.Ports() {
		in, err := pcivm.NewIngest()
		if err != nil {
			return nil, nil, err
		}
		c := &core{port: dev.Port(i), in: in}
		cores = append(cores, c)
		go func() { errs <- c.poll(ctx) }()
	}
	return cores, func() error {
		var all error
		for range cores {
			all = errors.Join(all, <-errs)
		}
		return all
	}, nil
}

// poll is an ingest core's loop.
func (c *core) poll(ctx context.Context) error {
	detach, err := dpdk.Attach()
	if err != nil {
		return err
	}
	defer detach()
	var frames [packet.MaxBurst][]byte
	for ctx.Err() == nil {
		n, err := c.port.Recv(frames[:])
		if err != nil {
			return err
		}
		c.mu.Lock()
		for _, f := range frames[:n] {
			c.in.Frame(f)
		}
		c.mu.Unlock()
		if n == 0 {
			time.Sleep(idle)
		}
	}
	return nil
}

func report(dev *dpdk.Device, cores []*core) pcivm.Answer {
	var a pcivm.Answer
	stats, err := dev.Stats()
	if err != nil {
		a.Error = err.Error()
	}
	a.Device = stats
	for _, c := range cores {
		a.Queues = append(a.Queues, c.report())
	}
	return a
}

func (c *core) report() pcivm.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := pcivm.Queue{Port: c.port.Stats(), Verdicts: c.port.Verdicts(), Ingest: c.in.Counters()}
	for l := range q.Lanes {
		r := c.in.Lane(pcivm.Proxy, pcivm.Incarnation, uint16(l))
		q.Lanes[l] = pcivm.LaneMark{Mark: r.Mark(), Held: r.Held()}
	}
	return q
}
