package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"metronome/harness/factorial"
	"metronome/harness/testbed"
	"metronome/system/packet"
)

// Experiment is a kind of trial.
type Experiment string

// The experiments.
const (
	Linearizability Experiment = "linearizability"
	Faults          Experiment = "faults"
	NonIdeal        Experiment = "non-ideal-network"
	Consensus       Experiment = "consensus-real"
)

// Driver is the driver of one of the experiments.
type Driver struct{ Experiment Experiment }

// Open implements [factorial.Driver]: it looks for what trials need, and starts nothing.
func (d Driver) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	if os.Geteuid() != 0 {
		return nil, &packet.ErrUnavailable{What: "network namespaces", Why: "not root",
			Next: "run again under sudo"}
	}
	for tool, from := range map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables",
		"unshare": "util-linux", "mkfs.ext4": "e2fsprogs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, &packet.ErrUnavailable{What: tool, Why: err.Error(), Next: "apt-get install " + from}
		}
	}
	bin, err := filepath.Abs(env.Bin)
	if err != nil {
		return nil, fmt.Errorf("folder of programs: %w", err)
	}
	env.Bin = bin
	return &session{d.Experiment, env}, nil
}

// Changes implements [factorial.Host].
func (Driver) Changes() []string {
	return []string{"network, mount and process namespaces for each trial, which vanish with it",
		"a control group mtn-… for a process while it is slowed"}
}

// session starts a process for each trial.
type session struct {
	experiment Experiment
	env        factorial.Env
}

// Close implements [factorial.Session]: every trial has undone what it did.
func (s *session) Close() error {
	testbed.SweepCgroups()
	return nil
}

// task is what a trial's process reads.
type task struct {
	Experiment Experiment
	Bin, Logs  string
	Dir        string // empty
	Cell       factorial.Cell
}

// answer is what it says.
type answer struct {
	Outcome     factorial.Outcome
	Error       string                 `json:",omitempty"`
	Unavailable *packet.ErrUnavailable `json:",omitempty"`
}

// TrialCommand is the hidden command of lab that is a trial's process; it must call [Main].
const TrialCommand = "trial"

// Trial implements [factorial.Session].
func (s *session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	if views[c.Set["view"]] {
		return another(ctx, s.env, c)
	}
	dir, err := os.MkdirTemp(s.env.Dir, "trial-")
	if err != nil {
		return o, fmt.Errorf("folder for a trial: %w", err)
	}
	defer os.RemoveAll(dir)
	logs := filepath.Join(s.env.Logs, c.Folder())
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return o, fmt.Errorf("folder for logs: %w", err)
	}
	said, err := sandboxed(ctx, task{s.experiment, s.env.Bin, logs, dir, c}, filepath.Join(logs, "trial.log"))
	if err != nil {
		return o, err
	}
	switch {
	case said.Unavailable != nil:
		return o, said.Unavailable
	case said.Error != "":
		return o, errors.New(said.Error)
	}
	return said.Outcome, nil
}

// sandboxed runs a task in a sandbox. When ctx ends it gets time to end in good order.
func sandboxed(ctx context.Context, t task, log string) (a answer, err error) {
	cmd, err := testbed.SandboxCommand(TrialCommand)
	if err != nil {
		return a, err
	}
	stderr, err := os.Create(log)
	if err != nil {
		return a, fmt.Errorf("log of a trial: %w", err)
	}
	defer stderr.Close()
	asked, err := json.Marshal(t)
	if err != nil {
		return a, fmt.Errorf("ask for a trial: %w", err)
	}
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(asked)), &out, stderr
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the child dies with this thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) })
			err = cmd.Wait()
			stop()
		}
		ended <- err
	}()
	err = <-ended
	if ctx.Err() != nil {
		return a, ctx.Err()
	}
	if bad := json.Unmarshal([]byte(out.String()), &a); bad != nil {
		b, _ := os.ReadFile(log)
		return a, fmt.Errorf("the trial said nothing (%w): %s", errors.Join(err, bad), b[max(0, len(b)-500):])
	}
	return a, nil
}

// Main is a trial's process: it reads one task, carries it out, and says what came of it.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	if err := testbed.Furnish(); err != nil {
		return err
	}
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	var a answer
	o, err := t.run(ctx)
	switch un := (*packet.ErrUnavailable)(nil); {
	case errors.As(err, &un):
		a.Unavailable = un
	case err != nil:
		a.Error = err.Error()
	default:
		a.Outcome = o
	}
	return json.NewEncoder(out).Encode(a)
}

func (t *task) run(ctx context.Context) (factorial.Outcome, error) {
	switch t.Experiment {
	case Linearizability:
		return t.linearizability(ctx)
	case Faults:
		return t.faults(ctx)
	case NonIdeal:
		return t.nonIdeal(ctx)
	case Consensus:
		return t.consensus(ctx)
	}
	return factorial.Outcome{}, fmt.Errorf("unknown experiment %q", t.Experiment)
}
