package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// How long a server may take to start, and to end when it is asked to.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// child is a process that dies with this one.
type child struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // why it ended, once ended is closed
}

// start runs a command whose output goes to a file.
func start(log string, argv ...string) (*child, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	defer func() { _ = f.Close() }() // the process has its own
	c := &child{cmd: exec.Command(argv[0], argv[1:]...), log: log, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.Dir = f, f, filepath.Dir(log)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the process dies with the thread that started it, which waits for it
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ready waits until a probe succeeds.
func (c *child) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s ended (%w): %s", c.cmd.Path, c.err, c.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w: %s", c.cmd.Path, err, c.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *child) lastWords() string {
	b, _ := os.ReadFile(c.log)
	return strings.TrimSpace(string(b[max(0, len(b)-500):]))
}

// stop asks the process to end, and kills it if it does not.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopLimit):
	}
	c.kill()
	return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", c.cmd.Path, stopLimit)
}

// kill ends the process at once.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// freePorts are ports of 127.0.0.1 that nobody uses now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
