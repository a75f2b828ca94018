package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/wire"
)

// version is that of the bytes on the connection.
const version = 1

// Hello frame: magic, version, cluster tag, from, to, instance, then Config.Hello.
const (
	magic      = "MTS"
	helloFixed = 24
)

type hello struct {
	cluster  uint32
	from, to wire.Peer
	instance uint64 // drawn by each transport: tells a process's reconnection from a second process
	user     []byte
}

func (h *hello) append(dst []byte) []byte {
	dst = append(append(dst, magic...), version)
	dst = binary.LittleEndian.AppendUint32(dst, h.cluster)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.from))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.to))
	dst = binary.LittleEndian.AppendUint64(dst, h.instance)
	return append(dst, h.user...)
}

func decodeHello(b []byte) (h hello, err error) {
	switch {
	case len(b) <= len(magic) || string(b[:len(magic)]) != magic:
		return h, fmt.Errorf("%w: no hello", errProtocol)
	case b[len(magic)] != version:
		return h, refuse("version %d of the stream protocol meets version %d: upgrade the older of the two",
			b[len(magic)], version)
	case len(b) < helloFixed:
		return h, fmt.Errorf("%w: a hello of %d bytes", errProtocol, len(b))
	}
	h.cluster = binary.LittleEndian.Uint32(b[4:])
	h.from = wire.Peer(binary.LittleEndian.Uint32(b[8:]))
	h.to = wire.Peer(binary.LittleEndian.Uint32(b[12:]))
	h.instance = binary.LittleEndian.Uint64(b[16:])
	h.user = b[helloFixed:]
	return h, nil
}

// refusal is a reason that the other side is told.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// link is a connection whose both ends have agreed to it.
type link struct {
	raw      net.Conn
	tls      *tls.Conn
	instance uint64 // of the other side
	fd       int    // of raw, to ask the kernel what it has not sent yet; -1 = not known
}

func newLink(raw net.Conn, conn *tls.Conn, instance uint64) *link {
	l := &link{raw, conn, instance, -1}
	if sc, ok := raw.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) { l.fd = int(fd) })
		}
	}
	return l
}

// clear reports whether the kernel has sent everything that was written, so that a small write
// cannot block.
func (l *link) clear() bool {
	n, err := unix.IoctlGetInt(l.fd, notSent)
	return err == nil && n == 0
}

const notSent = 0x894B // SIOCOUTQNSD: bytes written and not sent (linux/sockios.h)

// greet is the handshake of the side that dialled. It is over when the other side has been told
// that its hello was accepted.
func (t *Transport) greet(ctx context.Context, raw net.Conn, to wire.Peer) (*link, error) {
	conn := tls.Client(raw, t.cfg.Identity.ClientTLS(to))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	mine := hello{t.cfg.Cluster, t.cfg.Self, to, t.instance, t.cfg.Hello}
	if err := writeFrame(conn, kindHello, mine.append(nil)); err != nil {
		return nil, err
	}
	theirs, err := readHello(conn)
	if err == nil {
		err = t.judge(theirs, to)
	}
	if err != nil {
		sayBye(conn, err)
		return nil, err
	}
	return newLink(raw, conn, theirs.instance), writeFrame(conn, kindPing, make([]byte, pingBytes))
}

// welcome is the handshake of the side that was dialled.
func (t *Transport) welcome(ctx context.Context, raw net.Conn) (p *peer, l *link, err error) {
	conn := tls.Server(raw, t.cfg.Identity.ServerTLS())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	theirs, err := readHello(conn)
	if err == nil {
		p, err = t.admit(theirs, conn.ConnectionState())
	}
	if err != nil {
		sayBye(conn, err)
		return p, nil, err
	}
	mine := hello{t.cfg.Cluster, t.cfg.Self, p.id, t.instance, t.cfg.Hello}
	if err := writeFrame(conn, kindHello, mine.append(nil)); err != nil {
		return p, nil, err
	}
	k, content, err := readFrame(conn, maxReason)
	switch {
	case err != nil:
		return p, nil, err
	case k == kindBye:
		return p, nil, refusedUs(content)
	case k != kindPing:
		return p, nil, fmt.Errorf("%w: kind %d after the hello", errProtocol, k)
	}
	return p, newLink(raw, conn, theirs.instance), nil
}

// admit decides about a peer that dialled: is it who it says, is it awaited, is it there already?
func (t *Transport) admit(h hello, cs tls.ConnectionState) (*peer, error) {
	from, err := t.cfg.Identity.PeerOf(cs)
	if err != nil {
		return nil, &refusal{err.Error()}
	}
	if from != h.from {
		return nil, refuse("the certificate of %s is used to connect as %s", from, h.from)
	}
	p := t.peer(from)
	switch {
	case p == nil:
		return nil, refuse("%s is not in the cluster file of %s", from, t.cfg.Self)
	case t.dials(from):
		return nil, refuse("%s is to be dialled by %s, not the reverse", from, t.cfg.Self)
	}
	if err := t.judge(h, from); err != nil {
		return p, err
	}
	return p, p.displaceable(h.instance)
}

// judge is what both sides ask of each other's hello.
func (t *Transport) judge(h hello, from wire.Peer) error {
	switch {
	case h.to != t.cfg.Self:
		return refuse("this is %s, not %s: compare the addresses in the cluster file with who runs there",
			t.cfg.Self, h.to)
	case h.cluster != t.cfg.Cluster:
		return refuse("cluster tag %08x, %s has %08x: the cluster keys differ: copy one to both",
			h.cluster, t.cfg.Self, t.cfg.Cluster)
	case h.from != from:
		return refuse("the certificate of %s says hello as %s", from, h.from)
	}
	if err := t.cfg.Check(from, h.user); err != nil {
		return &refusal{err.Error()}
	}
	return nil
}

func readHello(conn *tls.Conn) (hello, error) {
	k, content, err := readFrame(conn, helloFixed+MaxHello)
	switch {
	case err != nil:
		return hello{}, err
	case k == kindBye:
		return hello{}, refusedUs(content)
	case k != kindHello:
		return hello{}, fmt.Errorf("%w: kind %d instead of a hello", errProtocol, k)
	}
	return decodeHello(content)
}

// errRefused is a reason that the other side gave.
var errRefused = errors.New("it refuses this process")

func refusedUs(reason []byte) error {
	return fmt.Errorf("%w: %s", errRefused, printable(reason[:min(len(reason), maxReason)]))
}

// printable keeps a stranger's control characters out of logs.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

// sayBye tells the other side why, if the reason is meant for it.
func sayBye(conn *tls.Conn, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = writeFrame(conn, kindBye, []byte(r.reason)[:min(len(r.reason), maxReason)])
	_ = conn.CloseWrite()
}

// explain adds the next step to what the TLS library says.
func explain(err error) error {
	var header tls.RecordHeaderError
	switch text := err.Error(); {
	case errors.As(err, &header):
		return fmt.Errorf("%w: something else than a metronome process talks there", err)
	case strings.Contains(text, "remote error: tls: "):
		return fmt.Errorf("%w: it does not accept this process's certificate: both must come from one CA and "+
			"one cluster, and be valid now (metronome pki)", err)
	case strings.Contains(text, "unknown authority"):
		return fmt.Errorf("%w: its certificate comes from another CA: give both the same ca file "+
			"(metronome pki)", err)
	}
	return err
}
