package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"metronome/system/daemon"
	"metronome/system/wire"
)

// kill ends a process at once, and waits for its end.
func (c *Cluster) kill(ctx context.Context, p wire.Peer) error {
	proc := c.process(p)
	if proc == nil {
		return fmt.Errorf("nemesis: %v was never started", p)
	}
	proc.Kill()
	_, err := proc.Wait(ctx)
	return err
}

// CrashAll kills processes at the same moment, and starts them again.
func (c *Cluster) CrashAll(all ...wire.Peer) Fault {
	return Fault{Name: fmt.Sprintf("crash %v", all),
		Apply: func(ctx context.Context) error {
			for _, p := range all {
				c.process(p).Kill()
			}
			var errs []error
			for _, p := range all {
				_, err := c.Wait(ctx, p)
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
		Heal: func(context.Context) error {
			var errs []error
			for _, p := range all {
				errs = append(errs, c.Run(p))
			}
			return errors.Join(errs...)
		}}
}

// midRange is how long a proxy's frames reach one replica alone before it dies.
const midRange = 30 * time.Millisecond

// MidRange kills a proxy in the middle of a range: for a moment its frames reach one replica alone, then it
// dies. What no majority holds must be cut off or repaired, alike everywhere.
func (c *Cluster) MidRange(p, reached wire.Peer) Fault {
	f := c.Crash(p)
	n := c.o.Network
	if n == nil {
		return f
	}
	f.Name = fmt.Sprintf("crash %v mid-range: only %v has its last frames", p, reached)
	alone := n.fault(cut{lost: func(from, to wire.Peer) bool { return from == p && to != reached }})
	kill := f.Apply
	f.Apply = func(ctx context.Context) error {
		err := alone.Apply(ctx)
		time.Sleep(midRange)
		return errors.Join(err, kill(ctx), alone.Heal(ctx))
	}
	return f
}

// Wipe kills a replica and starts it with an empty data directory: as a new life, which has nothing, and
// votes only when it has caught up.
func (c *Cluster) Wipe(p wire.Peer) Fault {
	f := c.Crash(p)
	f.Name = fmt.Sprintf("wipe %v", p)
	start := f.Heal
	f.Heal = func(ctx context.Context) error { return errors.Join(c.erase(p), start(ctx)) }
	return f
}

func (c *Cluster) erase(p wire.Peer) error {
	if err := os.RemoveAll(c.Config.DataDir(c.Config.Replica(p))); err != nil {
		return fmt.Errorf("nemesis: wipe %v: %w", p, err)
	}
	return nil
}

// Jump kills a process and starts it with clocks that are ahead by d, or behind: CLOCK_MONOTONIC and
// CLOCK_BOOTTIME of a time namespace of its own (time_namespaces(7)), so that no other process feels it.
// These are the only clocks that the store goes by; a test of this package holds that it never asks for
// the wall clock. A jump of a clock that is running is what [Cluster.Pause] is to the process.
func (c *Cluster) Jump(p wire.Peer, d time.Duration) Fault {
	f := c.Crash(p)
	f.Name = fmt.Sprintf("the clock of %v jumps by %v", p, d)
	start := f.Heal
	f.Heal = func(ctx context.Context) error {
		c.mu.Lock()
		c.shifts[p] = d
		c.mu.Unlock()
		return start(ctx)
	}
	return f
}

// shifted is a command line under a peer's clock.
func (c *Cluster) shifted(p wire.Peer, argv []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.shifts[p]
	if d == 0 {
		return argv
	}
	s := fmt.Sprintf("%d", int64(d/time.Second))
	return append([]string{"unshare", "--time", "--monotonic", s, "--boottime", s}, argv...)
}

// Replace takes a replica out of the cluster for good, by way of another one's operator, and lets one with
// an empty disk join in its place.
func (c *Cluster) Replace(p, by wire.Peer) Fault {
	name := p.String()
	return Fault{Name: fmt.Sprintf("remove %v, add it anew", p),
		Apply: func(ctx context.Context) error {
			err := c.admin(ctx, by, daemon.AdminRequest{Cmd: "remove", Seat: p.Seat()},
				func(s *daemon.ClusterStatus) bool { return !member(s, name) && !slices.Contains(s.Admitted, name) })
			return errors.Join(err, c.kill(ctx, p))
		},
		Heal: func(ctx context.Context) error {
			err := c.admin(ctx, by, daemon.AdminRequest{Cmd: "add", Seat: p.Seat()},
				func(s *daemon.ClusterStatus) bool { return slices.Contains(s.Admitted, name) })
			return errors.Join(err, c.erase(p), c.Run(p))
		}}
}

// member reports whether a life of a seat votes or learns.
func member(s *daemon.ClusterStatus, name string) bool {
	of := func(life string) bool { return strings.HasPrefix(life, name+"/") }
	return slices.ContainsFunc(s.Voters, of) || slices.ContainsFunc(s.Learners, of)
}

// admin asks until it has come to pass.
func (c *Cluster) admin(ctx context.Context, by wire.Peer, q daemon.AdminRequest,
	done func(*daemon.ClusterStatus) bool,
) error {
	return Poll(ctx, q.Cmd, func(ctx context.Context) error {
		if s, err := c.Status(ctx, by); err == nil && done(s) {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := daemon.Ask(ctx, c.Config, by, q)
		return errors.Join(err, errors.New("not yet"))
	})
}

// PauseAll stops processes where they are.
func (c *Cluster) PauseAll(all ...wire.Peer) Fault {
	each := func(s syscall.Signal) error {
		var errs []error
		for _, p := range all {
			errs = append(errs, c.Signal(p, s))
		}
		return errors.Join(errs...)
	}
	return Fault{Name: fmt.Sprintf("pause %v", all),
		Apply: func(context.Context) error { return each(syscall.SIGSTOP) },
		Heal:  func(context.Context) error { return each(syscall.SIGCONT) }}
}
