package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxProcesses bounds how many there are.
const maxProcesses = 256

// processes are children that run this same program. They die with the thread that starts them, which
// has to be locked (runtime.LockOSThread): a killed parent leaves nothing behind.
type processes struct {
	logs    string // folder
	list    []*exec.Cmd
	running sync.WaitGroup
	exits   chan processExit // has room for all
}

type processExit struct {
	args []string
	err  error
}

func newProcesses(logs string) *processes {
	return &processes{logs: logs, exits: make(chan processExit, maxProcesses)}
}

// errEnded is why a process ended that gave no reason.
var errEnded = errors.New("exit status 0")

func (c *processes) log(name string) string { return filepath.Join(c.logs, name+".log") }

// start starts metronome with these arguments; what it says goes to the log of its name.
func (c *processes) start(name string, args ...string) error {
	exe, err := self()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.logs, 0o700); err != nil {
		return fmt.Errorf("folder of the logs: %w", err)
	}
	out, err := os.Create(c.log(name))
	if err != nil {
		return fmt.Errorf("log of %s: %w", name, err)
	}
	defer out.Close()
	child := exec.Command(exe, args...)
	child.Stdout, child.Stderr = out, out
	// Its own process group: Ctrl-C reaches this process, which ends the others in order.
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.list = append(c.list, child)
	c.running.Go(func() {
		err := child.Wait()
		c.exits <- processExit{args, fmt.Errorf("%s ended (%w): its log is %s:\n%s", name, cmp.Or(err, errEnded),
			c.log(name), lastLines(c.log(name)))}
	})
	return nil
}

const lastBytes = 600

// lastLines is the end of a log.
func lastLines(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-lastBytes):])
}

// stopWithin is how long children may take to end in order: what they write last may be on a slow disk.
const stopWithin = 30 * time.Second

// stop ends the children: first in order, then for good.
func (c *processes) stop() {
	for _, p := range c.list {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	late := time.AfterFunc(stopWithin, func() {
		for _, p := range c.list {
			_ = p.Process.Kill()
		}
	})
	defer late.Stop()
	c.running.Wait()
}

// watch waits for Ctrl-C. What runs here outlives the loss of children: that is what it is for.
func (c *processes) watch(ctx context.Context, out io.Writer) error {
	for range c.list {
		select {
		case e := <-c.exits:
			fmt.Fprintf(out, "\n%v\n  start it again  metronome %s\n", e.err, strings.Join(e.args, " "))
		case <-ctx.Done():
			return nil
		}
	}
	return errors.New("every process has ended")
}

// patience is how long what was started may take to come up.
const patience = 2 * time.Minute

// until tries until it succeeds, a child ends, or patience does.
func (c *processes) until(ctx context.Context, what string, pause time.Duration, try func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try(limit)
		if err == nil {
			return nil
		}
		select {
		case exit := <-c.exits:
			return exit.err
		case <-limit.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s: %w. Next: look at the logs in %s", what, err, c.logs)
		case <-time.After(pause): // not listening yet
		}
	}
}
