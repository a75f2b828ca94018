package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"metronome/system/cluster"
	"metronome/system/replica"
	"metronome/system/wire"
)

// A running process takes up new replicas and proxies of its cluster file (SIGHUP), so that a
// cluster can grow without a restart, and its secrets: certificate, CA, keys of frames. Nothing else of
// the file can change under a process: what differs is refused.

// changeable tells why a process cannot go on with another cluster file, or nil.
func changeable(old, now *cluster.Config) error {
	for _, section := range old.Digest().Differs(now.Digest()) {
		if section != "replicas" && section != "proxies" {
			return fmt.Errorf("the section %s has changed: only new replicas and proxies are taken up without a "+
				"restart", section)
		}
	}
	addresses := old.StreamAddresses()
	for _, p := range slices.Sorted(maps.Keys(addresses)) {
		if to := now.StreamAddresses()[p]; to != addresses[p] {
			return fmt.Errorf("%v was at %s and is at %q now: peers that move or go need a restart of the others, "+
				"one after the other", p, addresses[p], to)
		}
	}
	return nil
}

// Reload takes up a changed cluster file, and changed secrets.
func (r *Replica) Reload(ctx context.Context, c *cluster.Config) error {
	if err := r.id.Reload(); err != nil {
		return err
	}
	return r.do(ctx, func(*replica.Replica) error {
		if err := changeable(r.cfg.Cluster, c); err != nil {
			return err
		}
		r.net.Add(c.StreamAddresses())
		return errors.Join(r.unic.add(datagramAddresses(c)), r.reloadKeys())
	})
}

// Reload takes up a changed cluster file, and changed secrets.
func (p *Proxy) Reload(ctx context.Context, c *cluster.Config) error {
	if err := p.id.Reload(); err != nil {
		return err
	}
	answer := make(chan error, 1)
	select {
	case p.calls <- func() { answer <- p.reload(c) }:
		p.wait.wake()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Proxy) reload(c *cluster.Config) error {
	if err := changeable(p.cfg.Cluster, c); err != nil {
		return err
	}
	p.net.Add(c.StreamAddresses())
	p.core.SpreadReads(len(c.Replicas))
	if err := p.fan.add(c); err != nil {
		return err
	}
	return errors.Join(p.unic.add(datagramAddresses(c)), p.reloadKeys())
}

// add makes more peers known.
func (c *control) add(peers map[wire.Peer]string) error {
	for p, a := range peers {
		to, err := netip.ParseAddrPort(a)
		if err != nil {
			return fmt.Errorf("daemon: datagram address %q of %v: %w", a, p, err)
		}
		c.peers[p] = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	return nil
}
