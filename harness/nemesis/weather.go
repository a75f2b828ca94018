package nemesis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"metronome/harness/vswitch"
	"metronome/harness/vswitch/vswitchd"
	"metronome/system/cluster"
	"metronome/system/wire"
)

// weather is the software switch between the nodes' ports, and what befalls their packets in it.
type weather struct {
	peers []wire.Peer
	proc  *Process
	stdin io.Closer

	mu      sync.Mutex // guards the rest
	client  *vswitchd.Client
	packets vswitch.Impairment
	cut     func(from, to wire.Peer) bool // nil: nobody is
}

// onMemif gives every node a port past the kernel.
func onMemif(c *cluster.Config) {
	c.Port.Kind, c.Port.Mode = "dpdk", "memif"
	for i := range c.Replicas {
		c.Replicas[i].Device = c.Replicas[i].Name + ".sock"
	}
	for i := range c.Proxies {
		c.Proxies[i].Device = c.Proxies[i].Peer().String() + ".sock"
	}
}

// openSwitch starts the switch with a port for every node.
func (c *Cluster) openSwitch(ctx context.Context) error {
	control := filepath.Join(c.o.Dir, "switch.sock")
	args := []string{"vswitch", "--control", control, "--until-eof", "--seed", strconv.FormatUint(c.o.Seed, 10)}
	for _, port := range c.switchPorts() {
		args = append(args, "--port", port)
	}
	log, err := c.logFile("switch")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.o.Switch, args...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	w := &weather{peers: c.Config.Peers(), proc: &Process{cmd: cmd, done: make(chan struct{})}}
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("nemesis: start the switch: %w", err)
	}
	if err := c.launch(w.proc); err != nil {
		return fmt.Errorf("nemesis: start the switch: %w", err)
	}
	c.weather = w
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.proc.done: // it said why, in its log
			cancel()
		case <-ctx.Done():
		}
	}()
	if w.client, err = vswitchd.Dial(ctx, control); err != nil {
		return fmt.Errorf("nemesis: %w; its log is %s", err, log.Name())
	}
	if c.o.Network != nil {
		c.o.Network.weather = w
	}
	return nil
}

// linked waits until the switch has the ports of some nodes: a memif that asked too early asks again only
// after seconds, and what is sent to it until then is lost.
func (c *Cluster) linked(ctx context.Context, peers []wire.Peer) error {
	if c.weather == nil {
		return nil
	}
	return Poll(ctx, "the nodes' links to the switch", func(context.Context) error {
		s, err := c.SwitchStats()
		if err != nil {
			return err
		}
		for _, port := range s.Ports {
			if !port.Up && slices.ContainsFunc(peers, func(p wire.Peer) bool { return p.String() == port.Name }) {
				return fmt.Errorf("%s has none", port.Name)
			}
		}
		return nil
	})
}

// switchPorts are the ports of the switch: the nodes' bypass ports, or the far ends of their kernels' links.
func (c *Cluster) switchPorts() (ports []string) {
	if c.o.kernelPorts() {
		return c.o.Network.star.SwitchPorts()
	}
	for _, p := range c.Config.Peers() {
		ports = append(ports, fmt.Sprintf("%v=%s,queues=%d", p, c.Config.Device(p), c.queues(p)))
	}
	return ports
}

// queues are how many receive queues a node's port has: one for each of its ingest cores.
func (c *Cluster) queues(p wire.Peer) int {
	if r := c.Config.Replica(p); r != nil && !c.o.kernelPorts() {
		return max(1, len(r.IngestCPUs()))
	}
	return 1
}

// kernelPorts reports whether it is kernel sockets that the switch joins.
func (o *Options) kernelPorts() bool {
	return o.Switch != "" && o.Network != nil && o.Network.star.Switched
}

// switchEnd bounds how long the switch takes to end in good order.
const switchEnd = time.Minute

func (w *weather) close() {
	if w == nil {
		return
	}
	if w.client != nil {
		_ = w.client.Close() // it has nothing left to say
	}
	_ = w.stdin.Close()
	select {
	case <-w.proc.done:
	case <-time.After(switchEnd):
		w.proc.Kill()
		<-w.proc.done
	}
}

// set changes what befalls datagrams, and tells the switch.
func (w *weather) set(change func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	var errs []error
	_, err := w.client.Ask(vswitchd.Request{Cmd: "impair", From: "*", To: "*", Impairment: w.packets})
	errs = append(errs, err)
	for _, from := range w.peers {
		for _, to := range w.peers {
			if from == to || w.cut == nil || !w.cut(from, to) {
				continue
			}
			m := w.packets
			m.Cut = true
			_, err := w.client.Ask(vswitchd.Request{Cmd: "impair", From: from.String(), To: to.String(),
				Impairment: m})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ofPackets is an impairment of all links. What is not said of streams spares them: on a bypass cluster they
// pass no switch.
func (w *weather) ofPackets(name string, m vswitch.Impairment) Fault {
	return Fault{Name: name,
		Apply: func(context.Context) error { return w.set(func() { w.packets = m }) },
		Heal:  func(context.Context) error { return w.set(func() { w.packets = vswitch.Impairment{} }) }}
}

// ofCut keeps datagrams from where they are lost.
func (w *weather) ofCut(c cut) Fault {
	return Fault{Name: c.name,
		Apply: func(context.Context) error { return w.set(func() { w.cut = c.lost }) },
		Heal:  func(context.Context) error { return w.set(func() { w.cut = nil }) }}
}

// both is a fault at two places.
func both(f, g Fault) Fault {
	return Fault{Name: f.Name,
		Apply: func(ctx context.Context) error { return errors.Join(f.Apply(ctx), g.Apply(ctx)) },
		Heal:  func(ctx context.Context) error { return errors.Join(f.Heal(ctx), g.Heal(ctx)) }}
}

// errNoSwitch says that a fault needs the switch.
var errNoSwitch = errors.New("needs ports that the software switch joins: see Options.Switch")

// DeadQueue stops a receive queue of a node's port, one of as many as it has ingest cores: no datagram that
// is spread to it arrives any more, what the node sends leaves, and its streams go on, if its port is no
// kernel's. A real NIC's does so when its interrupt is lost or its ring is stuck, and tells nobody.
func (c *Cluster) DeadQueue(p wire.Peer, queue int) Fault {
	ask := func(queues ...int) error {
		w := c.weather
		if w == nil {
			return fmt.Errorf("nemesis: a dead queue %w", errNoSwitch)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		_, err := w.client.Ask(vswitchd.Request{Cmd: "dead", To: p.String(), Queues: queues})
		return err
	}
	return Fault{Name: fmt.Sprintf("receive queue %d of %d of %v is dead", queue, c.queues(p), p),
		Apply: func(context.Context) error { return ask(queue) },
		Heal:  func(context.Context) error { return ask() }}
}

// Delay holds every packet back for a time and up to half of it again, drawn by the switch's seed; order is
// kept. It does not depend on the load. Streams of bypass clusters are spared: they pass no switch.
func (c *Cluster) Delay(d time.Duration) (Fault, error) {
	return c.Impair(fmt.Sprintf("packets take %v to %v", d, d+d/2),
		vswitch.Impairment{Delay: vswitch.Span(d), Jitter: vswitch.Span(d / 2)})
}

// Corrupt flips one bit in a share of all datagrams, drawn by the switch's seed.
func (c *Cluster) Corrupt(share float64) (Fault, error) {
	return c.Impair(fmt.Sprintf("a flipped bit in %g of all datagrams", share),
		vswitch.Impairment{Corrupt: share, Datagrams: true})
}

// Impair is anything that the switch can do to the packets of all links.
func (c *Cluster) Impair(name string, m vswitch.Impairment) (Fault, error) {
	if c.weather == nil {
		return Fault{}, fmt.Errorf("nemesis: %s: it %w", name, errNoSwitch)
	}
	return c.weather.ofPackets(name, m), nil
}

// SwitchStats is what the switch has counted.
func (c *Cluster) SwitchStats() (*vswitchd.Stats, error) {
	if c.weather == nil {
		return nil, errNoSwitch
	}
	c.weather.mu.Lock()
	defer c.weather.mu.Unlock()
	return c.weather.client.Ask(vswitchd.Request{Cmd: "stats"})
}

// SwitchPID is the process id of the switch; 0 without one.
func (c *Cluster) SwitchPID() int {
	if c.weather == nil {
		return 0
	}
	return c.weather.proc.PID()
}

// Strays are packets that got lost on the switch's ports, which no seed decides: sent by nodes' kernels and
// not taken in, or not taken from it. What is under way is counted too: a few, of an idle cluster. Without
// kernel ports there are none.
func (c *Cluster) Strays() (n int64, err error) {
	if !c.o.kernelPorts() {
		return 0, nil
	}
	for _, p := range c.o.Network.star.Nodes {
		l, err := netlink.LinkByName(p.Port)
		if err != nil {
			return 0, fmt.Errorf("nemesis: counters of %s: %w", p.Port, err)
		}
		n += int64(l.Attrs().Statistics.RxPackets + l.Attrs().Statistics.TxDropped)
	}
	s, err := c.SwitchStats()
	if err != nil {
		return 0, err
	}
	for _, p := range s.Ports {
		n -= int64(p.Rx)
	}
	return n + int64(s.Loop.Lost), nil
}
