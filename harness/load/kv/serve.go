package kv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
)

// Command is what a generator process is told, as one line of JSON.
type Command struct {
	Cmd  string `json:"cmd"` // run, or stop
	Load Load   `json:"load"`
}

// Done is its answer to a run.
type Done struct {
	Event string `json:"event"` // "done"
	Error string `json:"error,omitempty"`
	*Result
}

// Serve makes a process a generator: it writes ready, which must have "event":"ready", then answers each
// run on in with done on out, until stop, the end of input, or of ctx. A load of a command may leave out
// what is as in base. A failed run is answered too, and ends it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, ready any, base Load,
	run func(context.Context, Load) (*Result, error)) error {
	events := json.NewEncoder(out)
	if err := events.Encode(ready); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for line := range lines(ctx, in) {
		c := Command{Load: base}
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("command %q: %w", line, err)
		}
		switch c.Cmd {
		case "stop":
			return nil
		case "run":
		default:
			return fmt.Errorf("command %q: use run or stop", c.Cmd)
		}
		r, failed := run(ctx, c.Load)
		done := Done{Event: "done", Result: r}
		if failed != nil {
			done.Error, done.Result = failed.Error(), nil
		}
		if err := events.Encode(done); err != nil {
			return fmt.Errorf("say done: %w", err)
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// lines yields the lines of in until its end or that of ctx. A read nobody waits for any more ends with
// the process.
func lines(ctx context.Context, in io.Reader) iter.Seq[[]byte] {
	read := make(chan []byte)
	go func() {
		defer close(read)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case read <- bytes.Clone(s.Bytes()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(yield func([]byte) bool) {
		for {
			select {
			case line, ok := <-read:
				if !ok || !yield(line) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
