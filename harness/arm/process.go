package arm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"metronome/system/packet"
)

// starter starts a command somewhere: *testbed.Testbed, *testbed.Netns.
type starter interface {
	Start(cmd *exec.Cmd, cpus ...int) error
}

// process is a child that takes JSON lines and answers with JSON lines.
type process struct {
	cmd   *exec.Cmd
	name  string
	in    io.WriteCloser
	lines chan []byte
	log   string
	done  chan error

	patience time.Duration // between asking it to end and ending it
}

// start runs argv in s on a core; its stderr goes to a file in logs.
func start(s starter, core int, logs, name string, argv ...string) (*process, error) {
	return startOn(s, []int{core}, logs, name, argv...)
}

// startAnywhere is start on whatever core the kernel likes.
func startAnywhere(s starter, logs, name string, argv ...string) (*process, error) {
	return startOn(s, nil, logs, name, argv...)
}

func startOn(s starter, cores []int, logs, name string, argv ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), lines: make(chan []byte, 64),
		done: make(chan error, 1), patience: 3 * time.Second, log: filepath.Join(logs, name+".log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	fmt.Fprintf(log, "+ %s\n", strings.Join(argv, " "))
	p.cmd.Stderr = log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("stdin of %s: %w", name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("stdout of %s: %w", name, err)
	}
	if err := s.Start(p.cmd, cores...); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.read(out)
	return p, nil
}

func (p *process) read(out io.Reader) {
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.lines <- append([]byte(nil), s.Bytes()...)
	}
	close(p.lines)
	p.done <- p.cmd.Wait()
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// say writes a line.
func (p *process) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return p.died(err)
	}
	return nil
}

// hear waits for the next line and decodes it; event is what the answer must be.
func (p *process) hear(event string, into any, limit time.Duration) error {
	line, err := p.line(limit)
	if err != nil {
		return fmt.Errorf("waiting for %q: %w", event, err)
	}
	var head struct{ Event, Error string }
	if err := json.Unmarshal(line, &head); err != nil {
		return fmt.Errorf("%s said %q: %w", p.name, line, err)
	}
	if head.Event == "unavailable" {
		un := &packet.ErrUnavailable{}
		return errors.Join(json.Unmarshal(line, un), un)
	}
	if head.Event != event || head.Error != "" {
		return fmt.Errorf("%s said %q %s, not %q", p.name, head.Event, head.Error, event)
	}
	return json.Unmarshal(line, into)
}

// find reads lines of a program that speaks to people until one matches.
func (p *process) find(pattern *regexp.Regexp, limit time.Duration) ([]string, error) {
	for {
		line, err := p.line(limit)
		if err != nil {
			return nil, err
		}
		if m := pattern.FindStringSubmatch(string(line)); m != nil {
			return m, nil
		}
	}
}

func (p *process) line(limit time.Duration) ([]byte, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return nil, p.died(errors.New("it ended"))
		}
		return line, nil
	case <-timeout.C:
		return nil, fmt.Errorf("%s did not answer within %s (see %s)", p.name, limit, p.log)
	}
}

// died is the error of a process that is gone: the last line it logged says why.
func (p *process) died(err error) error {
	last := lastLine(p.log)
	if last == "" {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return fmt.Errorf("%s: %s", p.name, last)
}

func lastLine(file string) string {
	b, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// stop asks the process to end, and kills it if it does not.
func (p *process) stop(word string) {
	_ = p.say("%s", word)
	_ = p.in.Close()
	go func() { // last words nobody waits for must not keep it from ending
		for range p.lines {
		}
	}()
	select {
	case <-p.done:
	case <-time.After(p.patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
