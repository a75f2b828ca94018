package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Run is a command to a generator process.
type Run struct {
	Cmd         string  `json:"cmd"`      // run, or stop
	RateFPS     float64 `json:"rate_fps"` // frames/s over all lanes; 0: as fast as possible
	StartNS     int64   `json:"start_ns"` // CLOCK_MONOTONIC
	DurationNS  int64   `json:"duration_ns"`
	Incarnation uint32  `json:"incarnation"`
}

// Done is its answer. Frames are counted over all lanes.
type Done struct {
	Event       string `json:"event"` // "done"
	Emitted     uint64 `json:"emitted"`
	RingFull    uint64 `json:"ring_full"` // of emitted: not taken by the wire at their slot
	SlotsMissed uint64 `json:"slots_missed"`
	Error       string `json:"error,omitempty"`
}

// Ready is its first event.
type Ready struct {
	Event string `json:"event"` // "ready"
}

// Serve makes a process a generator: it says ready, then answers each run on in with done on out,
// until stop or the end of input. A failed run is answered too, and ends it.
func Serve(in io.Reader, out io.Writer, run func(context.Context, Run) (Done, error)) error {
	events := json.NewEncoder(out)
	if err := events.Encode(Ready{Event: "ready"}); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	for s := bufio.NewScanner(in); s.Scan(); {
		var c Run
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			return fmt.Errorf("command %q: %w", s.Text(), err)
		}
		if c.Cmd == "stop" {
			return nil
		}
		done, err := run(context.Background(), c)
		done.Event = "done"
		if err != nil {
			done.Error = err.Error()
		}
		if err := events.Encode(done); err != nil {
			return fmt.Errorf("say done: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
