package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

// Options say what to run.
type Options struct {
	Binary  string // the metronome program
	Dir     string // for the cluster file, keys, data and logs; empty or used by a cluster before
	Logs    string // for logs alone; empty: a folder in Dir
	Cluster cluster.DevOptions
	Reserve int      // proxies, the last ones, that are not started
	Network *Network // nil: everything on this namespace's loopback interface
	Disk    int64    // bytes of a file system of its own for each replica; 0: Dir's
	Env     []string // name=value, added to every process's environment

	// Switch is the program lab. With it every node's datagrams pass a memif port of DPDK, joined by lab's
	// software switch, and what befalls them is drawn by Seed; without it, kernel sockets. Round a
	// [NewSwitchedNetwork] it joins the nodes' kernels instead.
	Switch string
	Seed   uint64
}

// Cluster is a running cluster.
type Cluster struct {
	Config *cluster.Config

	o       Options
	start   chan func() // runs on the thread that all children belong to
	weather *weather    // nil: no switch

	mu        sync.Mutex
	processes map[wire.Peer]*Process
	shifts    map[wire.Peer]time.Duration // of their clocks
	mounted   []string
}

// Process is a program that was started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start writes the cluster file, starts everything, founds the cluster and waits until it has a leader.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o.Cluster.Change = o.change(o.Cluster.Change)
	cfg, err := cluster.Dev(o.Dir, o.Cluster)
	if errors.Is(err, os.ErrExist) {
		cfg, err = cluster.Load(filepath.Join(o.Dir, cluster.FileName))
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{Config: cfg, o: o, start: make(chan func()), processes: map[wire.Peer]*Process{},
		shifts: map[wire.Peer]time.Duration{}}
	go c.parent()
	if o.Disk > 0 {
		if err := c.disks(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if o.Switch != "" {
		if err := c.openSwitch(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	peers := cfg.Peers()
	peers = peers[:len(peers)-o.Reserve]
	for _, p := range peers {
		if err := c.Run(p); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.linked(ctx, peers); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.found(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// change is what the options alter in the cluster file, before what the caller alters.
func (o *Options) change(then func(*cluster.Config)) func(*cluster.Config) {
	return func(c *cluster.Config) {
		if o.Network != nil {
			o.Network.address(c)
		}
		if o.Disk > 0 {
			onDisks(c)
		}
		if o.Switch != "" && !o.kernelPorts() {
			onMemif(c)
		}
		if then != nil {
			then(c)
		}
	}
}

// parent starts processes: they are told to die with the thread that started them, and this goroutine keeps
// its thread to the end.
func (c *Cluster) parent() {
	runtime.LockOSThread()
	for f := range c.start {
		f()
	}
}

// found founds the cluster.
func (c *Cluster) found(ctx context.Context) error {
	first := c.Config.Replicas[0].Peer()
	asked := false
	return Poll(ctx, "a leader", func(ctx context.Context) error {
		if !asked {
			if _, err := daemon.Ask(ctx, c.Config, first, daemon.AdminRequest{Cmd: "init"}); err != nil {
				return err
			}
			asked = true
		}
		s, err := c.Status(ctx, first)
		if err == nil && s.Leader == "" {
			err = errors.New(s.NotReady)
		}
		return err
	})
}

// LogPath is where a peer's processes write their logs, one after another.
func (c *Cluster) LogPath(p wire.Peer) string { return c.logPath(p.String()) }

func (c *Cluster) logPath(name string) string {
	return filepath.Join(cmp.Or(c.o.Logs, filepath.Join(c.o.Dir, "logs")), name+".log")
}

// logFile opens a process's log, to add to it.
func (c *Cluster) logFile(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(c.logPath(name)), 0o700); err != nil {
		return nil, fmt.Errorf("nemesis: folder of logs: %w", err)
	}
	log, err := os.OpenFile(c.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("nemesis: log: %w", err)
	}
	return log, nil
}

// File is the cluster file.
func (c *Cluster) File() string { return filepath.Join(c.o.Dir, cluster.FileName) }

// Run starts a peer, which must not be running.
func (c *Cluster) Run(p wire.Peer) error {
	role := "replica"
	if p.IsProxy() {
		role = "proxy"
	}
	if old := c.process(p); old != nil && !old.Ended() {
		return fmt.Errorf("nemesis: %v is running", p)
	}
	proc, err := c.Spawn(p, role, "--config", c.File(), "--name", p.String())
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.processes[p] = proc
	c.mu.Unlock()
	return nil
}

// Spawn starts the program with any arguments in a peer's network, its output added to the peer's log. The
// cluster does not know it: the caller ends it, or it ends with this program.
func (c *Cluster) Spawn(p wire.Peer, args ...string) (*Process, error) {
	log, err := c.logFile(p.String())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return c.spawn(p, log, args)
}

func (c *Cluster) spawn(p wire.Peer, log io.Writer, args []string) (*Process, error) {
	argv := c.shifted(p, append([]string{c.o.Binary}, args...))
	if c.o.Network != nil {
		argv = c.o.Network.Inside(p, argv...)
	}
	proc := &Process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	proc.cmd.Env = append(os.Environ(), c.o.Env...)
	proc.cmd.Stdout, proc.cmd.Stderr = log, log
	proc.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.launch(proc); err != nil {
		return nil, fmt.Errorf("nemesis: start %v: %w", p, err)
	}
	return proc, nil
}

// launch starts a process, and takes note of its end.
func (c *Cluster) launch(proc *Process) error {
	started := make(chan error)
	c.start <- func() { started <- proc.cmd.Start() }
	if err := <-started; err != nil {
		return err
	}
	go func() {
		_ = proc.cmd.Wait() // ProcessState tells
		close(proc.done)
	}()
	return nil
}

// Ended reports whether it has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends it at once.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Wait waits for the end, and returns the exit code; -1 if a signal ended it.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("nemesis: %v does not end: %w", p.cmd.Args, ctx.Err())
	}
}

func (c *Cluster) process(p wire.Peer) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[p]
}

// Ended are the peers whose processes were started and have ended.
func (c *Cluster) Ended() (all []wire.Peer) {
	for _, p := range c.Config.Peers() {
		if proc := c.process(p); proc != nil && proc.Ended() {
			all = append(all, p)
		}
	}
	return all
}

// Signal sends a signal to a peer's process.
func (c *Cluster) Signal(p wire.Peer, s os.Signal) error {
	proc := c.process(p)
	if proc == nil || proc.Ended() {
		return fmt.Errorf("nemesis: %v is not running", p)
	}
	return proc.cmd.Process.Signal(s)
}

// Wait waits for the end of a peer's process, and returns its exit code; -1 if a signal ended it.
func (c *Cluster) Wait(ctx context.Context, p wire.Peer) (int, error) {
	proc := c.process(p)
	if proc == nil {
		return 0, fmt.Errorf("nemesis: %v was never started", p)
	}
	return proc.Wait(ctx)
}

// PID is the process id of a peer's latest process.
func (c *Cluster) PID(p wire.Peer) int { return c.process(p).cmd.Process.Pid }

// Addresses are where the proxies that were started serve clients.
func (c *Cluster) Addresses() (all []string) {
	for i := range c.Config.Proxies[:len(c.Config.Proxies)-c.o.Reserve] {
		all = append(all, c.Config.Proxies[i].Resp)
	}
	return all
}

// Close kills every process and waits for their ends.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range c.processes {
		<-p.done
	}
	c.weather.close()
	close(c.start)
	c.unmount()
	return nil
}

// Poll tries until it succeeds or ctx ends.
func Poll(ctx context.Context, what string, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Listening waits until every started proxy takes connections.
func (c *Cluster) Listening(ctx context.Context) error {
	return Poll(ctx, "proxies", func(ctx context.Context) error {
		for _, a := range c.Addresses() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a)
			if err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	})
}

// Network is what joins the processes; nil: the loopback interface.
func (c *Cluster) Network() *Network { return c.o.Network }
