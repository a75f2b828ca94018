package worker

import (
	"context"
	"errors"
	"time"

	"metronome/harness/load"
	"metronome/harness/load/memif"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/socket"
	"metronome/system/wire"
)

// chosen is a DPDK port on which lanes leave from the source ports that were chosen for them.
type chosen struct {
	*dpdk.Port
	add []uint16 // to the port's own, by lane
	out []dpdk.Out
}

// Reserve returns buffers.
func (p *chosen) Reserve(n, size int) (out []dpdk.Out, err error) {
	p.out, err = p.Port.Reserve(n, size)
	return p.out, err
}

// Transmit sends the first n.
func (p *chosen) Transmit(n int) (int, error) {
	for i := range p.out[:n] {
		p.out[i].Lane = p.add[p.out[i].Lane]
	}
	return p.Port.Transmit(n)
}

// groups are sockets, one a UDP port of the group: lane i leaves by the i-th, counted round and round.
type groups struct {
	ports []packet.Port
	out   []dpdk.Out
	burst [][]byte
}

func openGroups(n, burst int) (*groups, error) {
	g := &groups{out: make([]dpdk.Out, burst), burst: make([][]byte, 0, burst)}
	for i := range g.out {
		g.out[i].Payload = make([]byte, wire.MaxFrame)
	}
	for i := range n {
		p, err := socket.Open(socket.Config{Interface: "lo", Destination: groupPort(i), Loop: true, GSO: true})
		if err != nil {
			return nil, errors.Join(err, g.close())
		}
		g.ports = append(g.ports, p)
	}
	return g, nil
}

func (g *groups) close() (err error) {
	for _, p := range g.ports {
		err = errors.Join(err, p.Close())
	}
	return err
}

// Reserve returns buffers.
func (g *groups) Reserve(n, size int) ([]dpdk.Out, error) {
	out := g.out[:min(n, len(g.out))]
	for i := range out {
		out[i].Payload = out[i].Payload[:size]
	}
	return out, nil
}

// Transmit sends the first n, those of each socket in order.
func (g *groups) Transmit(n int) (taken int, err error) {
	for i, p := range g.ports {
		g.burst = g.burst[:0]
		for _, o := range g.out[:n] {
			if int(o.Lane)%len(g.ports) == i {
				g.burst = append(g.burst, o.Payload)
			}
		}
		if len(g.burst) == 0 {
			continue
		}
		k, err := p.Send(g.burst)
		taken += k
		if err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// openSend opens what frames leave by.
func (s *Setup) openSend() (memif.Port, func() error, error) {
	if s.Wire == Socket {
		g, err := openGroups(s.Groups, s.Burst)
		if err != nil {
			return nil, nil, err
		}
		return g, g.close, nil
	}
	one := *s
	one.Cores, one.Software = 1, false
	ports, end, err := one.openMemif(false)
	if err != nil {
		return nil, nil, err
	}
	p := &chosen{Port: ports[0].(*dpdk.Port)}
	for _, port := range s.Ports {
		p.add = append(p.add, port-Source.Port())
	}
	return p, end, nil
}

// send sends as a run says.
func (s *Setup) send(port memif.Port, run load.Run) (load.Done, error) {
	clock, err := memif.NewClock()
	if err != nil {
		return load.Done{}, err
	}
	sender, err := memif.NewSender(port, clock, s.Shape.Lanes, s.Burst)
	if err != nil {
		return load.Done{}, err
	}
	frames, err := s.Shape.New(run.Incarnation)
	if err != nil {
		return load.Done{}, err
	}
	r, err := sender.Run(context.Background(), frames, memif.Trial{Rate: run.RateFPS, Start: run.StartNS,
		Duration: time.Duration(run.DurationNS)})
	return load.Done{Event: "done", Emitted: r.Emitted, RingFull: r.RingFull, SlotsMissed: r.Missed}, err
}
