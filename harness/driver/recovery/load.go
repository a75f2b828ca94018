package recovery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"metronome/system/load"
)

// Load is puts of keys drawn uniformly.
type Load struct {
	Rate        float64 // a second, each due at its time; 0: a closed loop
	Outstanding int
	Warmup      time.Duration
	Length      time.Duration
}

// loaded is what a generator said.
type loaded struct {
	load.Result
	hist *hdrhistogram.Histogram // of latencies, in ns: of every 16th operation
}

func (l *loaded) quantileMS(q float64) float64 { return float64(l.hist.ValueAtQuantile(q)) / 1e6 }

// load offers a load and waits for its end.
func (b *bed) load(ctx context.Context, l Load) (*loaded, error) {
	wait, err := b.offer(ctx, l)
	if err != nil {
		return nil, err
	}
	return wait()
}

// offer begins a load; wait waits for its end.
func (b *bed) offer(ctx context.Context, l Load) (wait func() (*loaded, error), err error) {
	b.seed++
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, b.set.Binary, "bench", "load", "--config", b.File(),
		"--name", loading.String(), "--keys", strconv.Itoa(b.space()), "--key-bytes", strconv.Itoa(keyBytes),
		"--value-bytes", strconv.Itoa(b.set.Value), "--outstanding", strconv.Itoa(l.Outstanding),
		"--rate", strconv.FormatFloat(l.Rate, 'f', -1, 64), "--warmup", l.Warmup.String(),
		"--length", l.Length.String(), "--seed", strconv.FormatUint(b.seed, 10))
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the generator: %w", err)
	}
	return func() (*loaded, error) {
		if err := cmd.Wait(); err != nil {
			return nil, fmt.Errorf("generator: %w: %s", err, strings.TrimSpace(log.String()))
		}
		return parse(out.Bytes())
	}, nil
}

var errNothing = errors.New("no put was answered")

func parse(b []byte) (l *loaded, err error) {
	l = &loaded{}
	if err := json.Unmarshal(b, &l.Result); err != nil {
		return nil, fmt.Errorf("the generator said %q: %w", b, err)
	}
	raw, err := base64.StdEncoding.DecodeString(l.LatencyHDR)
	if err == nil {
		l.hist, err = hdrhistogram.Decode(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("the generator's histogram: %w", err)
	}
	if l.Failed+l.Unknown > 0 {
		return l, fmt.Errorf("%d puts failed, the outcome of %d is unknown", l.Failed, l.Unknown)
	}
	if l.Ops == 0 {
		return l, errNothing
	}
	return l, nil
}
