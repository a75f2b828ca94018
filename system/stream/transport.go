package stream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/wire"
)

// Transport connects this process with its peers.
type Transport struct {
	cfg      Config
	peers    atomic.Pointer[map[wire.Peer]*peer] // replaced by Add, never changed
	instance uint64
	started  time.Time
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu        sync.Mutex
	waiting   []*stranger // in the order of their arrival
	strangers Strangers
	logs      limited
}

// Listen starts a transport: it accepts connections and dials until Close.
func Listen(c Config) (*Transport, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("stream: listen for peers: %w: does this process run here already?", err)
	}
	t := &Transport{cfg: c, listener: l, started: time.Now()}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	t.instance = binary.LittleEndian.Uint64(b[:])
	t.peers.Store(&map[wire.Peer]*peer{})
	t.running.Go(t.accept)
	t.Add(c.Addresses)
	return t, nil
}

// Add makes more peers known. Those that are known stay as they are, their addresses included: a
// peer that has moved needs this process to be started again.
func (t *Transport) Add(addresses map[wire.Peer]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return
	}
	peers := maps.Clone(*t.peers.Load())
	var fresh []*peer
	for id, addr := range addresses {
		if id != t.cfg.Self && peers[id] == nil {
			peers[id] = newPeer(t, id, addr)
			fresh = append(fresh, peers[id])
		}
	}
	t.peers.Store(&peers)
	for _, p := range fresh {
		if t.dials(p.id) {
			t.running.Go(p.dialLoop)
		} else {
			t.running.Go(p.acceptLoop)
		}
	}
}

// peer is a known peer, or nil.
func (t *Transport) peer(id wire.Peer) *peer { return (*t.peers.Load())[id] }

func newPeer(t *Transport, id wire.Peer, addr string) *peer {
	return &peer{t: t, id: id, addr: addr, offers: make(chan *link, 1), wake: make(chan struct{}, 1),
		queue: queue{limit: t.cfg.QueueBytes}}
}

// dials reports whether this side dials the peer, or waits to be dialled.
func (t *Transport) dials(id wire.Peer) bool { return t.cfg.Self > id }

// untilPings is how long it is until pings are due: to all peers at the same time, four times in
// Config.Timeout, so that an idle process wakes up once for all of them.
func (t *Transport) untilPings() time.Duration {
	every := t.cfg.Timeout / 4
	return every - t.elapsed()%every
}

// elapsed is this transport's clock.
func (t *Transport) elapsed() time.Duration { return time.Since(t.started) }

// Addr is where the transport listens.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Peers lists the peers in ascending order.
func (t *Transport) Peers() []wire.Peer { return slices.Sorted(maps.Keys(*t.peers.Load())) }

// Send queues msg for a peer and returns at once; msg may be reused. False means that it was not
// taken and never will arrive: the peer is unknown or not connected, its queue is full, or msg is
// empty or longer than MaxMessage. True means that it arrives unless the connection breaks. Bulk
// messages give way to urgent ones, and may be overtaken by them.
func (t *Transport) Send(to wire.Peer, msg []byte, bulk bool) bool {
	p := t.peer(to)
	return p != nil && p.send(msg, bulk, false, false)
}

// Post is Send for a caller that will call Flush soon: the message may wait for that.
func (t *Transport) Post(to wire.Peer, msg []byte, bulk bool) bool {
	p := t.peer(to)
	return p != nil && p.send(msg, bulk, true, false)
}

// Give is Post of a bulk message that is the transport's from then on, and so is not copied.
func (t *Transport) Give(to wire.Peer, msg []byte) bool {
	p := t.peer(to)
	return p != nil && p.send(msg, true, true, true)
}

// Flush sends on what was posted: little of it at once, from this goroutine, without ever blocking.
func (t *Transport) Flush(to wire.Peer) {
	if p := t.peer(to); p != nil {
		p.flush()
	}
}

// Up reports whether a peer is connected.
func (t *Transport) Up(id wire.Peer) bool {
	p := t.peer(id)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current != nil
}

// Close ends all connections and waits for the callbacks to return. What is queued is lost.
func (t *Transport) Close() error {
	t.cancel()
	err := t.listener.Close()
	t.mu.Lock()
	for _, s := range t.waiting {
		_ = s.conn.Close()
	}
	t.mu.Unlock()
	t.running.Wait()
	for _, p := range *t.peers.Load() {
		p.dropOffer()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// closeWhenDone closes a connection when the transport ends; stop calls that off.
func (t *Transport) closeWhenDone(c net.Conn) (stop func()) {
	cancel := context.AfterFunc(t.ctx, func() { _ = c.Close() })
	return func() { cancel() }
}
