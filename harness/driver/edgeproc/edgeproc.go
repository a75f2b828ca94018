package edgeproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/probe"
	"metronome/system/access/pki"
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

	*process
	client *client
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
	e := &Edge{CA: filepath.Join(c.Dir, caFile), Secret: filepath.Join(c.Dir, secretFile), User: userName}
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
	args := append(slices.Clone(c.Command), "--name", edgeName, "--data", in(dataDir),
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tls-cert", in(leafFile), "--ca", in(caFile),
		"--users", in(usersFile), "--min-free", "1")
	var err error
	if e.process, err = begin("edge", append(args, c.Flags...), c.Env,
		cmp.Or(c.Log, in("edge.log"))); err != nil {
		return err
	}
	err = e.await(ctx, func(line string) bool {
		if url, ok := strings.CutPrefix(line, "edge "+edgeName+": "); ok {
			e.URL = url
		} else if url, ok := strings.CutPrefix(line, "operators: "); ok {
			e.AdminURL = url
		}
		return e.AdminURL != ""
	})
	if err == nil && e.URL == "" {
		e.kill()
		err = errors.New("edge: it did not say where it serves")
	}
	return err
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
	defer e.client.close()
	return e.stop()
}

// Kill is kill -9.
func (e *Edge) Kill() {
	e.kill()
	if e.client != nil {
		e.client.close()
	}
}

// role of the certificate.
var role = pki.Name{Role: pki.Edge, ID: edgeName}
