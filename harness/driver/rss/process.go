package rss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"metronome/harness/load"
	"metronome/system/packet"
)

// process is a child that says lines of JSON.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
	log   *os.File
}

// endLimit bounds the wait for a child that has been told to end.
const endLimit = 2 * time.Minute

// start runs the lab with arguments; it ends with ctx at the latest.
func (s *session) start(ctx context.Context, name string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, s.lab, args...)}
	p.cmd.WaitDelay = endLimit
	var err error
	if p.log, err = os.Create(filepath.Join(s.env.Logs, "rss-"+name+".log")); err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	p.cmd.Stderr = p.log
	stdout, err1 := p.cmd.StdoutPipe()
	stdin, err2 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("pipes of %s: %w", name, err)
	}
	p.stdin, p.out = stdin, json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), p.log.Close())
	}
	return p, nil
}

// hear reads the next line into v.
func (p *process) hear(v any) error {
	var line json.RawMessage
	if err := p.out.Decode(&line); err != nil {
		return fmt.Errorf("%s said nothing: %w: %s", p.name, err, p.last())
	}
	var head struct{ Event string }
	_ = json.Unmarshal(line, &head) // what is no event is a result
	if head.Event == "unavailable" {
		un := &packet.ErrUnavailable{}
		return errors.Join(json.Unmarshal(line, un), un)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%s said %q: %w", p.name, line, err)
	}
	return nil
}

// readyLimit bounds the wait for a child that begins: more than it waits for its links.
const readyLimit = 3 * time.Minute

// ready waits until it has said so. A child that does not is killed.
func (p *process) ready() error {
	limit := time.AfterFunc(readyLimit, func() { _ = p.cmd.Process.Kill() })
	defer limit.Stop()
	var r load.Ready
	if err := p.hear(&r); err != nil {
		return err
	}
	if r.Event != "ready" {
		return fmt.Errorf("%s said %q, not ready", p.name, r.Event)
	}
	return nil
}

// tell says what to do.
func (p *process) tell(run load.Run) error {
	if err := json.NewEncoder(p.stdin).Encode(run); err != nil {
		return fmt.Errorf("tell %s: %w: %s", p.name, err, p.last())
	}
	return nil
}

// last is the last line that it logged.
func (p *process) last() string {
	b, _ := os.ReadFile(p.log.Name())
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// close lets it end, which it does with its input, or at once if it is waited for in vain.
func (p *process) close() error {
	_ = p.stdin.Close()
	limit := time.AfterFunc(endLimit, func() { _ = p.cmd.Process.Kill() })
	defer limit.Stop()
	err := p.cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", p.name, err, p.last())
	}
	return errors.Join(err, p.log.Close())
}
