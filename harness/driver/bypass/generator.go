package bypass

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"metronome/harness/load/kv"
	"metronome/system/load"
)

// generator is the cluster's proxy, which loads itself.
type generator struct {
	cmd       *exec.Cmd
	load      load.Config
	out       bytes.Buffer
	last      string        // what it said last
	measuring chan struct{} // closed when its warm-up is over
	done      chan error
}

// generate starts it.
func (t trial) generate(file, name string) (*generator, error) {
	l := t.load
	g := &generator{load: l, measuring: make(chan struct{}), done: make(chan error, 1)}
	g.cmd = exec.Command(t.metronome, "bench", "load", "--config", file, "--name", name,
		"--keys", strconv.Itoa(l.Keys), "--key-bytes", strconv.Itoa(l.KeyBytes),
		"--value-bytes", strconv.Itoa(l.ValueBytes), "--outstanding", strconv.Itoa(l.Outstanding),
		"--warmup", l.Warmup.String(), "--length", l.Length.String(), "--seed", strconv.FormatUint(l.Seed, 10))
	if l.Reads > 0 {
		g.cmd.Args = append(g.cmd.Args, "--reads", strconv.FormatFloat(l.Reads, 'g', -1, 64),
			"--barrier="+strconv.FormatBool(l.Barrier))
	}
	g.cmd.Stdout = &g.out
	says, err := g.cmd.StderrPipe()
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the generator: %w", err)
	}
	go g.follow(says)
	return g, nil
}

// follow notices when it begins to measure, and its end.
func (g *generator) follow(says io.Reader) {
	begun := false
	for lines := bufio.NewScanner(says); lines.Scan(); {
		g.last = lines.Text()
		if !begun && strings.HasPrefix(g.last, "measuring") {
			begun = true
			close(g.measuring)
		}
	}
	g.done <- g.cmd.Wait()
}

// readings are what a load came to.
type readings struct {
	load load.Result
	cost kv.Cost
}

const (
	startLimit = 2 * time.Minute
	endLimit   = 2 * time.Minute
	inside     = 0.85 // the part of the window in which costs are read, in case its start is noticed late
)

// measure waits for the warm-up's end, reads costs within the window, and waits for the result.
func (g *generator) measure(ctx context.Context, processes []process) (_ *readings, err error) {
	defer func() {
		if err != nil {
			_ = g.cmd.Process.Kill()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit+g.load.Warmup+g.load.Length+endLimit)
	defer cancel()
	select {
	case <-g.measuring:
	case err := <-g.done:
		return nil, errors.Join(fmt.Errorf("the generator ended early: %s", g.last), err)
	case <-ctx.Done():
		return nil, fmt.Errorf("the generator did not begin: %w", ctx.Err())
	}
	now, err := kv.Clock()
	if err != nil {
		return nil, err
	}
	var pids []int
	var roles []string
	for _, p := range processes {
		pids, roles = append(pids, p.pid), append(roles, p.role)
	}
	from := now()
	to := from + int64(inside*float64(g.load.Length))
	r := &readings{}
	if r.cost, err = kv.Measure(ctx, now, from, to, pids, nil); err != nil {
		return nil, err
	}
	r.cost.Roles(roles)
	select {
	case err = <-g.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the generator: %s: %w", g.last, err)
	}
	if err := json.Unmarshal(g.out.Bytes(), &r.load); err != nil {
		return nil, fmt.Errorf("the generator said %q: %w", g.out.String(), err)
	}
	if len(r.cost.Gone) > 0 {
		return nil, fmt.Errorf("%d processes ended while they were measured", len(r.cost.Gone))
	}
	return r, nil
}
