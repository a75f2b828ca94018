package nemesis

import (
	"context"
	"fmt"
	"syscall"

	"metronome/system/wire"
)

// Fault is something that goes wrong, and how it is put right again. Heal may be called though Apply failed.
type Fault struct {
	Name  string
	Apply func(ctx context.Context) error
	Heal  func(ctx context.Context) error
}

// Pause stops a process where it is, and lets it go on.
func (c *Cluster) Pause(p wire.Peer) Fault {
	return Fault{Name: fmt.Sprintf("pause %v", p),
		Apply: func(context.Context) error { return c.Signal(p, syscall.SIGSTOP) },
		Heal:  func(context.Context) error { return c.Signal(p, syscall.SIGCONT) }}
}

// Crash kills a process and starts it again: with journals a replica comes back as who it was, in memory
// as a new life; a proxy as a new incarnation.
func (c *Cluster) Crash(p wire.Peer) Fault {
	f := c.CrashAll(p)
	f.Name = fmt.Sprintf("crash %v", p)
	return f
}
