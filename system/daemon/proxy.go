package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"sync"

	"metronome/system/cluster"
	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/packet"
	"metronome/system/proxy"
	"metronome/system/proxy/resp"
	"metronome/system/stream"
	"metronome/system/wire"
)

// ProxyConfig is what a proxy process is told.
type ProxyConfig struct {
	Cluster *cluster.Config
	Self    wire.Peer
	Log     *slog.Logger
	// Drive, if set, is called in every turn of the loop, to submit operations from within the
	// process; it returns how many, and when it wants to be called next. Load generators use it.
	Drive func(now int64, p *proxy.Proxy) (n int, next int64)
	// Complete is told how operations that Drive submitted ended; their tokens have the highest bit
	// set.
	Complete func(token uint64, r *wire.Result)
}

// DriveToken marks the tokens of operations that ProxyConfig.Drive submits.
const DriveToken = 1 << 63

// Proxy is a proxy as a process.
type Proxy struct {
	cfg   ProxyConfig
	me    *cluster.Proxy
	clock clock
	wait  *waiter
	inbox *stream.Inbox
	net   *stream.Transport
	fan   caster
	unic  unicaster
	core  *proxy.Proxy
	out   node.Output
	desk  *desk
	calls chan func() // from other goroutines, for the loop
	id    *cluster.Identity
	ring  *cluster.Ring // in use
	keys  keyWatch

	view     ProxyView
	nextView int64
	mu       sync.Mutex
	shown    ProxyView
}

// ProxyView is a proxy as its operators see it, a few milliseconds old.
type ProxyView struct {
	Core    proxy.View
	Sent    packet.Stats
	Full    uint64 // frames the kernel did not take
	Lost    uint64 // repairs that could not be sent
	Waiting int    // operations that wait for the loop
	Loops   uint64
	Failed  error
	Ring    *cluster.Ring
}

// NewProxy opens everything a proxy needs. Run runs it.
func NewProxy(cfg ProxyConfig) (*Proxy, error) {
	c := cfg.Cluster
	me := c.Proxy(cfg.Self)
	if me == nil {
		return nil, fmt.Errorf("daemon: the cluster file has no %v", cfg.Self)
	}
	id, err := c.Identity(cfg.Self)
	if err != nil {
		return nil, err
	}
	ring := id.Ring()
	digest, err := wire.NewDigesterOf(c.Mode(), &ring.Keys)
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, me: me, clock: newClock(), calls: make(chan func(), 1), id: id, ring: ring}
	p.desk = newDesk(me.Lanes, int(c.Limits.StreamQueueBytes))
	p.core, err = proxy.New(proxy.Config{Cluster: id.Tag(), Number: me.Number, Nonce: nonce(), Seed: nonce(),
		Seats: wire.MaxSeats, Lanes: me.Lanes, ReadLanes: len(c.Replicas), Digest: digest,
		Sender: lane.SenderConfig{Window: c.Limits.LaneWindowFrames / 2, Arena: int(c.Limits.LaneArenaBytes) / 2},
		Pace:   lane.PaceConfig{Frames: c.Experiment.FramesPerSecond}, Complete: p.complete})
	if err != nil {
		return nil, err
	}
	if err := p.open(id); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *Proxy) open(id *cluster.Identity) (err error) {
	c := p.cfg.Cluster
	if err = p.openDatagrams(c); err != nil {
		return err
	}
	if p.wait, err = newWaiter(descriptor(p.unic)); err != nil {
		return err
	}
	p.desk.wake = p.wait.wake
	p.inbox = stream.NewInbox(inboxBytes, p.wait.wake)
	p.net, err = openStreams(c, p.cfg.Self, id, p.me.Stream, p.inbox, p.cfg.Log)
	return err
}

// openDatagrams opens the ways of frames and of unicast datagrams: one and the same if the kernel
// is bypassed.
func (p *Proxy) openDatagrams(c *cluster.Config) error {
	if c.Bypass() {
		b, err := openBypass(c, p.cfg.Self, 0, p.cfg.Log)
		if err != nil {
			return err
		}
		p.fan, p.unic = bypassFan{b, p.cfg.Self}, bypassUnicast{b, true}
		return nil
	}
	fan, err := openFan(c, p.cfg.Self)
	if err != nil {
		return err
	}
	p.fan = fan
	unic, err := openControl(p.me.Datagram, datagramAddresses(c))
	if err != nil {
		return err
	}
	p.unic = unic
	return nil
}

func (p *Proxy) complete(token uint64, r *wire.Result) {
	if token&DriveToken != 0 {
		p.cfg.Complete(token, r)
		return
	}
	p.desk.complete(token, r)
}

// Run polls until ctx ends or the proxy is fenced.
func (p *Proxy) Run(ctx context.Context) error {
	defer func() {
		if err := p.close(); err != nil {
			p.cfg.Log.Warn("closing", "error", err)
		}
	}()
	defer context.AfterFunc(ctx, p.wait.wake)()
	detach, err := attach(p.unic)
	if err != nil {
		return err
	}
	defer detach()
	polled, idle := descriptor(p.unic) < 0, idler{limit: p.cfg.Cluster.Port.EmptyPolls}
	for last := p.clock.now(); ctx.Err() == nil; {
		busy, next, err := p.turn()
		if err != nil {
			return err
		}
		now := p.clock.now()
		if busy {
			last, idle.empty = now, 0
			continue
		}
		if polled && idle.spins() {
			continue
		}
		p.wait.prepare()
		if !p.inbox.Empty() || !p.desk.empty() {
			continue
		}
		p.wait.sleep(pause(min(next, p.core.Next())-now, now-last, polled))
	}
	return nil
}

// turn does everything that can be done now.
func (p *Proxy) turn() (busy bool, next int64, err error) {
	now := p.clock.now()
	select {
	case call := <-p.calls:
		call()
	default:
	}
	n := p.inbox.Drain(func(from wire.Peer, msg []byte, _ bool) {
		p.core.Message(now, from, msg)
		p.desk.settle() // results are valid only as long as the message
	})
	n += p.unic.receive(func(b []byte) { p.core.Datagram(now, b) })
	n += p.desk.submit(now, p.core)
	next = lane.Never
	if p.cfg.Drive != nil {
		var driven int
		driven, next = p.cfg.Drive(now, p.core)
		n += driven
	}
	p.core.Tick(now)
	p.desk.settle()
	p.out.Reset()
	p.core.Output(&p.out)
	if err := p.fan.send(p.out.Multicast); err != nil {
		return false, 0, err
	}
	p.unic.send(p.out.Unicast)
	sendMessages(p.net, p.out.Messages)
	p.view.Loops++
	p.publish(now)
	return n > 0, next, p.core.Err()
}

func (p *Proxy) publish(now int64) {
	if now < p.nextView {
		return
	}
	p.nextView = now + int64(viewEvery)
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.shown.Core.Counters.Refounded
	p.shown = p.view
	p.shown.Core, p.shown.Full, p.shown.Lost = p.core.View(), p.fan.refused(), p.unic.unsent()
	p.shown.Sent, p.shown.Ring = p.fan.sent(), p.ring
	p.keys.note(now, p.cfg.Log, p.ring, &p.shown.Core.Counters.BadKeys)
	p.shown.Failed, p.shown.Waiting = p.core.Err(), p.desk.waiting()
	if p.shown.Core.Counters.Refounded > before {
		p.cfg.Log.Warn("the cluster was founded anew, under the same name and key: this proxy begins a new life; " +
			"what was under way ends unknown")
	}
}

// View is the proxy as it was a few milliseconds ago.
func (p *Proxy) View() ProxyView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown
}

// Streams are the proxy's connections.
func (p *Proxy) Streams() *stream.Transport { return p.net }

func (p *Proxy) close() error {
	var errs []error
	p.desk.close()
	if p.inbox != nil {
		p.inbox.Close()
	}
	if p.net != nil {
		errs = append(errs, p.net.Close())
	}
	if p.fan != nil {
		errs = append(errs, p.fan.close())
	}
	if p.unic != nil {
		p.unic.close()
	}
	if p.wait != nil {
		p.wait.close()
	}
	return errors.Join(errs...)
}

// Backend is where servers of clients submit operations.
func (p *Proxy) Backend() resp.Backend { return p.desk }

// AppendInfo implements resp.Informer.
func (p *Proxy) AppendInfo(dst []byte, section string) []byte {
	v := p.View()
	switch section {
	case "replication":
		return fmt.Appendf(dst, "role:master\r\nleader_seat:%d\r\nvoting_seats:%d\r\n", v.Core.Leader,
			bits.OnesCount16(v.Core.Seats))
	case "metronome":
		dst = fmt.Appendf(dst, "proxy:%s\r\nopen:%t\r\nincarnation:%d\r\ndurability:%s\r\n", p.cfg.Self,
			v.Core.Open, v.Core.Incarnation, p.cfg.Cluster.Durability)
		n := &v.Core.Counters
		return fmt.Appendf(dst, "taken_ops:%d\r\nbusy_ops:%d\r\nhedges:%d\r\nsent_frames:%d\r\n", n.Taken, n.Busy,
			n.Hedges, v.Sent.TxFrames)
	}
	return dst
}
