package resp

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"log/slog"
	"time"
)

// Options say how a [Server] serves; a zero field means its default.
type Options struct {
	Limits
	TLS    *tls.Config   // nil = no TLS
	Auth   Authenticator // nil = nobody needs to authenticate
	Info   Informer      // nil = INFO has the sections of this package only
	Logger *slog.Logger  // nil = silent

	// BarrierReads is what a connection starts with, as if it had sent MT.READS BARRIER.
	BarrierReads bool
}

// Limits bound what clients can make the server hold. Every bound has a visible end: an error
// reply, a closed connection with its reason counted in [Stats], or a client that must wait. An
// idle connection holds a few KiB; a busy one up to 100 KiB, and what more it holds counts towards
// Buffers.
type Limits struct {
	Connections int // more are refused with an error and closed; default 20 000

	InflightOps   int // a connection's commands without reply; more wait unread; default 1024
	InflightBytes int // and their bytes; default 4 MiB

	SoftOutput int // bytes of unsent replies from which no more is read; default 1 MiB
	HardOutput int // from which the connection is closed as a slow reader; default 64 MiB
	Buffers    int // bytes all connections may hold beyond their idle size; default 1 GiB

	Args    int // arguments of one command, its name included; default 2 * wire.MaxMulti + 8
	Command int // bytes of one command; default 2 MiB

	IdleTimeout  time.Duration // a silent connection is closed; default 0: never
	WriteTimeout time.Duration // a client that takes no byte for this long is a slow reader; default 30 s
	Drain        time.Duration // how long Serve waits for answers when told to stop; default 2 s
}

func (l *Limits) setDefaults() {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.Connections, 20_000},
		{&l.InflightOps, 1024},
		{&l.InflightBytes, 4 << 20},
		{&l.SoftOutput, 1 << 20},
		{&l.HardOutput, 64 << 20},
		{&l.Buffers, 1 << 30},
		{&l.Args, maxArgs},
		{&l.Command, 2 << 20},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.WriteTimeout <= 0 {
		l.WriteTimeout = 30 * time.Second
	}
	if l.Drain <= 0 {
		l.Drain = 2 * time.Second
	}
}

// RequirePass lets the user "default" in with one password, as Redis's requirepass does.
func RequirePass(password string) Authenticator {
	return requirePass(sha256.Sum256([]byte(password)))
}

type requirePass [sha256.Size]byte

// Authenticate compares in constant time, the length of the password included.
func (p requirePass) Authenticate(user, password []byte) bool {
	got := sha256.Sum256(password)
	return string(user) == defaultUser && subtle.ConstantTimeCompare(got[:], p[:]) == 1
}
