package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"metronome/system/wire"
)

// Identity proves who this process is and judges who others are; cluster.Identity is one.
type Identity interface {
	// ServerTLS demands a certificate and verifies it.
	ServerTLS() *tls.Config
	// ClientTLS refuses everybody but to.
	ClientTLS(to wire.Peer) *tls.Config
	// PeerOf is who a verified certificate names.
	PeerOf(tls.ConnectionState) (wire.Peer, error)
}

// Config describes a transport. Self, Listen, Addresses, Identity, Cluster and Message must be set.
// Callbacks run on the transport's goroutines and hold up their connection. Message and State of
// one peer never run at the same time.
type Config struct {
	Self      wire.Peer
	Listen    string               // host:port
	Addresses map[wire.Peer]string // everybody this process talks to; Self is ignored
	Identity  Identity
	Cluster   uint32 // tag; must be equal on both sides
	Hello     []byte // shown to every peer's Check; at most MaxHello bytes

	// Check may refuse a peer for what its Hello says. The reason is sent to it. It may be called at
	// any time, for a connection that will then be refused for other reasons. Nil: everybody is taken.
	Check func(from wire.Peer, hello []byte) error
	// Message takes a message. msg is borrowed: it is overwritten after the call returns. While the
	// call lasts nothing else is read from that peer, and its queue fills.
	Message func(from wire.Peer, msg []byte)
	// Given takes a bulk message that came in several parts, instead of Message: msg is the callee's from
	// then on. May be nil.
	Given func(from wire.Peer, msg []byte)
	// State tells that a peer can be sent to (err is nil), or no longer can, and why. Messages come
	// only between the two. May be nil.
	State func(peer wire.Peer, up bool, err error)

	MaxMessage int           // bytes; 0: 4 MiB
	QueueBytes int           // a peer and class; 0: 64 MiB
	Timeout    time.Duration // silence after which a connection is dead; 0: 1 s
	Log        *slog.Logger  // nil: no log
}

// MaxHello bounds Config.Hello, in bytes.
const MaxHello = 4 << 10

const (
	defaultMaxMessage = 4 << 20
	defaultQueue      = 64 << 20
	defaultTimeout    = time.Second
	lengthBits        = 28
	maxMaxMessage     = 1<<lengthBits - 1
)

func (c Config) withDefaults() (Config, error) {
	if c.MaxMessage == 0 {
		c.MaxMessage = defaultMaxMessage
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = defaultQueue
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Check == nil {
		c.Check = func(wire.Peer, []byte) error { return nil }
	}
	if c.State == nil {
		c.State = func(wire.Peer, bool, error) {}
	}
	switch {
	case c.Identity == nil || c.Message == nil:
		return c, errors.New("stream: Identity and Message must be given")
	case len(c.Hello) > MaxHello:
		return c, fmt.Errorf("stream: hello of %d bytes: use at most %d", len(c.Hello), MaxHello)
	case c.MaxMessage < 1 || c.MaxMessage > maxMaxMessage:
		return c, fmt.Errorf("stream: MaxMessage %d: use 1 to %d", c.MaxMessage, maxMaxMessage)
	case c.QueueBytes < c.MaxMessage:
		return c, fmt.Errorf("stream: QueueBytes %d: use at least MaxMessage = %d", c.QueueBytes, c.MaxMessage)
	case c.Timeout < 10*time.Millisecond:
		return c, fmt.Errorf("stream: Timeout %v: use at least 10ms", c.Timeout)
	}
	return c, nil
}
