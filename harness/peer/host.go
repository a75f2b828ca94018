package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/testbed"
	"metronome/system/packet"
)

// Host is where peers run: binaries, logs, directories for data, and a testbed whose children end with
// this process, however it ends. Its methods belong to one goroutine.
type Host struct {
	bin  string
	logs string
	bed  *testbed.Testbed
	dirs []*dataDir

	metronome string   // our own binary
	set       Settings // of whatever is started here
}

// OpenHost prepares this machine. The servers built from servers/ lie in folder bin; what processes say
// goes to files in folder logs, which is made. What dead hosts left is removed.
func OpenHost(bin, logs string) (*Host, error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, fmt.Errorf("folder for logs: %w", err)
	}
	sweep()
	if _, err := testbed.Sweep(); err != nil {
		return nil, fmt.Errorf("clean up after dead runs: %w", err)
	}
	bed, err := testbed.Open("peers-" + strconv.Itoa(os.Getpid()))
	if err != nil {
		return nil, err
	}
	return &Host{bin: bin, logs: logs, bed: bed, metronome: besideThis("metronome")}, nil
}

// besideThis is the path of a program that was built together with this one.
func besideThis(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

// Close kills what still runs and removes all data.
func (h *Host) Close() error {
	errs := []error{h.bed.Close()}
	for _, d := range h.dirs {
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}

// built is the path of a server built from servers/; what names the system.
func (h *Host) built(what, name string) (string, error) {
	path := filepath.Join(h.bin, name)
	if _, err := os.Stat(path); err != nil {
		return "", &packet.ErrUnavailable{What: what, Why: "it is not built: " + err.Error(), Next: "make peers"}
	}
	return path, nil
}

// installed is the path of a program of the distribution, which has it in a package of the same name.
func installed(what, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &packet.ErrUnavailable{What: what, Why: err.Error(), Next: "apt-get install " + name}
	}
	return path, nil
}

// firstLine is the first line a program prints, such as its version.
func firstLine(ctx context.Context, argv ...string) string {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return strings.TrimSpace(line)
}

// child is a server process.
type child struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs a server; what it says goes to its log.
func (h *Host) start(name string, argv ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}),
		log: filepath.Join(h.logs, name+".log")}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	fmt.Fprintf(log, "+ %s\n", strings.Join(argv, " "))
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := h.bed.Start(c.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is in its log
		close(c.done)
	}()
	return c, nil
}

// group is the processes of one instance and the directory of their data.
type group struct {
	children []*child
	dir      *dataDir
}

func (g *group) pids() (pids []int) {
	for _, c := range g.children {
		pids = append(pids, c.cmd.Process.Pid)
	}
	return pids
}

// dead is an error if a process of the group has ended.
func (g *group) dead() error {
	for _, c := range g.children {
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %s (all of it in %s)", c.name, lastLine(c.log), c.log)
		default:
		}
	}
	return nil
}

func lastLine(file string) string {
	b, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

const (
	polite   = 5 * time.Second // between asking a process to end and ending it
	upLimit  = 3 * time.Minute
	tryAgain = 50 * time.Millisecond
)

// stop ends the processes, all of them at once, and removes the data.
func (g *group) stop() error {
	for _, c := range g.children {
		_ = c.cmd.Process.Signal(unix.SIGTERM) // it may have ended
	}
	limit := time.NewTimer(polite)
	defer limit.Stop()
	for _, c := range g.children {
		select {
		case <-c.done:
		case <-limit.C:
			limit.Reset(0) // for the others too
			_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL)
			<-c.done
		}
	}
	g.children = nil
	if g.dir == nil {
		return nil
	}
	return g.dir.remove()
}

// await calls ready again until it returns nil. It gives up when ctx ends or a process does, and then
// says what the last error was.
func (g *group) await(ctx context.Context, ready func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ready(try)
		cancel()
		if err == nil {
			return nil
		}
		if dead := g.dead(); dead != nil {
			return dead
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(tryAgain):
		}
	}
}

// starts is how often a start is tried: a port that was free may be taken a moment later.
const starts = 3

// bringUp starts an instance, again if one of its processes did not stay. start adds to the group; ready
// is awaited. After an error nothing is left.
func (h *Host) bringUp(ctx context.Context, place string, start func(g *group) error,
	ready func(ctx context.Context) error) (_ *group, err error) {
	for range starts {
		g := &group{}
		if g.dir, err = h.newDir(place); err != nil {
			return nil, err
		}
		if err = start(g); err == nil {
			up, cancel := context.WithTimeout(ctx, upLimit)
			err = g.await(up, ready)
			cancel()
		}
		if err == nil {
			return g, nil
		}
		died := g.dead() != nil
		err = errors.Join(err, g.stop())
		if !died || ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, err
}

// freePorts returns n different ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all stay open until all are known
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
