package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"metronome/harness/pcivm"
)

// cable joins a NIC that stays with the kernel and the interface of a DPDK tap, whole packets, both ways.
// It lets in what a NIC would: what is sent to one address, or to many.
type cable struct {
	outer, inner *pcivm.Wire
	ends         sync.WaitGroup
	stop         context.CancelFunc
	err          [2]error
}

// plug lays a cable between the NIC at a PCI address and the tap.
func plug(pci, tap string, mac [6]byte) (*cable, error) {
	links, err := filepath.Glob("/sys/bus/pci/devices/" + pci + "/virtio*/net/*")
	if err != nil || len(links) != 1 {
		return nil, fmt.Errorf("the NIC at %s has %d names: %w", pci, len(links), err)
	}
	nic := filepath.Base(links[0])
	for _, name := range []string{nic, tap} { // or the kernel says things of its own
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
			return nil, err
		}
		up := exec.Command(pcivm.IP, "link", "set", name, "promisc", "on", "arp", "off", "up")
		if out, err := up.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip link set %s: %w: %s", name, err, out)
		}
	}
	c := &cable{}
	if c.outer, err = pcivm.OpenWire(nic); err != nil {
		return nil, err
	}
	if c.inner, err = pcivm.OpenWire(tap); err != nil {
		return nil, errors.Join(err, c.outer.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.ends.Go(func() {
		c.err[0] = carry(ctx, c.outer, c.inner, func(p []byte) bool { return p[0]&1 == 1 || [6]byte(p) == mac })
	})
	c.ends.Go(func() { c.err[1] = carry(ctx, c.inner, c.outer, func([]byte) bool { return true }) })
	return c, nil
}

// carry carries packets one way, and after ctx's end what is still on its way.
func carry(ctx context.Context, from, to *pcivm.Wire, wanted func([]byte) bool) error {
	for {
		ended := ctx.Err() != nil
		p, err := from.Recv()
		switch {
		case err != nil:
			return err
		case p == nil && ended:
			return nil
		case len(p) > 6 && wanted(p):
			if err := to.Send(p); err != nil {
				return err
			}
		}
	}
}

// close takes the cable away when what is on its way has arrived. The tap may be gone.
func (c *cable) close() error {
	if c == nil {
		return nil
	}
	c.stop()
	c.ends.Wait()
	return errors.Join(c.outer.Close(), c.inner.Close())
}
