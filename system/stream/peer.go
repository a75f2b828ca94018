package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/wire"
)

// peer is the other end of at most one connection at a time. One goroutine serves its connections,
// one after the other, and reads; a second one writes.
type peer struct {
	t      *Transport
	id     wire.Peer
	addr   string
	offers chan *link // accepted connections; for peers that dial us
	wake   chan struct{}

	mu      sync.Mutex
	current *link // being served
	queue   queue
	inline  []byte // what flush writes
	parked  bool   // the writer waits for wake
	wrote   bool   // something else than a ping, since the last one was due
	echo    uint64
	echoDue bool
	sent    tally
	drops   Drops

	usual    int // the reader's own: bytes of the last bulk message in several parts
	received atomicTally
	rtt      atomic.Int64
	connects atomic.Uint64
	failures atomic.Uint64
	logs     limited
}

// errGone is why a transport's own end closed a connection.
var errGone = errors.New("closed")

// send queues a message for the writer, and wakes it unless a flush will follow.
func (p *peer) send(msg []byte, bulk, flush, given bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(msg) == 0 || len(msg) > p.t.cfg.MaxMessage:
		p.drops.Invalid++
		return false
	case p.current == nil:
		p.drops.Down++
		return false
	case !p.queue.put(msg, bulk, given):
		p.drops.Full++
		return false
	}
	p.sent.add(msg)
	if !flush {
		p.rouse()
	}
	return true
}

// inlineBytes bounds what flush writes itself.
const inlineBytes = 16 << 10

// flush writes what is queued from the caller's goroutine, if that is little and cannot block:
// waking the writer costs the caller as much, and the message the time until the writer runs. The
// lock keeps the order.
func (p *peer) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.parked || p.current == nil || p.queue.bytes() == 0 {
		return // the writer is at it, or there is nothing to write
	}
	if p.queue.bytes() > inlineBytes || len(p.queue.bulk) > 0 || !p.current.clear() {
		p.rouse()
		return
	}
	p.inline = p.queue.take(p.inline)
	p.queue.writing = 0
	// An error shows at the reader, too, which ends the connection.
	_, _ = p.current.tls.Write(p.inline)
	p.wrote = true
}

// rouse wakes the writer; p.mu is held.
func (p *peer) rouse() {
	if p.parked {
		p.parked = false
		p.wake <- struct{}{} // has room: only a parked writer is sent one
	}
}

// displaceable refuses a connection while another process has one under the same name. A proxy's
// later process takes the place of an earlier one: which of them goes on is agreed on by the replicas
// (R19), and the other has to be told.
func (p *peer) displaceable(instance uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.instance != instance && !p.id.IsProxy() {
		return refuse("%s is connected already, from %s: does another process use its certificate?",
			p.id, p.current.raw.RemoteAddr())
	}
	return nil
}

// offer hands an accepted connection to the peer's goroutine, in place of an older one.
func (p *peer) offer(l *link) error {
	if err := p.displaceable(l.instance); err != nil {
		return err // two came at once
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		_ = p.current.raw.Close()
	}
	p.dropOffer()
	p.offers <- l
	return nil
}

func (p *peer) dropOffer() {
	select {
	case l := <-p.offers:
		_ = l.raw.Close()
	default:
	}
}

// serve runs a connection to its end.
func (p *peer) serve(l *link) {
	p.mu.Lock()
	p.current, p.parked, p.wrote, p.echoDue = l, false, false, false
	p.queue.reset()
	p.mu.Unlock()
	stop := p.t.closeWhenDone(l.raw)
	p.connects.Add(1)
	p.t.cfg.Log.Info("connected", "peer", p.id, "from", l.raw.RemoteAddr())
	p.t.cfg.State(p.id, true, nil)

	done, written := make(chan struct{}), make(chan error, 1)
	go func() {
		written <- p.write(l, done)
		_ = l.raw.Close()
	}()
	err := p.read(l)
	close(done)
	_ = l.raw.Close()
	if werr := <-written; werr != nil && errors.Is(err, net.ErrClosed) {
		err = werr // the writer ended first, and its error is the cause
	}
	stop()
	p.finish(p.cause(err))
}

// finish forgets the connection, and what it had not taken yet.
func (p *peer) finish(err error) {
	p.mu.Lock()
	p.current = nil
	p.drops.LostBytes += uint64(p.queue.bytes())
	p.queue.reset()
	select { // a wake-up that came after the writer's end
	case <-p.wake:
	default:
	}
	p.mu.Unlock()
	p.t.cfg.State(p.id, false, err)
	if p.t.ctx.Err() == nil {
		p.log("connection lost", err)
	}
}

// cause says in words how a connection ended.
func (p *peer) cause(err error) error {
	var timeout net.Error
	switch {
	case p.t.ctx.Err() != nil:
		return errGone
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return fmt.Errorf("%s closed the connection", p.id)
	case errors.Is(err, net.ErrClosed):
		return fmt.Errorf("%s connected anew", p.id)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("nothing heard from %s for %v", p.id, p.t.cfg.Timeout)
	}
	return err
}

// pingsSaved is how many pings in a row are left out because something else told the peer that this
// side lives. Not all of them: they measure the round trip, too.
const pingsSaved = 3

// write sends what is queued, all that came meanwhile at once, and pings.
func (p *peer) write(l *link, done <-chan struct{}) error {
	ping := time.NewTimer(p.t.untilPings())
	defer ping.Stop()
	buf := make([]byte, 0, 4<<10)
	saved := 0
	due := func() bool {
		ping.Reset(p.t.untilPings())
		if p.takeWrote() && saved < pingsSaved {
			saved++
			return false
		}
		saved = 0
		return true
	}
	for pinging := true; ; {
		var idle bool
		if buf, idle = p.gather(buf, pinging); !idle {
			if _, err := l.tls.Write(buf); err != nil {
				return err
			}
		}
		pinging = false
		if idle {
			select {
			case <-p.wake:
				continue
			case <-ping.C:
				pinging = due()
			case <-done:
				return nil
			}
			p.unpark()
			continue
		}
		select {
		case <-ping.C:
			pinging = due()
		default:
		}
	}
}

// takeWrote reports whether anything but a ping was written since it was last asked.
func (p *peer) takeWrote() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrote := p.wrote
	p.wrote = false
	return wrote
}

// unpark is after the writer woke by something else than wake.
func (p *peer) unpark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.parked {
		<-p.wake // somebody was quicker
	}
	p.parked = false
}

// gather takes what is to be written; idle says that there is nothing, and that wake will tell.
func (p *peer) gather(buf []byte, ping bool) (out []byte, idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ping {
		p.control(kindPing, uint64(p.t.elapsed()))
	}
	if p.echoDue {
		p.control(kindPong, p.echo)
		p.echoDue = false
	}
	out = p.queue.take(buf)
	p.parked = len(out) == 0
	p.wrote = p.wrote || !ping && !p.parked
	return out, p.parked
}

func (p *peer) control(k kind, value uint64) {
	p.queue.urgent = appendHeader(p.queue.urgent, k, pingBytes)
	p.queue.urgent = binary.LittleEndian.AppendUint64(p.queue.urgent, value)
}

// read hands over what arrives until the connection ends.
func (p *peer) read(l *link) error {
	s := splitter{most: max(p.t.cfg.MaxMessage, maxReason)}
	var whole []byte // of a bulk message
	var deadline time.Time
	for {
		// A call of Message may have lasted: what waits in the kernel by now is life, too.
		if now := time.Now(); deadline.Sub(now) < p.t.cfg.Timeout*7/8 {
			deadline = now.Add(p.t.cfg.Timeout)
			if err := l.raw.SetReadDeadline(deadline); err != nil {
				return err
			}
		}
		n, err := l.tls.Read(s.room())
		s.tail += n
		for {
			k, content, ok, bad := s.next()
			if bad != nil {
				return bad
			}
			if !ok {
				break
			}
			if whole, bad = p.take(k, content, whole); bad != nil {
				return bad
			}
		}
		if err != nil {
			return err
		}
	}
}

// take handles one frame. whole gathers the parts of a bulk message.
func (p *peer) take(k kind, content, whole []byte) ([]byte, error) {
	switch {
	case k == kindUrgent && len(content) > 0:
		p.deliver(content)
	case k == kindPart || k == kindLast:
		return p.takePart(k, content, whole)
	case k == kindPing && len(content) == pingBytes:
		p.answer(binary.LittleEndian.Uint64(content))
	case k == kindPong && len(content) == pingBytes:
		p.rtt.Store(int64(p.t.elapsed()) - int64(binary.LittleEndian.Uint64(content)))
	case k == kindBye:
		return nil, refusedUs(content)
	default:
		return nil, fmt.Errorf("%w: kind %d of %d bytes", errProtocol, k, len(content))
	}
	return whole, nil
}

func (p *peer) takePart(k kind, content, whole []byte) ([]byte, error) {
	if len(whole)+len(content) > p.t.cfg.MaxMessage || len(content) == 0 {
		return nil, fmt.Errorf("%w: bulk of %d and %d bytes, at most %d are allowed", errProtocol,
			len(whole), len(content), p.t.cfg.MaxMessage)
	}
	if k == kindLast && len(whole) == 0 {
		p.deliver(content)
		return whole, nil
	}
	if cap(whole) == 0 {
		whole = make([]byte, 0, max(p.usual, 2*partBytes))
	}
	whole = append(whole, content...)
	if k == kindPart {
		return whole, nil
	}
	p.usual = len(whole)
	if p.t.cfg.Given != nil && cap(whole)-len(whole) < len(whole)/4 {
		p.received.add(whole)
		p.t.cfg.Given(p.id, whole)
		return nil, nil
	}
	p.deliver(whole)
	if cap(whole) > keepBytes {
		return nil, nil
	}
	return whole[:0], nil
}

func (p *peer) deliver(msg []byte) {
	p.received.add(msg)
	p.t.cfg.Message(p.id, msg)
}

// answer asks the writer to return a ping.
func (p *peer) answer(ping uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.echo, p.echoDue = ping, true
	p.rouse()
}
