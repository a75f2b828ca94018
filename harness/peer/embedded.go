package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/load/kv"
	"metronome/system/load"
)

// runner is an instance that offers loads by itself: its operations cross no client protocol.
type runner interface {
	Run(ctx context.Context, l kv.Load) (*kv.Result, error)
}

// embeddedInstance is a cluster whose proxy is the generator too, a process of its own a load.
type embeddedInstance struct{ *metronomeInstance }

// Connect implements [kv.Target], and refuses: there is no client protocol here.
func (e *embeddedInstance) Connect(context.Context, int, kv.Load) (kv.Conn, error) {
	return nil, errors.New("operations are submitted from within the proxy: use Run")
}

// Get implements [Instance], and refuses, likewise.
func (e *embeddedInstance) Get(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("no proxy serves clients here: metronome-resp does")
}

// Run implements [runner].
func (e *embeddedInstance) Run(ctx context.Context, l kv.Load) (*kv.Result, error) {
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if l.Preload {
		if err := e.fill(ctx, l); err != nil {
			return nil, fmt.Errorf("preload %d keys: %w", l.Keys, err)
		}
	}
	return e.offer(ctx, l)
}

// Filling draws keys at random, as loads do, until nearly all are there.
const (
	filled     = 0.98
	fillSlice  = 500 * time.Millisecond
	fillDepth  = 16384
	fillRounds = 240
)

func (e *embeddedInstance) fill(ctx context.Context, l kv.Load) error {
	l.RateOPS, l.ReadRatio, l.Connections, l.Outstanding, l.Batch = 0, 0, 1, fillDepth, 1
	l.WarmupNS, l.WindowNS = 0, fillSlice.Nanoseconds()
	for range fillRounds {
		o, err := e.Observe(ctx)
		if err != nil || o.Gauges["keys"] >= filled*float64(l.Keys) {
			return err
		}
		l.Seed++
		if _, err := e.offer(ctx, l); err != nil {
			return err
		}
	}
	return errors.New("it takes too long")
}

// offers is how often a load is offered if its end was noticed too late to measure what it cost.
const offers = 3

// offer runs the generator and measures what it costs meanwhile.
func (e *embeddedInstance) offer(ctx context.Context, l kv.Load) (r *kv.Result, err error) {
	for range offers {
		if r, err = e.once(ctx, l); err != nil || len(r.Cost.Gone) == 0 || e.dead() != nil {
			break
		}
	}
	return r, err
}

func (e *embeddedInstance) once(ctx context.Context, l kv.Load) (*kv.Result, error) {
	g, err := e.generate(l)
	if err != nil {
		return nil, err
	}
	cost, err := e.measure(ctx, g, l)
	if err != nil {
		_ = unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
		return nil, errors.Join(err, g.wait(context.Background(), polite))
	}
	if err := g.wait(ctx, time.Duration(l.WarmupNS+l.WindowNS)+upLimit); err != nil {
		return nil, err
	}
	var r load.Result
	if err := json.Unmarshal(g.out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("the generator said %q: %w", g.out.String(), err)
	}
	return embeddedResult(l, r, cost), nil
}

// generator is one run of the proxy that loads itself.
type generator struct {
	cmd       *exec.Cmd
	out       bytes.Buffer
	log       string
	measuring chan struct{} // closed when its warm-up is over
	done      chan error
}

func (e *embeddedInstance) generate(l kv.Load) (*generator, error) {
	g := &generator{done: make(chan error, 1), measuring: make(chan struct{}),
		log: filepath.Join(e.host.logs, "generator.log")}
	log, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of the generator: %w", err)
	}
	depth := l.Connections * l.Outstanding * l.Batch
	ns := func(n int64) string { return time.Duration(n).String() }
	g.cmd = exec.Command(e.binary, "bench", "load", "--config", e.path,
		"--name", e.config.Proxies[0].Peer().String(),
		"--keys", strconv.Itoa(l.Keys), "--key-bytes", strconv.Itoa(l.KeyBytes),
		"--value-bytes", strconv.Itoa(l.ValueBytes), "--reads", strconv.FormatFloat(l.ReadRatio, 'g', -1, 64),
		"--outstanding", strconv.Itoa(depth), "--rate", strconv.FormatFloat(l.RateOPS, 'f', -1, 64),
		"--warmup", ns(l.WarmupNS), "--length", ns(l.WindowNS), "--seed", strconv.FormatUint(l.Seed, 10))
	fmt.Fprintf(log, "+ %s\n", g.cmd)
	g.cmd.Stdout = &g.out
	says, err := g.cmd.StderrPipe()
	if err == nil {
		err = e.host.bed.Start(g.cmd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the generator: %w", err), log.Close())
	}
	go g.follow(says, log)
	return g, nil
}

// follow copies what the generator says to its log, and notices when it begins to measure.
func (g *generator) follow(says io.Reader, log *os.File) {
	defer log.Close()
	begun := false
	for lines := bufio.NewScanner(says); lines.Scan(); {
		fmt.Fprintln(log, lines.Text())
		if !begun && strings.HasPrefix(lines.Text(), "measuring") {
			begun = true
			close(g.measuring)
		}
	}
	g.done <- g.cmd.Wait()
}

// wait waits for the generator's end, and ends it if that takes too long.
func (g *generator) wait(ctx context.Context, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-g.done:
		if err != nil {
			return fmt.Errorf("generator: %s (%w)", lastLine(g.log), err)
		}
		return nil
	case <-ctx.Done():
	case <-t.C:
	}
	_ = unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
	<-g.done
	return errors.Join(ctx.Err(), fmt.Errorf("the generator did not end: its log is %s", g.log))
}

// spared is the share of the generator's window that is not measured, in case it is noticed late.
const spared = 0.15

func (e *embeddedInstance) measure(ctx context.Context, g *generator, l kv.Load) (kv.Cost, error) {
	now, err := kv.Clock()
	if err != nil {
		return kv.Cost{}, err
	}
	late := time.NewTimer(time.Duration(l.WarmupNS) + upLimit)
	defer late.Stop()
	select {
	case <-g.measuring:
	case err := <-g.done:
		g.done <- err
		return kv.Cost{}, fmt.Errorf("the generator ended early: %s", lastLine(g.log))
	case <-late.C:
		return kv.Cost{}, fmt.Errorf("the generator did not begin: its log is %s", g.log)
	case <-ctx.Done():
		return kv.Cost{}, ctx.Err()
	}
	from := now()
	to := from + int64((1-spared)*float64(l.WindowNS))
	cost, err := kv.Measure(ctx, now, from, to, append(e.pids(), g.cmd.Process.Pid), e)
	cost.SharedProcess = true
	cost.Roles(append(append([]string(nil), e.roles...), "proxy"))
	return cost, err
}

// embeddedResult is what the generator said, in the words of a load's result. Latencies are of every 16th
// operation.
func embeddedResult(l kv.Load, r load.Result, cost kv.Cost) *kv.Result {
	us := func(v float64) int64 { return int64(v * 1e3) }
	q := kv.Quantiles{Count: int64(r.Ops), P50NS: us(r.LatencyP50), P90NS: us(r.LatencyP90),
		P99NS: us(r.LatencyP99), P999NS: us(r.LatencyP999), MaxNS: us(r.LatencyMax)}
	c := kv.Counts{Answered: r.Ops, Failed: r.Failed + r.Unknown, Unsent: r.Unsent, Completed: r.Ops}
	c.Due = c.Answered + c.Failed + c.Unsent
	if cost.Counters != nil {
		cost.Counters["busy_attempts"] = float64(r.Busy)
	}
	return &kv.Result{Load: l, Counts: c, AchievedOPS: r.OpsPerS, Latency: q, Writes: q, Censored: r.Unsent,
		LatencyHDR: r.LatencyHDR, Cost: cost.Per(r.OpsPerS)}
}
