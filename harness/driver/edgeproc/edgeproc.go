package edgeproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/probe"
	"metronome/system/access/pki"
)

// How long a process may take to start, and to end when it is asked to.
const (
	startLimit = 20 * time.Second
	stopLimit  = 10 * time.Second
)

// Config says what to run and where.
type Config struct {
	Command []string // the program and its first words: bin/metronome edge
	Env     []string // on top of this process's
	Dir     string   // of data, credentials and certificates; made if absent
	Log     string   // a file that its standard error is appended to; "" = DIR/edge.log
	CPU     int      // the core that it runs on, -1 = any
	Flags   []string // further ones of metronome edge
}

// Edge is a running edge server.
type Edge struct {
	URL      string // https://127.0.0.1:port
	AdminURL string // http://127.0.0.1:port, with /metrics
	CA       string // file: the CA of its certificate
	Secret   string // file: USER:PASSWORD of a user who may do everything with keys
	User     string
	Password string

	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // why it ended, once ended is closed
	client *client
	log    string
}

// The files of a folder.
const (
	caFile     = "ca.crt"
	leafFile   = "edge.pem"
	usersFile  = "users.yaml"
	secretFile = "secret"
	dataDir    = "data"
	edgeName   = "hall"
	userName   = "profile"
)

// Start starts an edge and returns once it serves. Stop or Kill must be called.
func Start(ctx context.Context, c Config) (*Edge, error) {
	if err := furnish(c.Dir); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	e := &Edge{CA: filepath.Join(c.Dir, caFile), Secret: filepath.Join(c.Dir, secretFile), User: userName,
		ended: make(chan struct{}), log: c.Log}
	if e.log == "" {
		e.log = filepath.Join(c.Dir, "edge.log")
	}
	secret, err := os.ReadFile(e.Secret)
	if err != nil {
		return nil, err
	}
	_, e.Password, _ = strings.Cut(strings.TrimSpace(string(secret)), ":")
	if err := e.spawn(ctx, &c); err != nil {
		return nil, err
	}
	if e.client, err = e.connect(); err == nil {
		err = e.pin(c.CPU)
	}
	if err != nil {
		e.Kill()
		return nil, err
	}
	return e, nil
}

func (e *Edge) spawn(ctx context.Context, c *Config) error {
	in := func(name string) string { return filepath.Join(c.Dir, name) }
	args := append(c.Command[1:len(c.Command):len(c.Command)], "--name", edgeName, "--data", in(dataDir),
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tls-cert", in(leafFile), "--ca", in(caFile),
		"--users", in(usersFile), "--min-free", "1")
	e.cmd = exec.Command(c.Command[0], append(args, c.Flags...)...)
	e.cmd.Env = append(os.Environ(), c.Env...)
	log, err := os.OpenFile(e.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	e.cmd.Stderr = log
	out, err := e.cmd.StdoutPipe()
	if err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("edge: %w. Next: make build", err)
	}
	lines := make(chan string, 16)
	go e.read(out, lines)
	return e.await(ctx, lines)
}

// read hands on what the process prints, and reaps it.
func (e *Edge) read(out io.Reader, lines chan<- string) {
	s := bufio.NewScanner(out)
	for s.Scan() {
		select {
		case lines <- s.Text():
		default: // nobody reads any more
		}
	}
	e.err = e.cmd.Wait()
	close(e.ended)
}

// await reads where it serves.
func (e *Edge) await(ctx context.Context, lines <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for e.AdminURL == "" {
		select {
		case line := <-lines:
			if url, ok := strings.CutPrefix(line, "edge "+edgeName+": "); ok {
				e.URL = url
			} else if url, ok := strings.CutPrefix(line, "operators: "); ok {
				e.AdminURL = url
			}
		case <-e.ended:
			return fmt.Errorf("edge: it ended (%w): %s", e.err, e.lastWords())
		case <-ctx.Done():
			e.Kill()
			return fmt.Errorf("edge: it did not start: %w: %s", context.Cause(ctx), e.lastWords())
		}
	}
	if e.URL == "" {
		e.Kill()
		return errors.New("edge: it did not say where it serves")
	}
	return nil
}

func (e *Edge) lastWords() string {
	b, _ := os.ReadFile(e.log)
	return strings.TrimSpace(string(b[max(0, len(b)-500):]))
}

// pin confines every thread to a core; threads to come inherit that.
func (e *Edge) pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	for range 2 { // the second round finds what was born during the first
		for _, task := range e.tasks() {
			if err := unix.SchedSetaffinity(task, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("edge: pin to core %d: %w", cpu, err)
			}
		}
	}
	return nil
}

func (e *Edge) tasks() (ids []int) {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", e.Pid()))
	for _, entry := range list {
		if id, err := strconv.Atoi(entry.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// Pid is the process's id.
func (e *Edge) Pid() int { return e.cmd.Process.Pid }

// CPU is the time that all its threads have run. Threads that ended are not in it; Go ends next to none.
func (e *Edge) CPU() (sum time.Duration) {
	for _, task := range e.tasks() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", e.Pid(), task))
		if err != nil {
			continue
		}
		if s, err := probe.ParseSchedstat(b); err == nil {
			sum += time.Duration(s.RunNS)
		}
	}
	return sum
}

// Stop asks it to end, and kills it if it does not.
func (e *Edge) Stop() error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(stopLimit):
		e.Kill()
		return fmt.Errorf("edge: it did not end within %v: %s", stopLimit, e.lastWords())
	}
	if e.client != nil {
		e.client.close()
	}
	if e.err != nil {
		return fmt.Errorf("edge: it ended badly: %w: %s", e.err, e.lastWords())
	}
	return nil
}

// Kill is kill -9.
func (e *Edge) Kill() {
	_ = e.cmd.Process.Kill()
	<-e.ended
	if e.client != nil {
		e.client.close()
	}
}

// role of the certificate.
var role = pki.Name{Role: pki.Edge, ID: edgeName}
