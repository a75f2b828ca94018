package edgeproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// How long a process may take to start, and to end when it is asked to.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// process is a server that dies with this process, whatever kills it.
type process struct {
	what  string // for errors
	cmd   *exec.Cmd
	log   string
	lines chan string   // what it prints; what nobody reads is dropped
	ended chan struct{} // closed when it is no more
	err   error         // why it ended, once ended is closed
}

// begin runs a command whose standard error is appended to a file.
func begin(what string, argv, env []string, log string) (*process, error) {
	p := &process{what: what, cmd: exec.Command(argv[0], argv[1:]...), log: log,
		lines: make(chan string, 16), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = f.Close() }() // the process has its own
	p.cmd.Stderr = f
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w. Next: make build", what, err)
	}
	return p, nil
}

// run starts the process, hands on what it prints, and reaps it. A process dies with the thread that started
// it, so this goroutine keeps its own until the end.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer close(p.ended)
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if started <- err; err != nil {
		return
	}
	s := bufio.NewScanner(out)
	for s.Scan() {
		select {
		case p.lines <- s.Text():
		default:
		}
	}
	p.err = p.cmd.Wait()
}

// await reads what it prints until that is enough, and kills it if it is not in time.
func (p *process) await(ctx context.Context, enough func(line string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		select {
		case line := <-p.lines:
			if enough(line) {
				return nil
			}
		case <-p.ended:
			return fmt.Errorf("%s: it ended (%w): %s", p.what, p.err, p.lastWords())
		case <-ctx.Done():
			p.kill()
			return fmt.Errorf("%s: it did not start: %w: %s", p.what, context.Cause(ctx), p.lastWords())
		}
	}
}

func (p *process) lastWords() string {
	b, _ := os.ReadFile(p.log)
	return strings.TrimSpace(string(b[max(0, len(b)-500):]))
}

// Pid is the process's id.
func (p *process) Pid() int { return p.cmd.Process.Pid }

// stop asks it to end, and kills it if it does not.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		p.kill()
		return fmt.Errorf("%s: it did not end within %v: %s", p.what, stopLimit, p.lastWords())
	}
	if p.err != nil {
		return fmt.Errorf("%s: it ended badly: %w: %s", p.what, p.err, p.lastWords())
	}
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// output runs a command to its end and returns what it printed.
func output(ctx context.Context, input string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	b, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %.500s", err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(argv[1:min(len(argv), 3)], " "), err)
	}
	return b, nil
}
